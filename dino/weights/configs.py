"""Read the JSON files that stand beside weights: what others' tools say of a network.

Known are Hugging Face's config.json (transformers and timm), open_clip_config.json, and the image
processors' preprocessor_config.json or processor_config.json. What a file says and nothing here can do
is refused by its name; what it leaves out stays None.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dino.errors import WeightsError
from dino.system.files import parse_json
from dino.weights.hints import Hints, Triple, pair, triple

# Activations as Hugging Face and open_clip name them, and as timm does.
_ACTIVATIONS = {
    **dict.fromkeys(("gelu", "gelu_python"), "gelu"),
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_accurate"), "gelu_tanh"),
    **dict.fromkeys(("gelu_pytorch_tanh", "gelu_python_tanh", "gelu_tanh"), "gelu_tanh"),
    "quick_gelu": "quick_gelu",
    **dict.fromkeys(("silu", "swish"), "silu"),
    **{name: name for name in ("relu", "relu6", "mish", "tanh", "sigmoid", "leaky_relu")},
    "hardswish": "hard_swish",
}
# transformers leaves values out of a nested config where they are these: heads, activation, epsilon of
# norms, image and patch size in px (None where its own versions differ).
_NESTED_DEFAULTS: dict[str, tuple[int, str, float, int | None, int | None]] = {
    "clip_vision_model": (12, "quick_gelu", 1e-5, 224, 32),
    "chinese_clip_vision_model": (12, "quick_gelu", 1e-5, 224, 32),
    "siglip_vision_model": (12, "gelu_pytorch_tanh", 1e-6, 224, 16),
    "siglip2_vision_model": (12, "gelu_pytorch_tanh", 1e-6, None, 16),
    "blip_vision_model": (12, "gelu", 1e-5, 384, 16),
    "dinov2": (12, "gelu", 1e-6, None, None),
    "dinov2_with_registers": (12, "gelu", 1e-6, None, None),
    "dinov3_vit": (6, "gelu", 1e-5, 224, 16),
    "vit": (12, "gelu", 1e-12, 224, 16),
    "deit": (12, "gelu", 1e-12, 224, 16),
    "vit_mae": (12, "gelu", 1e-12, 224, 16),
    "ijepa": (12, "gelu", 1e-12, 224, 16),
}
_NESTED_NAMES = ("num_attention_heads", "hidden_act", "layer_norm_eps", "image_size", "patch_size")
_VISION_PARTS = ("vision_config", "backbone_config", "encoder")
_HEADS = ("num_attention_heads", "num_heads", "n_heads")
_EPSILONS = ("layer_norm_eps", "layer_norm_epsilon", "norm_eps")
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_OPEN_CLIP_HEAD_WIDTH = 64  # where its config does not say


def with_folder(hints: Hints, folder: Path) -> Hints:
    """Add what the JSON files of a folder say.

    Raises:
        WeightsError: a file is no JSON object, says something of the wrong type, or asks for what is
            known and not supported.
    """
    hints = replace(hints, name=hints.name or folder.resolve().name)
    config, path = read_json_object(folder / "config.json"), folder / "config.json"
    if config:
        hints = from_config(hints, config, str(path))
    clip = read_json_object(folder / "open_clip_config.json")
    if clip:
        hints = _from_open_clip(hints, clip, str(folder / "open_clip_config.json"))
    for name in _PROCESSORS:
        processor = read_json_object(folder / name)
        if processor:
            return _from_processor(hints, processor, str(folder / name))
    return hints


def from_config(hints: Hints, config: Mapping[str, Any], where: str) -> Hints:
    """Add what a config of transformers or timm says; errors begin with `where` it came from."""
    if isinstance(config.get("architecture"), str):
        return _from_timm(hints, config, where)
    vision = _vision_part(config)
    for part in (config, vision):
        if part.get("quantization_config"):
            raise WeightsError(
                f"{where}: names a quantization_config, and quantised weights are not read here; give "
                "the weights that were quantised, in fp32, fp16 or bf16"
            )
    patch = _size(vision, ("patch_size",), where)
    model_type = vision.get("model_type") or config.get("model_type")
    rope = vision.get("rope_parameters") or {}
    return replace(
        hints,
        num_heads=_count(vision, _HEADS, where) or hints.num_heads,
        grid=_grid(_size(vision, ("image_size",), where), patch) or hints.grid,
        patch_size=patch or hints.patch_size,
        norm_eps=_positive(vision, _EPSILONS, where) or hints.norm_eps,
        act=_activation(vision, where) or hints.act,
        rope_theta=_positive(vision, ("rope_theta",), where)
        or (_positive(rope, ("rope_theta",), where) if isinstance(rope, Mapping) else None)
        or hints.rope_theta,
        model_type=model_type if isinstance(model_type, str) else hints.model_type,
        config=config,
        metadata={**hints.metadata, "model_type": str(model_type or "unknown")},
    )


def _vision_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the part of a config that is of the network that sees, with what it leaves out."""
    for name in _VISION_PARTS:
        part = config.get(name)
        if isinstance(part, Mapping) and "hidden_size" not in config:
            kind = str(part.get("model_type") or f"{config.get('model_type')}_vision_model")
            defaults = dict(zip(_NESTED_NAMES, _NESTED_DEFAULTS.get(kind, ()), strict=False))
            return {**defaults, "model_type": kind, **part}
    return config


