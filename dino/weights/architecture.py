"""Build a timm model that holds exactly the canonical tensors it is given.

    model = build(canonical, num_heads=None)     # timm VisionTransformer, strict

A ViT is built from the dimensions its tensors show, or from timm's own by name; nothing is loaded
that does not fit key by key and shape by shape.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from dino.errors import WeightsError
from dino.weights.hints import Triple
from dino.weights.layouts import Canonical
from dino.weights.locate import first_three

if TYPE_CHECKING:
    from torch import Tensor, nn

_HEAD_DIM = 64
# Published ViTs of these widths (so400m, H, g, G) have 16 heads, though 64 divides the width.
_OTHER_HEAD_DIM = frozenset({1152, 1280, 1408, 1664})
_XCIT_SIZES = {128: "nano", 192: "tiny", 384: "small", 512: "medium", 768: "large"}


@dataclass(frozen=True)
class LoadedModel:
    """A timm model and what belongs to its weights.

    `mean` and `std` per RGB channel (0..1), `weights_sha256` over the canonical float32 tensors,
    `layout` in words, `is_random` where nothing was learned, `notes` what was assumed when it was opened,
    in whole sentences. `positions`: a position embedding goes to other sizes as the originals of DINO
    do it ("dino") or as timm's own forward does ("timm").
    """

    model: nn.Module
    name: str
    description: str
    mean: Triple
    std: Triple
    weights_sha256: str
    layout: str
    is_random: bool = False
    notes: tuple[str, ...] = ()
    positions: Literal["timm", "dino"] = "dino"


@dataclass(frozen=True)
class VitShape:
    """Dimensions of a ViT: `patch_size` px, `grid` (rows, columns) of the position embedding,
    `mlp_hidden` rows of fc1, `prefix_in_positions` how many positions are not patches."""

    embed_dim: int
    depth: int
    num_heads: int
    patch_size: int
    grid: tuple[int, int]
    num_registers: int
    layer_scale: bool
    mlp_hidden: int
    swiglu: bool
    qkv_bias: bool
    prefix_in_positions: int


def build(
    canonical: Canonical,
    *,
    arch: str | None = None,
    num_heads: int | None = None,
    grid: tuple[int, int] | None = None,
) -> nn.Module:
    """Build the network of `canonical` in timm and load every tensor, strictly.

    Args:
        arch: timm name to use instead of what the tensors show.
        num_heads: heads of a ViT, where they do not follow from the width (64 per head is assumed).
        grid: (rows, columns) of the position embedding where known; else it must be square.
    Returns:
        Model in eval mode on the CPU, float32, without a classifier.
    Raises:
        WeightsError: heads or grid do not show, `arch` unknown or of another shape.
    """
    if canonical.family == "vit":
        if arch is not None:
            return _filled(_named_vit(arch, canonical, num_heads, grid), canonical.tensors)
        shape = vit_shape(canonical.tensors, num_heads=num_heads, grid=grid)
        return _filled(partial(_build_vit, shape), canonical.tensors)
    if num_heads is not None:
        raise WeightsError(f"num_heads={num_heads} fits only a ViT; this is {canonical.layout}")
    if canonical.family == "resnet":
        return _filled(lambda: _create(arch or "resnet50"), canonical.tensors, meta=False)
    from timm.models.xcit import checkpoint_filter_fn

    name = arch or _xcit_name(canonical.tensors)
    model = _create(name)
    tensors = checkpoint_filter_fn(dict(canonical.tensors), model)
    return _filled(lambda: model, tensors, meta=False)


def vit_shape(
    tensors: Mapping[str, Tensor],
    *,
    num_heads: int | None = None,
    grid: tuple[int, int] | None = None,
) -> VitShape:
    """Read a ViT's dimensions off its canonical tensors.

    Raises:
        WeightsError: a tensor of the wrong rank, heads or grid that do not show.
    """
    _check_ranks(tensors)
    projection, positions = tensors["patch_embed.proj.weight"], tensors["pos_embed"]
    fc1, fc2 = tensors["blocks.0.mlp.fc1.weight"], tensors["blocks.0.mlp.fc2.weight"]
    embed_dim, channels, height, width = projection.shape
    if channels != 3 or height != width:
        raise WeightsError(
            f"the patch embedding takes {channels} channels and {height}×{width} px; expected "
            "3 channels (RGB) and square patches"
        )
    registers = tensors["reg_token"].shape[1] if "reg_token" in tensors else 0
    grid, prefix = _grid(positions.shape[1], registers, grid)
    return VitShape(
        embed_dim=embed_dim,
        depth=1 + max(int(n.split(".")[1]) for n in tensors if n.startswith("blocks.")),
        num_heads=_num_heads(embed_dim, num_heads),
        patch_size=height,
        grid=grid,
        num_registers=registers,
        layer_scale="blocks.0.ls1.gamma" in tensors,
        mlp_hidden=fc1.shape[0],
        swiglu=fc1.shape[0] == 2 * fc2.shape[1],
        qkv_bias="blocks.0.attn.qkv.bias" in tensors,
        prefix_in_positions=prefix,
    )


def dimensions(model: nn.Module) -> dict[str, Any]:
    """List the sizes of a model as plain values: every field of `VitShape` for a ViT, less for others."""
    from timm.models.vision_transformer import VisionTransformer

    if not isinstance(model, VisionTransformer):
        return {"embed_dim": int(getattr(model, "num_features", 0))}
    heads, grid = model.blocks[0].attn.num_heads, model.patch_embed.grid_size
    shape = vit_shape(model.state_dict(), num_heads=heads, grid=tuple(grid))
    return asdict(shape)


def _build_vit(shape: VitShape) -> nn.Module:
    from timm.layers import SwiGLUPacked
    from timm.models.vision_transformer import VisionTransformer
    from torch import nn

    ratio = shape.mlp_hidden / shape.embed_dim
    if int(shape.embed_dim * ratio) != shape.mlp_hidden:  # rounding down lost one
        ratio = (shape.mlp_hidden + 0.5) / shape.embed_dim
    mlp = {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU} if shape.swiglu else {}
    return VisionTransformer(
        img_size=(shape.grid[0] * shape.patch_size, shape.grid[1] * shape.patch_size),
        patch_size=shape.patch_size,
        num_classes=0,
        embed_dim=shape.embed_dim,
        depth=shape.depth,
        num_heads=shape.num_heads,
        mlp_ratio=ratio,
        qkv_bias=shape.qkv_bias,
        init_values=1e-5 if shape.layer_scale else None,
        no_embed_class=shape.prefix_in_positions == 0,
        reg_tokens=shape.num_registers,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        **mlp,
    )


def _named_vit(
    arch: str, canonical: Canonical, num_heads: int | None, grid: tuple[int, int] | None
) -> Callable[[], nn.Module]:
    """Choose how to make timm's own `arch` at the size of these weights.

    Raises:
        WeightsError: `arch` is no ViT, or the weights have other dimensions: each one named.
    """
    from timm.models.vision_transformer import VisionTransformer

    model = _empty(lambda: _create(arch))
    if not isinstance(model, VisionTransformer):
        raise WeightsError(f"arch={arch!r} is no ViT, but the weights are; leave arch= out")
    heads = num_heads or model.blocks[0].attn.num_heads
    shape = vit_shape(canonical.tensors, num_heads=heads, grid=grid)
    block = model.blocks[0]
    wanted = {
        "embed_dim": model.embed_dim,
        "depth": len(model.blocks),
        "patch_size": model.patch_embed.patch_size[0],
        "num_registers": model.num_reg_tokens,
        "layer_scale": hasattr(block.ls1, "gamma"),
        "mlp_hidden": block.mlp.fc1.out_features,
    }
    shown = asdict(shape)
    differing = [f"{k} {shown[k]} instead of {v}" for k, v in wanted.items() if shown[k] != v]
    if differing:
        raise WeightsError(
            f"the weights are not a {arch}: they have {', '.join(differing)}; leave arch= out or "
            "name another"
        )
    size = (shape.grid[0] * shape.patch_size, shape.grid[1] * shape.patch_size)
    return lambda: _create(arch, img_size=size, num_heads=heads)


def _create(arch: str, **options: object) -> nn.Module:
    import timm

    if not timm.is_model(arch):
        near = difflib.get_close_matches(arch, timm.list_models(), n=1, cutoff=0.4)
        hint = f"; nearest: {near[0]}" if near else ""
        raise WeightsError(f"arch={arch!r} is not a model timm knows{hint}")
    model: nn.Module = timm.create_model(arch, pretrained=False, num_classes=0, **options)
    return model


def _xcit_name(tensors: Mapping[str, Tensor]) -> str:
    """Name an XCiT as timm does, by width, depth and the number of stride-2 convolutions."""
    width = tensors["cls_token"].shape[-1] if "cls_token" in tensors else 0
    depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    patch = 16 if "patch_embed.proj.6.0.weight" in tensors else 8
    if width not in _XCIT_SIZES or depth not in (12, 24):
        raise WeightsError(
            f"an XCiT of width {width} and depth {depth} is not one timm knows; pass arch="
        )
    return f"xcit_{_XCIT_SIZES[width]}_{depth}_p{patch}_224"


def _empty(make: Callable[[], nn.Module]) -> nn.Module:
    """Call `make` without allocating or drawing weights, where timm's version allows that."""
    import timm  # noqa: F401 (here, since torch 2.6 cannot be loaded further on the meta device)
    import torch

    try:
        with torch.device("meta"):
            return make()
    except (RuntimeError, NotImplementedError):  # older timm calls .item() while building
        return make()


