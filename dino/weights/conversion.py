"""What weights are, told as plain values, and weights rewritten as one plain file.

info("checkpoint.pth")["num_heads"]
convert("checkpoint.pth", "checkpoint.safetensors")
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dino.weights.architecture import dimensions
from dino.weights.loading import Source, load_model

if TYPE_CHECKING:
    pass


def info(source: Source, *, key: str = "teacher", **options: Any) -> dict[str, Any]:
    """What weights are, as plain values: name, layout, dimensions, parameters, digest, mean, std."""
    loaded = load_model(source, key=key, **options)
    return {
        "name": loaded.name,
        "description": loaded.description,
        "layout": loaded.layout,
        "architecture": type(loaded.model).__name__,
        **dimensions(loaded.model),
        "parameters": sum(p.numel() for p in loaded.model.parameters()),
        "mean": loaded.mean,
        "std": loaded.std,
        "weights_sha256": loaded.weights_sha256,
    }


def convert(
    source: Source,
    destination: str | Path,
    dtype: str = "fp16",
    *,
    metadata: Mapping[str, object] | None = None,
    **options: Any,
) -> Path:
    """Write weights as one safetensors file with canonical names and a description of themselves.

    Args:
        source, options: as for `load_model`.
        destination: file to write, replaced as a whole.
        dtype: "fp16" (half the size), "bf16" or "fp32" (exact).
        metadata: said in the file instead of what the source says.
    Raises:
        WeightsError: the source cannot be loaded, or the file not written.
    """
    from dino.weights.saving import save_model

    loaded = load_model(source, **options)
    told: dict[str, object] = {"source": _source_name(source), **(metadata or {})}
    return save_model(loaded, Path(destination), dtype=dtype, metadata=told)


def _source_name(source: Source) -> str:
    """A zoo name, or a file's name without the folders of this machine."""
    if not isinstance(source, str | Path):
        return "state dict"
    return Path(source).name if Path(source).exists() else str(source)
