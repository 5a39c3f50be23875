"""A timm backbone wrapped for looking inside: tokens, and attention rows of any query and layer.

    backbone = dino.load("dino_vits16")
    maps = backbone.attention(images)           # CLS rows of the last block
    maps.weights[0, 0, 0]                       # [A, h, w], what the paper draws

Nothing here keeps an N×N map: only the asked query rows are computed, and no hook is registered.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dino import vit
from dino.errors import UserError
from dino.precision import choose_device, choose_precision, dtype_of

Query = str | tuple[int, int]


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

    `weights` [B,L,Q,A,h,w] to the patches and `prefix` [B,L,Q,A,1+R] to CLS and registers; the two
    together sum to 1 over the keys. `layers` are block numbers counted from 0.
    """

    weights: Tensor
    prefix: Tensor
    layers: tuple[int, ...]
    queries: tuple[Query, ...]
    grid: tuple[int, int]


@dataclass(frozen=True)
class Backbone:
    """A frozen network and what must be known to feed it.

    `patch_size` in px, `embed_dim` D, `num_heads` A (0 where there is no self-attention to read),
    `num_registers` R, `depth` blocks, `mean` and `std` of the input per RGB channel (0..1),
    `precision` "fp32" or "bf16", `weights_sha256` over the canonical float32 tensors, `is_random`
    where nothing was learned.
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

    def tokens(self, images: Tensor) -> Tokens:
        """Normalised tokens after the last block.

        Args:
            images: [B,3,H,W], normalised by `mean` and `std`; H and W multiples of `patch_size`.
        Raises:
            UserError: wrong shape, or sides that are not multiples of the patch.
        """
        return self.layer_tokens(images, layers=(-1,))[0]

    def layer_tokens(self, images: Tensor, *, layers: Sequence[int]) -> tuple[Tokens, ...]:
        """Tokens after each of `layers` (negative counts from the end), normalised by the last norm.

        Networks without transformer blocks offer only the last layer.
        """
        grid = self._check(images)
        with torch.no_grad():
            if not self.has_attention:
                if any(layer not in (-1, self.depth - 1) for layer in layers):
                    raise UserError(f"{self.name} offers tokens of its last layer only")
                return (self._pooled_tokens(images),) * len(layers)
            wanted = [self._layer(layer) for layer in layers]
            x = vit.embed(self.module, images.to(self.device), grid, dtype_of(self.precision))
            found: dict[int, Tokens] = {}
            for index in range(max(wanted) + 1):
                x = vit.block(self.module, index, x)
                if index in wanted:
                    found[index] = self._split(x, grid)
        return tuple(found[layer] for layer in wanted)

    def attention(
        self, images: Tensor, *, layers: Sequence[int] = (-1,), queries: Sequence[Query] = ("cls",)
    ) -> AttentionMaps:
        """Attention rows of the asked queries in the asked layers, every head.

        Args:
            images: [B,3,H,W] as in `tokens`.
            layers: block numbers; negative counts from the end.
            queries: "cls", "register:N", or a grid position (row, column).
        Raises:
            UserError: a network without self-attention over patches, a layer or query out of range.
        Source: Caron et al. 2021, section 4.2.2 and Fig. 1.
        """
        if not self.has_attention:
            raise UserError(
                f"{self.name} has no self-attention of a CLS token over patches; choose a ViT "
                "(its features work: tokens, embed, project)"
            )
        grid = self._check(images)
        if not layers or not queries:
            raise UserError("attention needs at least one layer and one query")
        wanted = [self._layer(layer) for layer in layers]
        positions = [self._query_position(query, grid) for query in queries]
        rows: dict[int, Tensor] = {}
        with torch.no_grad():
            x = vit.embed(self.module, images.to(self.device), grid, dtype_of(self.precision))
            for index in range(max(wanted) + 1):
                if index in wanted:
                    rows[index] = vit.attention_rows(self.module, index, x, positions)
                if index < max(wanted):  # the last asked block needs no output
                    x = vit.block(self.module, index, x)
        stacked = torch.stack([rows[layer] for layer in wanted], dim=1)  # [B,L,Q,A,N]
        prefix, patches = stacked.split([self._num_prefix, grid[0] * grid[1]], dim=-1)
        return AttentionMaps(
            weights=patches.unflatten(-1, grid),
            prefix=prefix,
            layers=tuple(wanted),
            queries=tuple(queries),
            grid=grid,
        )

    @property
    def has_attention(self) -> bool:
        """Whether `attention` works: a ViT with plain self-attention."""
        return self.num_heads > 0

    @property
    def _num_prefix(self) -> int:
        return int(self.module.num_prefix_tokens) if self.has_attention else 0

    def _check(self, images: Tensor) -> tuple[int, int]:
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

    def _layer(self, layer: int) -> int:
        if not -self.depth <= layer < self.depth:
            raise UserError(
                f"layer {layer} does not exist; {self.name} has {self.depth} blocks, 0 to {self.depth - 1}"
            )
        return layer % self.depth

    def _query_position(self, query: Query, grid: tuple[int, int]) -> int:
        """Index of a query in the token sequence (CLS, registers, patches row by row)."""
        if isinstance(query, tuple):
            row, column = query
            if not (0 <= row < grid[0] and 0 <= column < grid[1]):
                raise UserError(
                    f"query patch {row}:{column} is outside the grid of {grid[0]}×{grid[1]} patches"
                )
            return self._num_prefix + row * grid[1] + column
        num_class = self._num_prefix - self.num_registers
        if query == "cls" and num_class:
            return 0
        kind, _, number = query.partition(":")
        if kind == "register" and number.isdigit() and int(number) < self.num_registers:
            return num_class + int(number)
        raise UserError(
            f"query {query!r} is not available; {self.name} has "
            f"{'a CLS token' if num_class else 'no CLS token'} and {self.num_registers} registers; "
            "expected 'cls', 'register:N' or a (row, column)"
        )

    def _split(self, x: Tensor, grid: tuple[int, int]) -> Tokens:
        x = self.module.norm(x).float()
        num_class = self._num_prefix - self.num_registers
        cls, registers, patches = x.split([num_class, self.num_registers, grid[0] * grid[1]], dim=1)
        return Tokens(cls[:, 0] if num_class else patches.mean(dim=1), registers, patches, grid)

    def _pooled_tokens(self, images: Tensor) -> Tokens:
        """Tokens of a network that is not a ViT: feature map [B,D,h,w] or sequence with a CLS token."""
        dtype = dtype_of(self.precision)
        try:
            features = self.module.forward_features(images.to(self.device, dtype)).float()
        except AssertionError as error:  # how timm refuses another size than the trained one
            raise UserError(
                f"{self.name} takes one input size only ({error}); resize to it, or choose a ViT"
            ) from error
        if features.ndim == 4:
            if features.shape[1] != self.embed_dim:  # some networks put the channels last
                features = features.permute(0, 3, 1, 2)
            grid = (features.shape[2], features.shape[3])
            patches = features.flatten(2).transpose(1, 2)
            return Tokens(patches.mean(dim=1), patches[:, :0], patches, grid)
        grid = (images.shape[2] // self.patch_size, images.shape[3] // self.patch_size)
        prefix = int(
            getattr(self.module, "num_prefix_tokens", features.shape[1] - grid[0] * grid[1])
        )
        if features.shape[1] - prefix != grid[0] * grid[1]:
            raise UserError(
                f"{self.name} gives {features.shape[1]} tokens, expected {grid[0]}×{grid[1]} patches "
                f"and {prefix} others; this kind of network is not supported, so choose a ViT"
            )
        patches = features[:, prefix:]
        registers = int(getattr(self.module, "num_reg_tokens", max(prefix - 1, 0)))
        has_cls = prefix > registers
        cls = features[:, 0] if has_cls else patches.mean(dim=1)
        return Tokens(cls, features[:, prefix - registers : prefix], patches, grid)

    @property
    def fingerprint(self) -> str:
        """sha256 of all that decides a result: the tensors, how they are read, the input's scale."""
        grid = getattr(getattr(self.module, "patch_embed", None), "grid_size", None)
        told = (self.weights_sha256, self.num_heads, self.patch_size, grid, self.mean, self.std)
        return hashlib.sha256(repr((*told, self.precision)).encode()).hexdigest()


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
) -> Backbone:
    """Wrap a timm model for inference, on `device` and in `precision`.

    ViTs whose blocks timm builds from its plain `Block` and `Attention` give attention; any other
    network with `forward_features` gives tokens only.
    """
    chosen = choose_device(device)
    resolved = choose_precision(precision, chosen)
    network: Any = model
    if vit.is_plain(network):
        patch_size, heads = network.patch_embed.patch_size[0], network.blocks[0].attn.num_heads
        registers, depth = network.num_reg_tokens, len(network.blocks)
    else:
        patch_size, heads, registers, depth = _reduction(network), 0, 0, 1
    frozen = network.eval().requires_grad_(False).to(chosen, dtype_of(resolved))
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
    )


def _reduction(model: Any) -> int:
    """Input px per feature-map cell of a network that is not a plain ViT."""
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if patch is not None:
        return int(patch[0] if isinstance(patch, tuple | list) else patch)
    return int(model.feature_info[-1]["reduction"])
