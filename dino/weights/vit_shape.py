"""Dimensions of a ViT, read off its canonical tensors.

Everything shows except the number of heads, and the shape of a grid that is not square.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dino.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_HEAD_DIM = 64
# Published ViTs of these widths (so400m, H, g, G) have 16 heads, though 64 divides the width.
_OTHER_HEAD_DIM = frozenset({1152, 1280, 1408, 1664})


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


def vit_shape(
    tensors: Mapping[str, Tensor],
    *,
    num_heads: int | None = None,
    grid: tuple[int, int] | None = None,
) -> VitShape:
    """Dimensions shown by canonical tensors.

    Raises:
        WeightsError: a tensor of the wrong rank, heads or grid that cannot be told.
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
    """Grid of a position embedding of `count` rows, and how many rows are CLS and registers.

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