def _from_timm(hints: Hints, config: Mapping[str, Any], where: str) -> Hints:
    """Read timm's config.json: an architecture, its arguments, and how its pictures were prepared."""
    architecture = config["architecture"]
    args = _mapping(config, "model_args", where)
    cfg = {**config, **_mapping(config, "pretrained_cfg", where)}  # older ones are flat
    patch = _size(args, ("patch_size",), where) or _patch_of_name(architecture)
    size = _size(args, ("img_size",), where)
    if size is None and isinstance(cfg.get("input_size"), list):
        size = pair(cfg["input_size"][-2:])
    return replace(
        hints,
        num_heads=_count(args, _HEADS, where) or hints.num_heads,
        grid=_grid(size, patch) or hints.grid,
        patch_size=patch or hints.patch_size,
        mean=_channels(cfg, "mean", where) or hints.mean,
        std=_channels(cfg, "std", where) or hints.std,
        act=_activation(args, where, ("act_layer",)) or hints.act,
        arch=architecture,
        arch_label=architecture,
        config=config,
    )


def _from_open_clip(hints: Hints, config: Mapping[str, Any], where: str) -> Hints:
    """Read open_clip's config: the vision tower's sizes, and how its pictures were prepared."""
    model = _mapping(config, "model_cfg", where)
    vision, pictures = (
        _mapping(model, "vision_cfg", where),
        _mapping(config, "preprocess_cfg", where),
    )
    patch = _size(vision, ("patch_size",), where)
    width = _count(vision, ("width",), where)
    head_width = _count(vision, ("head_width",), where) or _OPEN_CLIP_HEAD_WIDTH
    named = vision.get("timm_model_name")
    is_timm = isinstance(named, str)
    return replace(
        hints,
        num_heads=width // head_width if width and not is_timm else hints.num_heads,
        grid=_grid(_size(vision, ("image_size",), where), patch) or hints.grid,
        patch_size=patch or hints.patch_size,
        mean=_channels(pictures, "mean", where) or hints.mean,
        std=_channels(pictures, "std", where) or hints.std,
        act=hints.act if is_timm else "quick_gelu" if model.get("quick_gelu") else "gelu",
        arch=named if is_timm else hints.arch,
        arch_label=named if is_timm else hints.arch_label,
        model_type="open_clip",
        config=config,
    )


