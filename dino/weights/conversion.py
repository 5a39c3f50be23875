"""Describe weights as plain values, and write them anew: one plain file, or the mean of several.

info("checkpoint.pth")["num_heads"]
convert("checkpoint.pth", "checkpoint.safetensors")
average(["first/weights/teacher.safetensors", "third/weights/teacher.safetensors"], "mean.safetensors")

Networks that one run, or a run and those that went on from it, have passed through lie so near each
other that what lies between them works too, often with some of the strengths of each.
Source: Wortsman et al. 2022, "Model soups"; Izmailov et al. 2018, "Averaging Weights".
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dino.errors import UserError, WeightsError
from dino.weights.architecture import dimensions
from dino.weights.connections import shown
from dino.weights.loading import Loadable, load_model
from dino.weights.saving import save_model
from dino.weights.sources import resolve

if TYPE_CHECKING:
    from torch import Tensor


def info(source: Loadable, *, key: str = "teacher", **options: Any) -> dict[str, Any]:
    """Describe weights: name, layout, dimensions, number of parameters, digest, mean, std, and a list of
    notes on what was assumed."""
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
        "notes": list(loaded.notes),
    }


def convert(
    source: Loadable,
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
        metadata: written in place of what the source says.
    Raises:
        WeightsError: the source cannot be loaded, or the file not written.
    """
    loaded = load_model(source, **options)
    origin = {"source": _source_name(source)}
    return save_model(
        loaded, Path(destination), dtype=dtype, metadata=origin | dict(metadata or {})
    )


def average(
    sources: Sequence[Loadable],
    destination: str | Path,
    *,
    shares: Sequence[float] | None = None,
    dtype: str = "fp16",
    **options: Any,
) -> Path:
    """Write the weighted mean of networks as one safetensors file.

    Args:
        sources, options: two or more, as for `load_model`.
        shares: one a source, positive; they need not add up to 1. None weighs all alike.
    Raises:
        UserError: fewer than two sources, or shares that do not fit.
        WeightsError: a source cannot be loaded, or is of another shape than the first.
    """
    weights = [1.0] * len(sources) if shares is None else list(shares)
    if len(sources) < 2 or len(weights) != len(sources) or min(weights, default=0) <= 0:
        raise UserError(
            f"got {len(sources)} weights and the shares {weights}; expected two or more weights and a "
            "positive share for each"
        )
    loaded = [load_model(source, **options) for source in sources]
    states = [network.model.state_dict() for network in loaded]
    for source, state in zip(sources[1:], states[1:], strict=True):
        _check_alike(states[0], state, str(sources[0]), str(source))
    parts = [share / sum(weights) for share in weights]
    mean = {
        name: sum(part * state[name].float() for part, state in zip(parts, states, strict=True))
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[0].items()
    }
    loaded[0].model.load_state_dict(mean)
    names = ", ".join(
        f"{part:.0%} of {network.name}" for part, network in zip(parts, loaded, strict=True)
    )
    averaged = replace(
        loaded[0],
        name=Path(destination).stem,
        description=f"The mean of {names}.",
        is_random=all(network.is_random for network in loaded),
    )
    origin = {"source": "python -m dino weights average"}
    return save_model(averaged, Path(destination), dtype=dtype, metadata=origin)


def _source_name(source: Loadable) -> str:
    """Name a source: by its zoo name, or by its file's name without the folders of this machine."""
    if isinstance(source, Mapping):
        return "state dict"
    if not isinstance(source, str | os.PathLike):
        return type(source).__name__
    if isinstance(source, str) and (named := resolve(source)).kind != "file":
        return shown(named.name) if named.kind == "url" else source.strip()
    return Path(source).name


def _check_alike(
    first: Mapping[str, Tensor], other: Mapping[str, Tensor], first_name: str, other_name: str
) -> None:
    shapes, others = ({k: tuple(v.shape) for k, v in state.items()} for state in (first, other))
    odd = sorted(k for k in shapes.keys() | others.keys() if shapes.get(k) != others.get(k))
    if odd:
        raise WeightsError(
            f"{other_name} differs from {first_name} in {odd[0]} ({others.get(odd[0])}, expected "
            f"{shapes.get(odd[0])}); average networks of one shape only"
        )
