"""Time several ways to do the same, in turns, and measure the memory that a process has taken.

A busy moment of the machine then hits all of them; the median is of what is left.
"""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Times:
    """Seconds that each repeat took."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Compute highest minus lowest, over the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def in_turns(
    ways: Mapping[str, Callable[[], Any]],
    repeats: int,
    *,
    device: torch.device | None = None,
    warm_up: bool = True,
) -> dict[str, Times]:
    """Time each way `repeats` times, one after the other and over again, each round begun by another way;
    once unmeasured before."""
    if warm_up:
        for run in ways.values():
            run()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            run = ways[name]
            _wait_for(device)
            start = time.perf_counter()
            run()
            _wait_for(device)
            taken[name].append(time.perf_counter() - start)
    return {name: Times(tuple(seconds)) for name, seconds in taken.items()}


def _wait_for(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def forget_peak() -> int:
    """Have `peak` count anew from the bytes this process holds now, which it gives (Linux).

    What the process has freed is given back before, or it would be taken again without being seen.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def peak() -> int:
    """Read the most bytes this process has held since `forget_peak`."""
    return _status("VmHWM")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")
