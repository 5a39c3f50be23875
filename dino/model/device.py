"""Choose device and arithmetic by measuring this machine once.

Some CPUs multiply bfloat16 matrices five times faster than float32, others three times slower, and
nothing in the CPU's name says so reliably; one matrix product of a few milliseconds does.
"""

import functools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from dino.errors import UserError

PRECISIONS = ("auto", "fp32", "bf16")
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_EXPECTED_DEVICES = "expected auto, cpu, cuda, cuda:N or mps"
# Below this gain the rounding of bfloat16 (about 5e-3 in the maps) is not worth it.
_WORTHWHILE_GAIN = 1.5
# After so many turns a choice is made if the gain is so many times the one that decides, or less than that
# part of it. On 2 cores with 9 processes at work, three turns told gains of 3.7 to 11.7, twelve 3.0 to 11.2.
_FEW_TURNS, _BEYOND_DOUBT = 3, 2.0


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
    return measure_gain(*ways, repeats=12, worthwhile=_WORTHWHILE_GAIN)


def measure_gain(
    usual: Callable[[], Any],
    other: Callable[[], Any],
    *,
    repeats: int,
    worthwhile: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Measure how many times faster `other` does what `usual` does, each by its quickest run.

    In turns, and the best of many: whatever else the machine does must not tip a choice between them. A
    few are enough where the gain is far from the one that is `worthwhile`, as it mostly is: a command on
    one photo would wait for the rest.
    """
    best = [float("inf")] * 2
    for turn in range(1, repeats + 1):
        for number, way in enumerate((usual, other)):
            start = clock()
            way()
            best[number] = min(best[number], clock() - start)
        share = best[0] / best[1] / worthwhile if best[1] else float("inf")
        if turn >= _FEW_TURNS and not 1 / _BEYOND_DOUBT < share < _BEYOND_DOUBT:
            break
    return share * worthwhile