def _filled(
    make: Callable[[], nn.Module], tensors: Mapping[str, Tensor], *, meta: bool = True
) -> nn.Module:
    """Call `make` and put exactly `tensors` into the model, in eval mode.

    `meta=False` for networks with buffers that are computed, not loaded.
    """
    model = _empty(make) if meta else make()
    expected = model.state_dict()
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    missing = sorted(expected.keys() - tensors.keys() - counters)
    extra = sorted(tensors.keys() - expected.keys())
    if missing or extra:
        lists = {"missing": missing, "not known": extra}
        odd = "; ".join(f"{word} {first_three(names)}" for word, names in lists.items() if names)
        raise WeightsError(f"the weights do not fit a {type(model).__name__} of their size: {odd}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise WeightsError(
                f"{name!r} has shape {tuple(tensor.shape)}, expected {tuple(expected[name].shape)}"
            )
    complete = {name: expected[name] for name in counters} | dict(tensors)
    model.load_state_dict(complete, strict=True, assign=True)
    return model.eval()


def _check_ranks(tensors: Mapping[str, Tensor]) -> None:
    ranks = {"patch_embed.proj.weight": 4, "pos_embed": 3, "cls_token": 3, "reg_token": 3}
    ranks |= {"blocks.0.mlp.fc1.weight": 2, "blocks.0.mlp.fc2.weight": 2}
    for name, rank in ranks.items():
        if name in tensors and tensors[name].ndim != rank:
            shown = tuple(tensors[name].shape)
            raise WeightsError(f"{name!r} has shape {shown}, expected {rank} dimensions")


