"""Tell which of timm's kinds of ViT a set of names is, and which names a complete one has."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dino.weights.naming.rules import Layout

if TYPE_CHECKING:
    from torch import Tensor

# Parts that a plain ViT has not: of other positions, or of other blocks. Timm knows such networks by name.
_OTHER_PARTS = re.compile(
    r"\.attn\.(q_proj|q_bias|norm|gate|lambda_)|rel_pos\.|^rope\.|\.attns\.|\.in_proj\.|lambda_|\.mlp\.norm\."
    r"|\.gamma_1$"
)


def kind_of(tensors: Mapping[str, Tensor], layout: Layout, names: Iterable[str]) -> str:
    """Tell which of timm's kinds of ViT the names show; "named" where they show too little.

    `names` are those before heads were dropped.
    """
    other = [match[0] for name in tensors if (match := _OTHER_PARTS.search(name))]
    if any(name.endswith("relative_position_bias_table") for name in tensors):
        return "named" if ".mlp.norm." in other else "beit"
    if layout.family == "huggingface dinov3" or _is_dinov3(tensors, set(other)):
        return "dinov3"
    pooled = layout.family == "timm" and any(name.startswith("attn_pool.") for name in names)
    return "named" if len(other) > 1 or _shows_too_little(tensors, pooled=pooled) else "vit"


def _is_dinov3(tensors: Mapping[str, Tensor], other: set[str]) -> bool:
    """Tell a DINOv3, by the periods of its positions, or by timm's names, which no other network has."""
    if "pos_embed" in tensors:
        return False
    names = {"cls_token", "reg_token", "norm.weight", "blocks.0.attn.qkv.weight"}
    names |= {"blocks.0.gamma_1", "blocks.0.gamma_2"}
    in_timm = names <= tensors.keys() and other <= {".attn.q_bias", ".gamma_1"}
    return "rope_embed.periods" in tensors or (in_timm and "blocks.0.attn.qkv.bias" not in tensors)


def _shows_too_little(tensors: Mapping[str, Tensor], *, pooled: bool) -> bool:
    """Tell whether networks that compute different things have these names in timm."""
    if pooled and {"norm_pre.weight", "cls_token"} <= tensors.keys():
        return True  # a Perception Encoder has the names of a CLIP, and rotary positions beside
    norms = [name for name in tensors if re.search(r"\.norm1\.(weight|bias)$", name)]
    if "patch_embed.norm.weight" in tensors or (norms and not any("bias" in n for n in norms)):
        return True  # a norm of patches, or norms that are perhaps no layer norms
    last = ("norm.weight", "norm.bias", "fc_norm.weight", "fc_norm.bias")
    if not any(name in tensors for name in last) and "pos_embed" in tensors:
        return True  # no last norm
    after_pooling = "norm.weight" not in tensors and "fc_norm.weight" in tensors
    # timm's networks with a norm after each part have the names of those with one before it
    return after_pooling and "cls_token" not in tensors and not _has_qkv_bias(tensors)


def expected_keys(
    tensors: Mapping[str, Tensor], family: str, grid: tuple[int, int] | None
) -> set[str]:
    """List the canonical keys of a ViT with the depth and the options these tensors show."""
    numbers = [int(m[1]) for name in tensors if (m := re.match(r"blocks\.(\d+)\.", name))]
    depth = min(max(numbers, default=0), len(tensors)) + 1  # whatever number a broken key holds

    def shown(*parts: str) -> bool:
        """Tell whether at least half of the blocks' tensors of an option are there."""
        hits = sum(f"blocks.{i}.{part}" in tensors for i in range(depth) for part in parts)
        return hits * 2 >= depth * len(parts)

    layers = ["norm1", "attn.proj", "norm2", "mlp.fc2"]
    gated = shown("mlp.fc1_g.weight", "mlp.fc1_x.weight")
    layers += ["mlp.fc1_g", "mlp.fc1_x"] if gated else ["mlp.fc1"]
    if shown("attn.q_norm.weight", "attn.k_norm.weight"):
        layers += ["attn.q_norm", "attn.k_norm"]
    block = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    block.append("attn.qkv.weight")
    if family == "vit":
        block += ["attn.qkv.bias"] if _has_qkv_bias(tensors) else []
        if any(re.search(r"\.ls[12]\.gamma$", name) for name in tensors):
            block += ["ls1.gamma", "ls2.gamma"]
    else:
        block += ["attn.q_bias", "attn.v_bias"] if shown("attn.q_bias", "attn.v_bias") else []
        block += ["gamma_1", "gamma_2"] if shown("gamma_1", "gamma_2") else []
        if family == "beit" and shown("attn.relative_position_bias_table"):
            block.append("attn.relative_position_bias_table")
    expected = {f"blocks.{i}.{name}" for i in range(depth) for name in block}
    return expected | _expected_around(tensors, family, grid)


def _has_qkv_bias(tensors: Mapping[str, Tensor]) -> bool:
    return any(re.search(r"attn\.(qkv|query|key|value)\.bias$", name) for name in tensors)


def _expected_around(
    tensors: Mapping[str, Tensor], family: str, grid: tuple[int, int] | None
) -> set[str]:
    """List the canonical keys outside the blocks."""
    last = "fc_norm" if "fc_norm.weight" in tensors and "norm.weight" not in tensors else "norm"
    expected = {"patch_embed.proj.weight", f"{last}.weight", f"{last}.bias"}
    if {"norm_pre.weight", "norm_pre.bias"} <= tensors.keys():
        expected |= {"norm_pre.weight", "norm_pre.bias"}
    else:
        expected.add("patch_embed.proj.bias")
    if "reg_token" in tensors:
        expected.add("reg_token")
    if family == "dinov3":
        return expected | {"cls_token"}
    if family == "beit":
        shared = "rel_pos_bias.relative_position_bias_table"
        optional = {shared, "pos_embed"} & tensors.keys()
        return expected | optional | {"cls_token"}
    positions = tensors.get("pos_embed")
    count = positions.shape[1] if positions is not None and positions.ndim == 3 else 0
    if "dist_token" in tensors and fits_grid(count - 2, grid):
        expected.add("dist_token")
    if "cls_token" in tensors or not fits_grid(count, grid):
        expected.add("cls_token")
    return expected | {"pos_embed"}


def fits_grid(count: int, grid: tuple[int, int] | None) -> bool:
    """Tell whether `count` positions are those of the grid, or of a square one."""
    if grid is not None and grid[0] * grid[1] == count:
        return True
    return count > 0 and math.isqrt(count) ** 2 == count
