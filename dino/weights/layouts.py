"""Rename the tensors of any checkpoint layout to timm's key names, exactly or not at all.

    canonical = to_canonical(raw.tree, key="teacher")
    canonical.tensors["blocks.0.attn.qkv.weight"]      # [3D, D], float32

This module, `locate.py` and `naming/` are the only ones that know foreign key names. The canonical
names of a ViT are `cls_token, reg_token, pos_embed, patch_embed.proj.*, blocks.N.{norm1, attn.qkv,
attn.proj, ls1.gamma, norm2, mlp.fc1, mlp.fc2, ls2.gamma}.*, norm.*`; a DINOv3 has those of timm's Eva
(`q_bias`, `gamma_1`), a BEiT those of timm's Beit; ResNet-50 and XCiT keep timm's own.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dino.errors import WeightsError
from dino.weights.hints import Triple
from dino.weights.locate import FoundBackbone, first_three, locate
from dino.weights.naming.clip import CLIP_MEAN, CLIP_STD
from dino.weights.naming.kinds import expected_keys, fits_grid, kind_of
from dino.weights.naming.lora import merge_lora
from dino.weights.naming.others import seems
from dino.weights.naming.rules import Layout, rename_all
from dino.weights.naming.special import beit_tensors, dinov3_tensors, eva_tensors
from dino.weights.naming.table import BY_FAMILY

if TYPE_CHECKING:
    from torch import Tensor

Channels = Literal["mean", "first"]
_HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Canonical:
    """A backbone in canonical names.

    `tensors` float32; `family` "vit", "dinov3", "beit", "named" (timm's names, but of a network whose
    settings the tensors do not show), "resnet" or "xcit"; `layout` in words for the user. What the
    project that wrote them uses is in `norm_eps`, `act`, `mean` and `std` (None: timm's own), `periods`
    are those of rotary positions, `grid` is None or the one the tensors show. `raw` are the tensors as
    they were named, `notes` what was assumed.
    """

    tensors: dict[str, Tensor]
    family: str
    layout: str
    norm_eps: float | None = None
    act: str | None = None
    assumed_act: str | None = None
    mean: Triple | None = None
    std: Triple | None = None
    periods: Tensor | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def to_canonical(
    tree: Mapping[str, Any],
    *,
    key: str = "teacher",
    channels: Channels | None = None,
    config: Mapping[str, Any] | None = None,
    grid: tuple[int, int] | None = None,
    by_name: bool = False,
) -> Canonical:
    """Recognise the layout and rename every tensor of the backbone.

    Args:
        tree: checkpoint, flat or nested, of torch tensors or numpy arrays.
        key: "teacher" or "student" of a full checkpoint; a bare backbone ignores it.
        channels: how an input of other than 3 channels becomes RGB: "mean" shows a network of one
            channel the mean of R, G and B; "first" keeps the first three of four or more.
        config: what stands beside the weights, for the scale of adapters.
        grid: (rows, columns) of the position embedding where known.
        by_name: whether the network is told by name, so that its tensors need not show it.
    Raises:
        WeightsError: no known layout, no such key, or any key missing or left over.
    """
    found, state, left_out = locate(tree, key=key)
    layout = BY_FAMILY[found.family]
    state = merge_lora(state, config or {})
    dropped = re.compile(layout.dropped)
    kept = {name: value for name, value in state.items() if not dropped.match(name)}
    notes = _left_out_note(left_out)
    if found.family in ("resnet", "xcit"):
        return Canonical(as_float32(kept), found.family, _describe(found), words=found.words)
    if layout.check is not None and not by_name:
        layout.check(state)
    renamed, origin = rename_all(kept, layout.rules)
    tensors = as_float32(renamed)
    if layout.shape is not None:
        layout.shape(tensors, origin)
    _choose_last_norm(tensors)
    family = kind_of(tensors, layout, state)
    periods = None
    if family == "dinov3":
        periods = dinov3_tensors(tensors, origin)
    elif family == "beit":
        beit_tensors(tensors, origin)
    elif family == "named":
        eva_tensors(tensors, origin)
    if family != "named" and not by_name:
        _check_complete(tensors, origin, found, expected_keys(tensors, family, grid))
    if family == "vit":
        _fold_positions(tensors, origin)
    notes += _to_rgb(tensors, channels)
    if layout.family == "huggingface clip" and "norm_pre.weight" in tensors:
        notes += (
            "Tokens are taken after the last norm, as timm takes them; the last_hidden_state of "
            "transformers is before it.",
        )
    facts = _facts(layout, tensors, family)
    return Canonical(
        tensors,
        family,
        _describe(found, family),
        periods=periods,
        raw=state,
        words=found.words,
        notes=notes,
        **facts,
    )


def _left_out_note(left_out: list[str]) -> tuple[str, ...]:
    if not left_out:
        return ()
    names = ", ".join(repr(name) for name in left_out[:4])
    return (f"Tensors beside the backbone ({names}) are no part of it and were left out.",)


def as_float32(state: Mapping[str, Any]) -> dict[str, Tensor]:
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
        if not copy.isfinite().all() and not name.endswith("bias_mask"):
            raise WeightsError(
                f"{name!r} holds values that are not finite (a diverged run, or float16 "
                "overflow); take an earlier checkpoint"
            )
        tensors[name] = copy
    return tensors


def _choose_last_norm(tensors: dict[str, Tensor]) -> None:
    """Drop a norm after pooling where there is a last norm too: then it belongs to the classifier."""
    if "norm.weight" in tensors:
        for name in ("fc_norm.weight", "fc_norm.bias"):
            tensors.pop(name, None)


def _check_complete(
    tensors: dict[str, Tensor],
    origin: dict[str, str],
    found: FoundBackbone,
    expected: set[str],
) -> None:
    """Refuse a ViT with any tensor missing or left over."""
    missing, extra = sorted(expected - tensors.keys()), sorted(tensors.keys() - expected)
    if not missing and not extra:
        return
    other = seems(extra) or (seems(found.tensors()) if len(missing) + len(extra) > 3 else None)
    if other is not None:
        raise WeightsError(f"{found.label}: {other}")
    parts = []
    if missing:
        parts.append(f"missing {first_three(missing)}")
    if extra:
        parts.append(f"not known {first_three([origin.get(name, name) for name in extra])}")
        near = difflib.get_close_matches(extra[0], missing, n=1)
        parts.append(f"did you mean {near[0]!r}?" if near else "they belong to another network")
    raise WeightsError(
        f"almost a {BY_FAMILY[found.family].words} ({found.label}), but {'; '.join(parts)}: give the "
        "complete, unchanged state dict of the backbone, or its timm name as arch= (--arch)"
    )


def _fold_positions(tensors: dict[str, Tensor], origin: Mapping[str, str]) -> None:
    """Put the CLS position into the CLS token where there are registers, as timm does, in place.

    The original and Hugging Face keep a position embedding [1,1+N,D] that skips the registers;
    timm has no such mode, but cls + pos[0] and an embedding of the N patches is the same sum.
    """
    if "reg_token" not in tensors or "cls_token" not in tensors or tensors["pos_embed"].ndim != 3:
        return
    positions, registers = tensors["pos_embed"], tensors["reg_token"]
    count, num_registers = positions.shape[1], registers.shape[1]
    # timm's own name: its embedding covers the patches, or all tokens, unless the count says no
    as_in_timm = fits_grid(count, None) or fits_grid(count - 1 - num_registers, None)
    foreign = origin["reg_token"].endswith("register_tokens")
    if not foreign and (as_in_timm or not fits_grid(count - 1, None)):
        return
    tensors["cls_token"] = tensors["cls_token"] + positions[:, :1]
    tensors["pos_embed"] = positions[:, 1:].contiguous()


def _to_rgb(tensors: dict[str, Tensor], channels: Channels | None) -> tuple[str, ...]:
    """Make the patch embedding take R, G and B, in place, as `channels` says.

    Returns:
        What was done, as a note.
    Raises:
        WeightsError: other than 3 channels, and `channels` does not say what they are.
    """
    projection = tensors.get("patch_embed.proj.weight")
    if projection is not None and projection.ndim == 5:
        raise WeightsError(
            "a network of videos: its patches span frames, and a photo has none; give one of images"
        )
    if projection is None or projection.ndim != 4 or projection.shape[1] == 3:
        return ()
    count = projection.shape[1]
    if channels == "mean" and count == 1:
        tensors["patch_embed.proj.weight"] = (projection / 3).repeat(1, 3, 1, 1)
        return ("The network takes 1 channel; it is shown the mean of red, green and blue.",)
    if channels == "first" and count > 3:
        tensors["patch_embed.proj.weight"] = projection[:, :3].contiguous()
        return (
            f"The network takes {count} channels; the first three are taken as red, green and blue, "
            "the others as 0.",
        )
    remedies = {
        1: 'channels="mean" (--channels mean) shows it the mean of red, green and blue',
        2: "there is no way to show it a photo",
    }
    remedy = remedies.get(
        count, 'channels="first" (--channels first) takes the first three for red, green and blue'
    )
    raise WeightsError(
        f"the patch embedding takes {count} channels, expected 3 channels (RGB); {remedy}"
    )


def _facts(layout: Layout, tensors: Mapping[str, Tensor], family: str) -> dict[str, Any]:
    """List what this project uses and the tensors do not show."""
    facts: dict[str, Any] = {
        "norm_eps": layout.norm_eps,
        "act": layout.act,
        "assumed_act": layout.assumed_act,
        "mean": layout.mean,
        "std": layout.std,
    }
    is_clip = "norm_pre.weight" in tensors
    if is_clip:
        facts |= {"norm_eps": 1e-5, "mean": CLIP_MEAN, "std": CLIP_STD}
    if family == "dinov3":
        facts |= {"norm_eps": 1e-5}
    elif family == "beit":
        facts |= {"mean": _HALF, "std": _HALF}
    elif layout.family == "huggingface clip":
        facts |= {"act": "quick_gelu"} if is_clip else {"act": "gelu_tanh", "norm_eps": 1e-6}
        if not is_clip:
            facts |= {"mean": _HALF, "std": _HALF}
        facts["assumed_act"] = (
            f"The activation is not recorded; {facts['act']}, as in the published networks, is assumed."
        )
    elif layout.family == "timm" and is_clip:
        facts["assumed_act"] = (
            "The activation is not recorded; gelu, as in timm's CLIP networks, is assumed; of OpenAI's "
            "own pass arch= with its timm name, such as vit_base_patch32_clip_quickgelu_224."
        )
    return facts


def _describe(found: FoundBackbone, family: str = "vit") -> str:
    """Describe the layout in words, with the part of the checkpoint that was taken."""
    words = BY_FAMILY[found.family].words
    if found.family == "timm":
        words = {"dinov3": "timm / original DINOv3", "beit": "timm / original BEiT"}.get(
            family, words
        )
    part = f", {found.label}" if found.words else ""
    return f"{words}{part}"
