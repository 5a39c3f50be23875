"""Rename the tensors of any checkpoint layout to timm's key names, exactly or not at all.

    canonical = to_canonical(raw.tree, key="teacher")
    canonical.tensors["blocks.0.attn.qkv.weight"]      # [3D, D], float32

This module and `locate.py` are the only ones that know foreign key names. The canonical names are
`cls_token, reg_token, pos_embed, patch_embed.proj.*, blocks.N.{norm1, attn.qkv, attn.proj,
ls1.gamma, norm2, mlp.fc1, mlp.fc2, ls2.gamma}.*, norm.*`; ResNet-50 and XCiT keep timm's own.

Sources: the key names of facebookresearch/dino and dinov2, of transformers' ViT, Dinov2 and
Dinov2WithRegisters, and of timm's VisionTransformer.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dino.errors import WeightsError
from dino.weights.locate import FoundBackbone, first_three, locate

if TYPE_CHECKING:
    from torch import Tensor

# Keys inside a backbone's own namespace that are not part of the backbone, by layout.
_DROPPED = {
    "timm": r"(head|heads|fc|classifier|pre_logits|projection_head|dino_head|ibot_head)\.|mask_token$",
    "huggingface": r"(pooler|classifier|head|decoder|projection_head)\.|embeddings\.mask_token$",
    "resnet": r"(fc|head)\.",
    "xcit": r"head\.",
}
_NAMES = {
    "timm": "timm / original DINO ViT",
    "huggingface": "Hugging Face ViT or Dinov2",
    "resnet": "ResNet-50",
    "xcit": "XCiT",
}

# transformers' names → timm's, tried in this order; q, k and v are joined afterwards.
_HUGGINGFACE = (
    (r"embeddings\.cls_token$", "cls_token"),
    (r"embeddings\.position_embeddings$", "pos_embed"),
    (r"embeddings\.register_tokens$", "reg_token"),
    (r"embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"layernorm\.", "norm."),
    (r"encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"^(blocks\.\d+)\.attention\.attention\.(query|key|value)\.", r"\1.attn.\2."),
    (r"^(blocks\.\d+)\.attention\.output\.dense\.", r"\1.attn.proj."),
    (r"^(blocks\.\d+)\.layernorm_before\.", r"\1.norm1."),
    (r"^(blocks\.\d+)\.layernorm_after\.", r"\1.norm2."),
    (r"^(blocks\.\d+)\.intermediate\.dense\.", r"\1.mlp.fc1."),
    (r"^(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"^(blocks\.\d+)\.layer_scale([12])\.lambda1$", r"\1.ls\2.gamma"),
    (r"^(blocks\.\d+)\.mlp\.weights_in\.", r"\1.mlp.fc1."),
    (r"^(blocks\.\d+)\.mlp\.weights_out\.", r"\1.mlp.fc2."),
)
_ORIGINAL = (
    (r"register_tokens$", "reg_token"),
    (r"blocks\.\d+\.(\d+)\.", r"blocks.\1."),  # training wrote blocks in chunks
    (r"^(blocks\.\d+)\.mlp\.w12\.", r"\1.mlp.fc1."),  # SwiGLU, gate first as in timm's packed one
    (r"^(blocks\.\d+)\.mlp\.w3\.", r"\1.mlp.fc2."),
)


@dataclass(frozen=True)
class Canonical:
    """A backbone in canonical names: `tensors` float32, `family` "vit", "resnet" or "xcit",
    `layout` in words for the user."""

    tensors: dict[str, Tensor]
    family: str
    layout: str


def to_canonical(tree: Mapping[str, Any], *, key: str = "teacher") -> Canonical:
    """Recognise the layout and rename every tensor of the backbone.

    Args:
        tree: checkpoint, flat or nested, of torch tensors or numpy arrays.
        key: "teacher" or "student" of a full checkpoint; a bare backbone ignores it.
    Raises:
        WeightsError: no known layout, no such key, or any key missing or left over.
    """
    found, state = locate(tree, key=key)
    dropped = re.compile(_DROPPED[found.family])
    state = {name: value for name, value in state.items() if not dropped.match(name)}
    if found.family in ("resnet", "xcit"):
        return Canonical(_float32(state), found.family, _describe(found))
    rules = _HUGGINGFACE if found.family == "huggingface" else _ORIGINAL
    origin: dict[str, str] = {}
    renamed: dict[str, Any] = {}
    for name, value in state.items():
        new = _rename(name, rules)
        if new in renamed:
            raise WeightsError(
                f"{origin[new]!r} and {name!r} both stand for {new!r}; keep one of them"
            )
        origin[new], renamed[new] = name, value
    tensors = _float32(renamed)
    if found.family == "huggingface":
        _join_qkv(tensors, origin)
    _check_complete(tensors, origin, found)
    _fold_positions(tensors, origin)
    return Canonical(tensors, "vit", _describe(found))


def _rename(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        anchored = pattern if pattern.startswith("^") else f"^{pattern}"
        name = re.sub(anchored, replacement, name)
    return name


def _float32(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Copy tensors as contiguous float32 (the file may be memory-mapped); counters stay as they are.

    Raises:
        WeightsError: integer (quantised) weights, a small tensor that claims to be a huge one (a
            stride of 0), or values that are not finite.
    """
    import torch

    tensors = {}
    for name, value in state.items():
        tensor = torch.as_tensor(value).detach()
        if name.endswith("num_batches_tracked"):
            tensors[name] = tensor.clone()
            continue
        if not tensor.is_floating_point():
            raise WeightsError(
                f"{name!r} holds {tensor.dtype}, not floating point numbers; convert quantised "
                "weights back first"
            )
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise WeightsError(
                f"{name!r} claims {tuple(tensor.shape)} values that are not in the file; expected "
                "plain tensors, so save it again with .contiguous()"
            )
        copy = tensor.to("cpu", torch.float32, copy=True).contiguous()
        if not copy.isfinite().all():
            raise WeightsError(
                f"{name!r} holds values that are not finite (a diverged run, or float16 "
                "overflow); take an earlier checkpoint"
            )
        tensors[name] = copy
    return tensors


