"""The mean of the weights of several networks of one shape and one descent.

average(["first/weights/teacher.safetensors", "third/weights/teacher.safetensors"], "mean.safetensors")

Networks that one run, or a run and those that went on from it, have passed through lie so near each
other that what lies between them works too, often with some of the strengths of each.
Source: Wortsman et al. 2022, "Model soups"; Izmailov et al. 2018, "Averaging Weights".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dino.errors import UserError, WeightsError
from dino.weights.architecture import dimensions
from dino.weights.loading import Source, load_model
from dino.weights.saving import save

if TYPE_CHECKING:
    from torch import Tensor


def average(
    sources: Sequence[Source],
    destination: str | Path,
    *,
    shares: Sequence[float] | None = None,
    dtype: str = "fp16",
    metadata: Mapping[str, object] | None = None,
    **options: Any,
) -> Path:
    """Write the weighted mean of networks as one safetensors file.

    Args:
        sources, options: two or more, as for `load_model`.
        shares: one a source, positive; they need not add up to 1. None weighs all alike.
        metadata: said in the file instead of what the sources say.
    Raises:
        UserError: fewer than two sources, or shares that do not fit.
        WeightsError: one cannot be loaded, or is of another shape than the first.
    """
    weights = [1.0] * len(sources) if shares is None else list(shares)
    if len(sources) < 2 or len(weights) != len(sources) or min(weights, default=0) <= 0:
        raise UserError(
            f"got {len(sources)} weights and the shares {weights}; expected two or more weights and a "
            "positive share for each"
        )
    loaded = [load_model(source, **options) for source in sources]
    first = loaded[0]
    states = [one.model.state_dict() for one in loaded]
    for source, state in zip(sources[1:], states[1:], strict=True):
        _check_alike(states[0], state, str(sources[0]), str(source))
    total = sum(weights)
    mean = {
        name: sum((share / total) * state[name].float() for share, state in zip(weights, states, strict=True))
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[0].items()
    }  # fmt: skip
    names = ", ".join(f"{share / total:.0%} of {one.name}" for share, one in zip(weights, loaded, strict=True))  # fmt: skip
    told: dict[str, object] = {
        "name": Path(destination).stem,
        "description": f"The mean of {names}.",
        "source": "python -m dino weights average",
        "mean": first.mean,
        "std": first.std,
        "is_random": all(one.is_random for one in loaded),
        **dimensions(first.model),
    }
    return save(mean, Path(destination), dtype=dtype, metadata=told | dict(metadata or {}))


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
