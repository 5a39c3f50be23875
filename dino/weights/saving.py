"""Write backbone tensors as safetensors files that say what they are, and compute their digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dino.errors import WeightsError
from dino.system.files import write_atomically
from dino.weights.architecture import LoadedModel, dimensions, own_periods
from dino.weights.networks.structure import recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

DTYPES = ("fp16", "bf16", "fp32")


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Hash the canonical float32 tensors with sha256, sorted by name: name, shape, little-endian bytes.

    The same values give the same digest whatever file they came from. Batch-norm step counters are
    left out: they do not change what a network computes, and not every file has them.
    """
    total = hashlib.sha256()
    for name in sorted(tensors):
        if name.endswith("num_batches_tracked"):
            continue
        array = tensors[name].detach().cpu().float().contiguous().numpy().astype("<f4", copy=False)
        total.update(f"{name}\0{','.join(map(str, array.shape))}\0".encode())
        total.update(array.reshape(-1).data)
    return total.hexdigest()


def save(
    tensors: Mapping[str, Tensor],
    destination: Path,
    *,
    dtype: str,
    metadata: Mapping[str, object],
) -> Path:
    """Write canonical tensors as safetensors, atomically.

    Args:
        dtype: "fp16", "bf16" or "fp32".
        metadata: text beside the tensors; values that are not strings are written as JSON.
    Raises:
        WeightsError: unknown dtype, or values too large for it.
        UserError: the file cannot be written.
    """
    import torch
    from safetensors.torch import save as to_bytes

    if dtype not in DTYPES:
        raise WeightsError(f"dtype={dtype!r} is not known; expected one of {', '.join(DTYPES)}")
    kind = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[dtype]
    converted = {}
    for name, tensor in tensors.items():
        small = tensor.detach().cpu().to(kind if tensor.is_floating_point() else tensor.dtype)
        if small.is_floating_point() and not small.isfinite().all():
            raise WeightsError(f"{name!r} holds values too large for {dtype}; use bf16 or fp32")
        converted[name] = small.contiguous()
    text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
    write_atomically(to_bytes(converted, {**text, "dtype": dtype}), destination)
    return destination


def save_model(
    loaded: LoadedModel, destination: Path, *, dtype: str, metadata: Mapping[str, object]
) -> Path:
    """Write a model as one safetensors file that describes itself.

    Args:
        dtype: as in `save`.
        metadata: written beside, or in place of, what the model says of itself.
    Raises:
        UserError: as `save`.
    """
    description: dict[str, object] = {
        "name": loaded.name,
        "description": loaded.description,
        "mean": loaded.mean,
        "std": loaded.std,
        "is_random": loaded.is_random,
        **describe_network(loaded.model),
        **metadata,
    }
    return save(loaded.model.state_dict(), destination, dtype=dtype, metadata=description)


def describe_network(model: nn.Module, *, required: bool = True) -> dict[str, object]:
    """Describe a network as metadata: its sizes, and all that is needed to build it again.

    Args:
        required: whether a network that cannot be built again is an error.
    Raises:
        WeightsError: such a network.
    """
    written = recipe(model)
    if required and written is None and type(model).__name__ not in ("ResNet", "Xcit"):
        raise WeightsError(
            f"a {type(model).__name__} of this form cannot be built again from a file; expected a network "
            "that timm knows by name"
        )
    facts: dict[str, object] = dict(dimensions(model))
    if written is not None:
        facts["network"] = written
    periods = own_periods(model)
    if periods is not None:
        facts["rope_periods"] = periods.tolist()
    return facts


def network_digest(model: nn.Module) -> str:
    """Hash what a network holds: its tensors, and rotary positions that its file brought along."""
    periods = own_periods(model)
    extra = {} if periods is None else {"rope.periods": periods}
    return digest({**model.state_dict(), **extra})
