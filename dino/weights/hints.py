"""Read what a container says of its tensors: architecture, heads, grid, mean and std, name.

Our own writers are the safetensors metadata (`saving.save`) and the `preprocessing` entry of our run
checkpoints (`training.state`); others keep their settings beside the tensors, as `args`,
`hyper_parameters`, `cfg`, `config` or plainly as `arch`. `configs` reads the JSON files beside.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from dino.system.files import parse_json
from dino.weights.pickles.values import Inert

Triple = tuple[float, float, float]

_SETTINGS = ("args", "hyper_parameters", "hparams", "cfg", "config", "model_args", "model_config")
# Where settings name the architecture, the first that is there; dots lead into nested settings.
_LABELS = (
    *("arch", "model", "model_name", "student.arch", "backbone.name", "architecture", "vit_arch"),
    *("meta.model_name", "model.name", "network", "backbone"),
)
_HEADS = ("num_heads", "num_attention_heads", "backbone.kwargs.num_heads", "model_kwargs.num_heads")
_PATCHES = (
    *("patch_size", "student.patch_size", "backbone.kwargs.patch_size", "mask.patch_size"),
    "model_kwargs.patch_size",
)
_SIZES = ("img_size", "image_size", "backbone.kwargs.img_size", "model_kwargs.img_size")
_MAX_DEPTH = 12


@dataclass(frozen=True)
class Hints:
    """What a container says beside its tensors; None or empty where it says nothing.

    `grid` is (rows, columns) of the position embedding, `mean` and `std` per RGB channel (0..1),
    `is_random` where nothing was learned, `metadata` whatever text came along. `arch` is an architecture
    of timm, `arch_label` what the file calls its own, `model_type` Hugging Face's name of the kind of
    network; `patch_size` is (height, width) in px, `act` an activation as timm names it, and `config` all
    settings as plain values.
    """

    num_heads: int | None = None
    grid: tuple[int, int] | None = None
    mean: Triple | None = None
    std: Triple | None = None
    name: str | None = None
    description: str | None = None
    is_random: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    arch: str | None = None
    arch_label: str | None = None
    model_type: str | None = None
    patch_size: tuple[int, int] | None = None
    norm_eps: float | None = None
    act: str | None = None
    rope_theta: float | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def from_metadata(metadata: Mapping[str, str]) -> Hints:
    """Read back what `saving.save` writes; a value that cannot be read counts as not given."""
    grid = _json(metadata.get("grid"))
    heads = metadata.get("num_heads", "")
    return Hints(
        num_heads=int(heads) if heads.isdecimal() and int(heads) > 0 else None,
        grid=pair(grid),
        mean=triple(_json(metadata.get("mean"))),
        std=triple(_json(metadata.get("std"))),
        name=metadata.get("name"),
        description=metadata.get("description"),
        is_random=metadata.get("is_random") == "true",
        metadata=dict(metadata),
    )


def from_checkpoint(tree: Mapping[str, Any]) -> Hints:
    """Read what a checkpoint says beside its tensors: our own runs' `preprocessing` (older ones have no
    heads and no grid), or the settings of others."""
    kept = tree.get("preprocessing")
    if isinstance(kept, Mapping):
        return Hints(
            num_heads=_count(kept.get("num_heads")),
            grid=pair(kept.get("grid")),
            mean=triple(kept.get("mean")),
            std=triple(kept.get("std")),
        )
    return _from_settings(_settings_of(tree))


def _settings_of(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the settings that stand beside the tensors, as plain values."""
    settings: dict[str, Any] = {}
    for name in _SETTINGS:
        found = plain(tree.get(name))
        if isinstance(found, dict):
            settings = {**found, **settings}
    if isinstance(tree.get("arch"), str):
        settings["arch"] = tree["arch"]
    return settings


def _from_settings(settings: Mapping[str, Any]) -> Hints:
    label = next((v for v in _values(settings, _LABELS) if isinstance(v, str) and v), None)
    sides = [v if isinstance(v, list) else [v, v] for v in _values(settings, _PATCHES)]
    patch = next(filter(None, map(pair, sides)), None)
    # One side may be that of crops in training; a square grid shows in the tensors anyway.
    size = next(filter(None, map(pair, _values(settings, _SIZES))), None)
    grid = pair((size[0] // patch[0], size[1] // patch[1])) if size and patch else None
    mean, std = (
        next(filter(None, map(triple, _values(settings, (name, f"image_{name}")))), None)
        for name in ("mean", "std")
    )
    both = mean is not None and std is not None and min(std) > 0
    return Hints(
        num_heads=next(filter(None, map(_count, _values(settings, _HEADS))), None),
        grid=grid,
        mean=mean if both else None,
        std=std if both else None,
        arch=label if label is not None and _is_timm_name(label) else None,
        arch_label=label,
        patch_size=patch,
        config=settings,
    )


def _values(settings: Mapping[str, Any], names: tuple[str, ...]) -> list[Any]:
    """List the values there are under some names, of which dots lead into nested settings."""
    found = []
    for name in names:
        value: Any = settings
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            found.append(value)
    return found


def _is_timm_name(label: str) -> bool:
    import timm

    return bool(timm.is_model(label))


def plain(value: Any, depth: int = 0) -> Any:
    """Turn settings as libraries keep them into dicts, lists, numbers and texts; None for the rest."""
    import numpy as np

    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, Inert):
        value = _content(value)
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        kept = ((key, inner) for key, inner in value.items() if isinstance(key, str | int | float))
        return {str(key): plain(inner, depth + 1) for key, inner in kept}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner, depth + 1) for inner in value]
    if isinstance(value, Inert | np.generic):
        return plain(_content(value) if isinstance(value, Inert) else value.item(), depth + 1)
    if isinstance(value, PurePath):
        return str(value)
    return value if isinstance(value, str | int | float | bool) else None


def _content(record: Inert) -> Any:
    """Give what a record of OmegaConf holds: of a dict or list `_content`, of a value `_val`."""
    if isinstance(record.state, Mapping):
        for name in ("_content", "_val"):
            if name in record.state:
                return record.state[name]
    return record.items or None


def triple(values: Any) -> Triple | None:
    """Read three numbers as a tuple; None for anything else."""
    if not isinstance(values, list | tuple) or len(values) != 3:
        return None
    try:
        red, green, blue = (float(value) for value in values)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last of a tensor
        return None
    return (red, green, blue) if all(map(math.isfinite, (red, green, blue))) else None


def pair(values: Any) -> tuple[int, int] | None:
    """Read two whole numbers above 0 as a tuple; None for anything else."""
    if not isinstance(values, list | tuple) or len(values) != 2:
        return None
    if not all(type(value) is int and value > 0 for value in values):
        return None
    return values[0], values[1]


def _count(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None


def _json(text: str | None) -> Any:
    try:
        return None if text is None else parse_json(text)
    except ValueError:
        return None
