"""Read what a container says of its tensors: heads, grid, mean and std, name.

Three writers are known: our own safetensors metadata (`saving.save`), Hugging Face's JSON files, and
the `preprocessing` entry of our run checkpoints (`training.state`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dino.errors import WeightsError
from dino.system.files import parse_json

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Hints:
    """What a container says beside its tensors; None or empty where it says nothing.

    `grid` is (rows, columns) of the position embedding, `mean` and `std` per RGB channel (0..1),
    `is_random` where nothing was learned, `metadata` whatever text came along. `arch` is a timm
    architecture, `arch_label` what the file itself calls it, `model_type` Hugging Face's word;
    `patch_size` (height, width) px, `norm_eps` of the layer norms, `act` as timm spells it,
    `config` the whole config.json or the arguments as plain values.
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
        num_heads=int(heads) if heads.isdigit() else None,
        grid=_pair(grid),
        mean=triple(_json(metadata.get("mean"))),
        std=triple(_json(metadata.get("std"))),
        name=metadata.get("name"),
        description=metadata.get("description"),
        is_random=metadata.get("is_random") == "true",
        metadata=dict(metadata),
    )


def from_checkpoint(tree: Mapping[str, Any]) -> Hints:
    """Read mean, std, heads and grid of our own run checkpoints, of which older ones have no heads and
    no grid."""
    kept = tree.get("preprocessing")
    if not isinstance(kept, Mapping):
        return Hints()
    heads = kept.get("num_heads")
    return Hints(
        num_heads=heads if isinstance(heads, int) and heads > 0 else None,
        grid=_pair(kept.get("grid")),
        mean=triple(kept.get("mean")),
        std=triple(kept.get("std")),
    )


def with_folder(hints: Hints, folder: Path) -> Hints:
    """Add what a Hugging Face folder's config.json and preprocessor_config.json say.

    Raises:
        WeightsError: one of the two files is there but is not a JSON object.
    """
    config = _read_json_object(folder / "config.json")
    heads, size = config.get("num_attention_heads"), config.get("image_size")
    patch = config.get("patch_size")
    sides = _pair([size, size] if isinstance(size, int) else size)
    grid = (sides[0] // patch, sides[1] // patch) if sides and isinstance(patch, int) else None
    normalise = _read_json_object(folder / "preprocessor_config.json")
    return replace(
        hints,
        num_heads=heads if isinstance(heads, int) else hints.num_heads,
        grid=grid or hints.grid,
        mean=triple(normalise.get("image_mean")) or hints.mean,
        std=triple(normalise.get("image_std")) or hints.std,
        name=hints.name or folder.resolve().name,
        metadata={**hints.metadata, "model_type": str(config.get("model_type", "unknown"))},
    )


def triple(values: Any) -> Triple | None:
    """Read three numbers as a tuple; None for anything else."""
    if not isinstance(values, list | tuple) or len(values) != 3:
        return None
    try:
        red, green, blue = (float(value) for value in values)
    except (TypeError, ValueError):
        return None
    return red, green, blue


def _pair(values: Any) -> tuple[int, int] | None:
    if not isinstance(values, list | tuple) or len(values) != 2:
        return None
    if not all(isinstance(value, int) and value > 0 for value in values):
        return None
    return values[0], values[1]


def _json(text: str | None) -> Any:
    try:
        return None if text is None else parse_json(text)
    except ValueError:
        return None


def _read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; {} where there is no such file."""
    if not path.is_file():
        return {}
    try:
        parsed = parse_json(path.read_bytes())
    except (ValueError, OSError) as error:
        raise WeightsError(f"{path}: not readable as JSON ({error}); fix or remove it") from error
    if not isinstance(parsed, dict):
        raise WeightsError(f"{path}: holds a {type(parsed).__name__}, expected a JSON object")
    return parsed