def _num_heads(embed_dim: int, num_heads: int | None) -> int:
    if num_heads is None:
        if embed_dim % _HEAD_DIM or embed_dim in _OTHER_HEAD_DIM:
            raise WeightsError(
                f"the number of heads does not show in weights of width {embed_dim}; pass "
                "num_heads= (or arch= with a timm name)"
            )
        return embed_dim // _HEAD_DIM
    if num_heads < 1 or embed_dim % num_heads:
        raise WeightsError(f"num_heads={num_heads} does not divide the width {embed_dim}")
    return num_heads


def _grid(count: int, registers: int, known: tuple[int, int] | None) -> tuple[tuple[int, int], int]:
    """Find the grid of a position embedding of `count` rows, and how many rows are CLS and registers.

    Without registers the CLS row is there (original, timm); with them it has been folded into the
    token, or timm keeps a row for every prefix token.
    """
    candidates = (1, 0) if registers == 0 else (0, 1 + registers)
    for prefix in candidates:
        if known is not None and known[0] * known[1] == count - prefix:
            return known, prefix
    for prefix in candidates:
        side = math.isqrt(max(count - prefix, 0))
        if side and side * side == count - prefix:
            return (side, side), prefix
    raise WeightsError(
        f"a position embedding of {count} rows is not a square grid, so its shape does not show; "
        "load it from a folder whose config.json gives image_size"
    )