def _from_processor(hints: Hints, processor: Mapping[str, Any], where: str) -> Hints:
    """Read how an image processor brings pixels (0..255) to what the network was given."""
    inner = processor.get("image_processor")
    told = inner if isinstance(inner, Mapping) else processor
    mean, std = _channels(told, "image_mean", where), _channels(told, "image_std", where)
    if told.get("do_normalize") is False:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if mean is None and std is None:
        return hints
    if told.get("do_rescale") is False or told.get("offset") or told.get("rescale_offset"):
        raise WeightsError(
            f"{where}: says do_rescale: false or an offset, so the network was given pixels of another "
            "range than 0 to 1, which is not supported here; set do_rescale to true with the image_mean "
            "and image_std of pixels from 0 to 1"
        )
    factor = 255 * (_positive(told, ("rescale_factor",), where) or 1 / 255)
    if not math.isclose(factor, 1, rel_tol=1e-5):  # (255 x f - mean) / std, with x of 0..1
        mean, std = (None if v is None else _divided(v, factor) for v in (mean, std))
    return replace(hints, mean=mean or hints.mean, std=std or hints.std)


def _divided(values: Triple, by: float) -> Triple:
    red, green, blue = values
    return red / by, green / by, blue / by


# --- values, each of the type it has to be of ----------------------------------------------------


def _mapping(config: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    value = config.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(where, name, value, "a JSON object")
    return value


def _count(config: Mapping[str, Any], names: tuple[str, ...], where: str) -> int | None:
    """Read a whole number above 0; a list (one a stage, as in Swin) counts as not given."""
    for name in names:
        value = config.get(name)
        if value is None or isinstance(value, list):
            continue
        if type(value) is not int or value < 1:
            raise _wrong(where, name, value, "a whole number above 0")
        return value
    return None


def _positive(config: Mapping[str, Any], names: tuple[str, ...], where: str) -> float | None:
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if type(value) not in (int, float) or not (0 < value < math.inf):
            raise _wrong(where, name, value, "a number above 0")
        return float(value)
    return None


def _size(config: Mapping[str, Any], names: tuple[str, ...], where: str) -> tuple[int, int] | None:
    """Read (height, width) from one side, two, or {"height": …, "width": …}."""
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, Mapping):
            value = [value.get("height"), value.get("width")]
        sides = pair([value, value] if isinstance(value, int) else value)
        if sides is None:
            raise _wrong(where, name, config[name], "one side or (height, width), in px")
        return sides
    return None


def _channels(config: Mapping[str, Any], name: str, where: str) -> Triple | None:
    """Read a value a channel: three, one for all, or more, of which the first three are R, G, B."""
    value = config.get(name)
    if value is None:
        return None
    values = value if isinstance(value, list) else [value]
    read = triple(values * 3 if len(values) == 1 else values[:3])
    if read is None or (name.endswith("std") and min(read) <= 0):
        raise _wrong(where, name, value, "three numbers, one a channel")
    return read


def _activation(
    config: Mapping[str, Any],
    where: str,
    names: tuple[str, ...] = ("hidden_act", "hidden_activation", "act_layer"),
) -> str | None:
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or value.lower() not in _ACTIVATIONS:
            raise WeightsError(
                f"{where}: {name} is {value!r}"[:300]
                + ", an activation that is not supported here; "
                f"expected one of {', '.join(_ACTIVATIONS)}"
            )
        return _ACTIVATIONS[value.lower()]
    return None


def _grid(size: tuple[int, int] | None, patch: tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None or patch is None:
        return None
    return pair((size[0] // patch[0], size[1] // patch[1]))


def _patch_of_name(name: str) -> tuple[int, int] | None:
    found = re.search(r"patch(\d{1,3})(?!\d)", name)
    return pair((int(found[1]), int(found[1]))) if found else None


def _wrong(where: str, name: str, value: Any, expected: str) -> WeightsError:
    return WeightsError(
        f"{where}: {name} is {value!r}"[:300] + f", expected {expected}; correct it"
    )


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; {} where there is no such file.

    Raises:
        WeightsError: it cannot be read, is no JSON, or is no object.
    """
    if not path.is_file():
        return {}
    try:
        parsed = parse_json(path.read_bytes())
    except (ValueError, OSError) as error:
        raise WeightsError(f"{path}: not readable as JSON ({error}); fix or remove it") from error
    if not isinstance(parsed, dict):
        raise WeightsError(f"{path}: holds a {type(parsed).__name__}, expected a JSON object")
    return parsed