def _join_qkv(tensors: dict[str, Tensor], origin: dict[str, str]) -> None:
    """Stack query, key and value (in this order) into timm's `attn.qkv`, in place.

    An incomplete set is left as it is for `_check_complete` to name.
    """
    import torch

    for query in [name for name in tensors if ".attn.query." in name]:
        names = [query.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(name in tensors for name in names):
            joined = query.replace(".query.", ".qkv.")
            origin[joined] = origin[query]
            tensors[joined] = torch.cat([tensors.pop(name) for name in names])


def _check_complete(
    tensors: dict[str, Tensor], origin: dict[str, str], found: FoundBackbone
) -> None:
    """Refuse a ViT with any tensor missing or left over."""
    expected = _expected(tensors)
    missing, extra = sorted(expected - tensors.keys()), sorted(tensors.keys() - expected)
    if not missing and not extra:
        return
    parts = []
    if missing:
        parts.append(f"missing {first_three(missing)}")
    if extra:
        parts.append(f"not known {first_three([origin[name] for name in extra])}")
        near = difflib.get_close_matches(extra[0], missing, n=1)
        parts.append(f"did you mean {near[0]!r}?" if near else "they belong to another network")
    raise WeightsError(
        f"almost a {_NAMES[found.family]} ({found.label}), but {'; '.join(parts)}: give the "
        "complete, unchanged state dict of the backbone"
    )


def _expected(tensors: Mapping[str, Tensor]) -> set[str]:
    """List the canonical keys of a ViT with the depth and the options these tensors show."""
    numbers = [int(m[1]) for name in tensors if (m := re.match(r"blocks\.(\d+)\.", name))]
    depth = min(max(numbers, default=0), len(tensors)) + 1  # whatever number a broken key holds
    layers = ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"]
    block = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    if not any(re.search(r"attn\.(qkv|query|key|value)\.bias$", name) for name in tensors):
        block.remove("attn.qkv.bias")
    if any(re.search(r"\.ls[12]\.gamma$", name) for name in tensors):
        block += ["ls1.gamma", "ls2.gamma"]
    expected = {f"blocks.{i}.{name}" for i in range(depth) for name in block}
    expected |= {"cls_token", "pos_embed", "norm.weight", "norm.bias"}
    expected |= {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    return expected | ({"reg_token"} if "reg_token" in tensors else set())


def _fold_positions(tensors: dict[str, Tensor], origin: Mapping[str, str]) -> None:
    """Put the CLS position into the CLS token where there are registers, as timm does, in place.

    The original and Hugging Face keep a position embedding [1,1+N,D] that skips the registers;
    timm has no such mode, but cls + pos[0] and an embedding of the N patches is the same sum.
    """
    if "reg_token" not in tensors or tensors["pos_embed"].ndim != 3:
        return
    positions, registers = tensors["pos_embed"], tensors["reg_token"]
    count, num_registers = positions.shape[1], registers.shape[1]
    # timm's own name: its embedding covers the patches, or all tokens, unless the count says no
    as_in_timm = _is_square(count) or _is_square(count - 1 - num_registers)
    foreign = origin["reg_token"].endswith("register_tokens")
    if not foreign and (as_in_timm or not _is_square(count - 1)):
        return
    tensors["cls_token"] = tensors["cls_token"] + positions[:, :1]
    tensors["pos_embed"] = positions[:, 1:].contiguous()


def _is_square(count: int) -> bool:
    return count > 0 and math.isqrt(count) ** 2 == count


def _describe(found: FoundBackbone) -> str:
    """Describe the layout in words, with the part of the checkpoint that was taken."""
    part = f", {found.label}" if found.words else ""
    return f"{_NAMES[found.family]}{part}"
