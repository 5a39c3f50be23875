"""Choose device and arithmetic by measuring this machine once.

Some CPUs multiply bfloat16 matrices five times faster than float32, others three times slower, and
nothing in the CPU's name says so reliably; one matrix product of a few milliseconds does.
"""

import functools
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from dino.errors import UserError

PRECISIONS = ("auto", "fp32", "bf16")
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_EXPECTED_DEVICES = "expected auto, cpu, cuda, cuda:N or mps"
# Below this gain the rounding of bfloat16 (about 5e-3 in the maps) is not worth it.
_WORTHWHILE_GAIN = 1.5


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """Resolve `auto` to the first CUDA device, else Apple's MPS, else the CPU; take others as they are.

    Raises:
        UserError: not a device torch knows, or one this machine lacks.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"device {device!r} is not known; {_EXPECTED_DEVICES}") from error
    if chosen.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"device {device!r} is not supported; {_EXPECTED_DEVICES}")
    here = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (chosen.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not here[chosen.type]:
        raise UserError(f"device {device!r} is not available here; use device='cpu' or 'auto'")
    return chosen


def choose_precision(precision: str, device: torch.device) -> str:
    """Resolve `auto` to `fp32` or `bf16` for `device`; the others pass through.

    Raises:
        UserError: not one of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r} is not known; expected one of {PRECISIONS}")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type != "cpu":
        return "fp32"
    return "bf16" if _cpu_bfloat16_gain() >= _WORTHWHILE_GAIN else "fp32"


def dtype_of(precision: str) -> torch.dtype:
    """Give the torch dtype of a resolved precision (`fp32` or `bf16`)."""
    return _DTYPES[precision]


@functools.cache
def _cpu_bfloat16_gain() -> float:
    """Measure how many times faster this CPU multiplies in bfloat16 than in float32, as in a ViT-S."""
    ways = [
        partial(torch.matmul, torch.ones(512, 384, dtype=t), torch.ones(384, 1536, dtype=t))
        for t in (torch.float32, torch.bfloat16)
    ]
    full, half = best_seconds(ways, repeats=12)
    return full / half


def best_seconds(
    ways: Sequence[Callable[[], Any]],
    *,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Time each of some ways to do the same: the seconds of its quickest run.

    In turns, and the best of many: whatever else the machine does must not tip a choice between them.
    """
    best = [float("inf")] * len(ways)
    for _ in range(repeats):
        for number, way in enumerate(ways):
            start = clock()
            way()
            best[number] = min(best[number], clock() - start)
    return best
