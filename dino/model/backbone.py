"""Wrap a timm backbone for looking inside: tokens, and attention rows of any query and layer.

    backbone = dino.load("dino_vits16")
    maps = backbone.attention(images)           # CLS rows of the last block
    maps.weights[0, 0, 0]                       # [A, h, w], what the paper draws

Nothing here keeps an N×N map: only the asked query rows are computed, and no hook is registered.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from dino.errors import UserError
from dino.model import forward
from dino.model.device import choose_device, choose_precision, dtype_of
from dino.model.families import Family, Places, family_of
from dino.model.pooled import pooled_tokens, reduction
from dino.model.queries import MEAN, Query, token_position

# What DINO's and DINOv2's networks have; caches of theirs from before are found by it.
_USUAL_EPS, _USUAL_GELU = 1e-6, "approximate='none'"
_ACTIVATIONS = ("QuickGELU", "ReLU", "Hardswish", "Mish")


@dataclass(frozen=True)
class Tokens:
    """Normalised tokens of one block.

    `cls` [B,D] (the pooled features where a network has no CLS token), `registers` [B,R,D],
    `patches` [B,N,D] row by row, `grid` (h, w) with N = h·w; all float32.
    """

    cls: Tensor
    registers: Tensor
    patches: Tensor
    grid: tuple[int, int]


@dataclass(frozen=True)
class AttentionMaps:
    """Rows of softmax(q·k/√d), float32 probabilities.

    `weights` [B,L,Q,A,h,w] to the patches and `prefix` [B,L,Q,A,P] to the tokens before them (CLS and
    registers; P = 0 where there are none); the two together sum to 1 over the keys. `layers` are block
    numbers counted from 0. `logits` and `prefix_logits` are what softmax was taken of, q·k/√d and the
    bias of a network that has one, where they were asked for; of the query "mean" their mean.
    """

    weights: Tensor
    prefix: Tensor
    layers: tuple[int, ...]
    queries: tuple[Query, ...]
    grid: tuple[int, int]
    logits: Tensor | None = None
    prefix_logits: Tensor | None = None


@dataclass(frozen=True)
class Backbone:
    """A frozen network and what must be known to feed it.

    `patch_size` in px, `embed_dim` D, `num_heads` A (0 where there is no self-attention to read),
    `num_registers` R, `depth` blocks, `mean` and `std` of the input per RGB channel (0..1),
    `precision` "fp32" or "bf16", `weights_sha256` over the canonical float32 tensors, `is_random`
    where nothing was learned. `positions` says how learned positions go to other sizes, "dino" as the
    originals or "timm"; `notes` are sentences on what was assumed when the weights were opened.
    """

    module: Any = field(repr=False)  # a timm model; its parts are found by name
    name: str
    description: str
    patch_size: int
    embed_dim: int
    num_heads: int
    num_registers: int
    depth: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    precision: str
    device: torch.device
    weights_sha256: str
    is_random: bool = False
    positions: str = "dino"
    notes: tuple[str, ...] = ()
    family: Family | None = field(default=None, repr=False)

    def tokens(self, images: Tensor) -> Tokens:
        """Compute the normalised tokens after the last block.

        Args:
            images: [B,3,H,W], normalised by `mean` and `std`; H and W multiples of `patch_size`.
        Raises:
            UserError: wrong shape, or sides that are not multiples of the patch.
        """
        return self.layer_tokens(images, layers=(-1,))[0]

    def layer_tokens(self, images: Tensor, *, layers: Sequence[int]) -> tuple[Tokens, ...]:
        """Compute tokens after each of `layers` (negative counts from the end), normalised by the last norm.

        Networks without transformer blocks offer only the last layer.

        Raises:
            UserError: as `tokens`, or a layer out of range.
        """
        grid = self.check_images(images)
        with torch.no_grad():
            if not self.has_attention:
                if any(layer not in (-1, self.depth - 1) for layer in layers):
                    raise UserError(f"{self.name} offers tokens of its last layer only")
                found = pooled_tokens(
                    self.module,
                    images.to(self.device, dtype_of(self.precision)),
                    patch_size=self.patch_size,
                    embed_dim=self.embed_dim,
                    name=self.name,
                )
                return (Tokens(*found),) * len(layers)
            wanted = [self.layer_index(layer) for layer in layers]
            states = self.states(images, grid, until=max(wanted) + 1)
            next(states)  # what enters block 0
            tokens = {i: self.split(x, grid) for i, x in enumerate(states) if i in wanted}
        return tuple(tokens[layer] for layer in wanted)

    def attention(
        self,
        images: Tensor,
        *,
        layers: Sequence[int] = (-1,),
        queries: Sequence[Query] = ("cls",),
        logits: bool = False,
    ) -> AttentionMaps:
        """Compute attention rows of the asked queries in the asked layers, every head.

        Args:
            images: [B,3,H,W] as in `tokens`.
            layers: block numbers; negative counts from the end.
            queries: "cls", "register:N", "dist" (a distillation token), "mean" (the mean of all
                patches' rows, after softmax), or a grid position (row, column).
            logits: keep q·k/√d beside its softmax.
        Raises:
            UserError: a network without self-attention over patches, a layer or query out of range,
                "cls" where there is no CLS token.
        Source: Caron et al. 2021, section 4.2.2 and Fig. 1.
        """
        self.check_attention()
        grid = self.check_images(images)
        states = enumerate(self.states(images, grid, until=self.depth))
        return self.attention_from(states, grid, layers=layers, queries=queries, logits=logits)

    def attention_from(
        self,
        states: Iterable[tuple[int, Tensor]],
        grid: tuple[int, int],
        *,
        layers: Sequence[int] = (-1,),
        queries: Sequence[Query] = ("cls",),
        logits: bool = False,
    ) -> AttentionMaps:
        """Do as `attention`, from block numbers and the tokens [B,P+N,D] that enter those blocks.

        No more of `states` is taken than the asked layers need.

        Raises:
            UserError: no layer or query, or one out of range.
        """
        if not layers or not queries:
            raise UserError("attention needs at least one layer and one query")
        wanted = [self.layer_index(layer) for layer in layers]
        for query in queries:
            if query != MEAN:
                self.query_position(query, grid)  # an error before the forward, where there is none
        places = self.places(grid)
        rows: dict[int, tuple[Tensor, Tensor]] = {}
        with torch.no_grad():
            for index, x in states:
                if index in wanted:
                    rows[index] = self._rows(index, x, queries, places)
                if len(rows) == len(set(wanted)):
                    break
        shares, products = (
            torch.stack([rows[layer][kind] for layer in wanted], dim=1) for kind in (0, 1)
        )  # [B,L,Q,A,P+N]
        prefix, weights = forward.split_prefix(shares, grid)
        kept = forward.split_prefix(products, grid) if logits else (None, None)
        return AttentionMaps(
            weights=weights,
            prefix=prefix,
            layers=tuple(wanted),
            queries=tuple(queries),
            grid=grid,
            logits=kept[1],
            prefix_logits=kept[0],
        )

    def _rows(
        self, index: int, x: Tensor, queries: Sequence[Query], places: Places
    ) -> tuple[Tensor, Tensor]:
        """Compute softmax and logits of some queries in one block, each [B,Q,A,P+N] float32."""
        tokens = [query for query in queries if query != MEAN]
        shares: dict[Query, Tensor] = {}
        products: dict[Query, Tensor] = {}
        if tokens:
            positions = [self.query_position(query, places.grid) for query in tokens]
            logits = forward.attention_logits(self.module, index, x, positions, places)
            products |= zip(tokens, logits.unbind(1), strict=True)
            shares |= zip(tokens, logits.softmax(dim=-1).unbind(1), strict=True)
        if len(tokens) < len(queries):
            shares[MEAN], products[MEAN] = forward.mean_attention(self.module, index, x, places)
        return (
            torch.stack([shares[query] for query in queries], dim=1),
            torch.stack([products[query] for query in queries], dim=1),
        )

    def states(self, images: Tensor, grid: tuple[int, int], *, until: int) -> Iterator[Tensor]:
        """Yield the tokens [B,P+N,D] that enter block 0, 1, … `until`; `depth` gives what leaves the last."""
        x = forward.embed(
            self.module, images.to(self.device), grid, torch.float32, positions=self.positions
        )
        yield x
        places = self.places(grid)
        for index in range(until):
            x = forward.block(self.module, index, x, places)
            yield x

    def places(self, grid: tuple[int, int]) -> Places:
        """Prepare what attention on a grid (h, w) knows of where tokens stand."""
        assert self.family is not None
        return self.family.places(self.module, grid)

    @property
    def has_attention(self) -> bool:
        """Whether `attention` works: a ViT whose self-attention can be read."""
        return self.num_heads > 0

    @property
    def default_query(self) -> str:
        """Name the query that is drawn where none is asked for: "cls", or "mean" without a CLS token."""
        return "cls" if self.num_class else MEAN

    @property
    def prefix_names(self) -> tuple[str, ...]:
        """Name the tokens before the patches: "cls", "dist", "register:0", …, as they stand."""
        return self.family.prefix if self.family is not None else ()

    @property
    def num_prefix(self) -> int:
        """Count the tokens before the patches: CLS (where there is one), distillation, registers."""
        return len(self.prefix_names)

    @property
    def num_class(self) -> int:
        """Count the CLS tokens, 1 or 0."""
        return int("cls" in self.prefix_names)

    def check_attention(self) -> None:
        """Raise a `UserError` unless there is self-attention over patches to read."""
        if not self.has_attention:
            raise UserError(
                f"{self.name} is a {type(self.module).__name__}, which has no self-attention of every "
                "patch over all patches; its features work (tokens, embed, project), and for attention "
                "choose a ViT"
            )

    def check_images(self, images: Tensor) -> tuple[int, int]:
        """Measure the grid (h, w) of images [B,3,H,W]; raise a `UserError` for any other shape."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise UserError(f"images have shape {tuple(images.shape)}; expected [B, 3, H, W]")
        height, width = images.shape[-2:]
        if (
            min(height, width) < self.patch_size
            or height % self.patch_size
            or width % self.patch_size
        ):
            raise UserError(
                f"images are {height}×{width} px; both sides must be multiples of the patch, "
                f"{self.patch_size} px (dino.preprocess does that)"
            )
        return height // self.patch_size, width // self.patch_size

    def layer_index(self, layer: int) -> int:
        """Number a block from 0; raise a `UserError` if it does not exist."""
        if not -self.depth <= layer < self.depth:
            raise UserError(
                f"layer {layer} does not exist; {self.name} has {self.depth} blocks, 0 to {self.depth - 1}"
            )
        return layer % self.depth

    def query_position(self, query: Query, grid: tuple[int, int]) -> int:
        """Find a query in the token sequence (prefix tokens, then patches row by row)."""
        return token_position(query, grid, prefix=self.prefix_names, network=self.name)

    def split(self, x: Tensor, grid: tuple[int, int]) -> Tokens:
        """Normalise tokens [B,P+N,D] of the stream by the last norm, and tell them apart."""
        x = self.module.norm(x).float()
        others = self.num_prefix - self.num_class - self.num_registers  # a distillation token
        sizes = [self.num_class, others, self.num_registers, grid[0] * grid[1]]
        cls, _, registers, patches = x.split(sizes, dim=1)
        pooled = cls[:, 0] if self.num_class else patches.mean(dim=1)
        return Tokens(pooled, registers, patches, grid)

    @cached_property
    def fingerprint(self) -> str:
        """Hash (sha256) all that decides a result: the tensors, how they are read, the input's scale."""
        grid = getattr(getattr(self.module, "patch_embed", None), "grid_size", None)
        read = (self.weights_sha256, self.num_heads, self.patch_size, grid, self.mean, self.std)
        way: tuple[str, ...] = () if self.positions == "dino" else (self.positions,)
        way += self._arithmetic()
        return hashlib.sha256(repr((*read, self.precision, *way)).encode()).hexdigest()

    def _arithmetic(self) -> tuple[str, ...]:
        """List what is computed otherwise than in DINO's networks, though tensors are the same: activations,
        the norms' epsilon, how far positions turn."""
        found = set()
        for part in self.module.modules() if self.has_attention else ():
            name, said = type(part).__name__, part.extra_repr()
            if (eps := getattr(part, "eps", None)) is not None and eps != _USUAL_EPS:
                found.add(f"{name} eps={eps}")
            elif ("gelu" in name.lower() or name in _ACTIVATIONS) and said != _USUAL_GELU:
                found.add(f"{name}({said})")
            elif "rot" in name.lower() and "embed" in name.lower():
                plain = {k: v for k, v in vars(part).items() if isinstance(v, int | float | str)}
                found.add(f"{name}{sorted(plain.items())}")
        return tuple(sorted(found))


def wrap(
    model: nn.Module,
    *,
    name: str,
    description: str,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    device: str | torch.device = "auto",
    precision: str = "auto",
    weights_sha256: str = "",
    is_random: bool = False,
    positions: str = "dino",
    notes: tuple[str, ...] = (),
) -> Backbone:
    """Wrap a timm model for inference, on `device` and in `precision`.

    ViTs of the kinds that `families` knows give attention; any other network with `forward_features`
    gives tokens only. The model is frozen and moved: give a copy of one that is still needed.

    Args:
        positions: "dino" takes learned positions to other sizes as DINO and DINOv2 do, where the
            network is of their kind; "timm" as timm does.
        notes: what was assumed when the weights were opened, in sentences.
    """
    chosen = choose_device(device)
    resolved = choose_precision(precision, chosen)
    network: Any = model
    family = family_of(network)
    if family is not None:
        patch_size, heads, depth = family.patch_size, family.num_heads, len(network.blocks)
        registers = sum(name.startswith("register:") for name in family.prefix)
    else:
        patch_size, heads, registers, depth = reduction(network), 0, 0, 1
    frozen = network.eval().requires_grad_(False).to(chosen, torch.float32)
    if resolved != "fp32" and heads:
        forward.lower_products(frozen, dtype_of(resolved))
    elif resolved != "fp32":
        frozen.to(dtype_of(resolved))
    return Backbone(
        module=frozen,
        name=name,
        description=description,
        patch_size=patch_size,
        embed_dim=network.num_features,
        num_heads=heads,
        num_registers=registers,
        depth=depth,
        mean=mean,
        std=std,
        precision=resolved,
        device=chosen,
        weights_sha256=weights_sha256,
        is_random=is_random,
        positions=positions if family is not None and family.original_positions else "timm",
        notes=notes,
        family=family,
    )
