"""Row 12: how often a step of training has the host wait for the device, counted without logging."""

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from bench.outcome import Outcome, Settings
from bench.rows.training import config_of
from bench.training import own_step, plain_step, random_crops

FIGURE = "reads of the device a step"
_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
_STEPS = 3


class Reads(TorchDispatchMode):
    """A counter of what `.item()`, `float(tensor)` and `if tensor` come down to, and indices by a mask.

    Only what Python asks for: CPU kernels read their scalars inside, where a GPU's take them as they are.
    """

    _READING = (
        torch.ops.aten._local_scalar_dense.default,
        torch.ops.aten.nonzero.default,
        torch.ops.aten.equal.default,
    )

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function in self._READING
        return function(*args, **(kwargs or {}))


def count(settings: Settings) -> Outcome:
    """Count reads of a tensor's value by the host in a step, without logging; ours and the plain step's."""
    device = settings.device
    config = config_of(Settings(device, True, settings.repeats, None))  # a count needs no size
    crops = random_crops(config, device)
    ours = own_step(config, crops, device=device)
    if device.type == "cuda":
        return _outcome({"ours": _waits_a_step(ours, device)}, allowed=0)
    found = {
        "ours": _reads_a_step(ours),
        "plain": _reads_a_step(plain_step(config, crops)),
    }
    # On a CPU a read costs nothing, and one of them guards parameters against a loss that is not
    # finite (`descend`); a GPU's fused optimizer skips such a step without being read.
    outcome = _outcome(found, allowed=1)
    outcome.notes.append(
        "Counted on the CPU as a proxy; one read a step, the check for a finite loss, is left out: a "
        "GPU's optimizer makes it on the device."
    )
    return outcome


def _outcome(found: dict[str, float], *, allowed: int) -> Outcome:
    outcome = Outcome({FIGURE: max(0.0, found["ours"] - allowed)})
    outcome.ways = [
        {"way": way, "median": reads, "unit": "reads a step", "repeats": _STEPS}
        for way, reads in found.items()
    ]
    return outcome


def _reads_a_step(step) -> float:
    step()
    with Reads() as seen:
        for _ in range(_STEPS):
            step()
    return seen.count / _STEPS


def _waits_a_step(step, device: torch.device) -> float:
    """Count how often the host waited for a GPU, as torch's profiler saw it."""
    step()
    torch.cuda.synchronize(device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        for _ in range(_STEPS):
            step()
    counts = {event.key: event.count for event in seen.key_averages()}
    # One is the profiler's own, at its end.
    return max(0, sum(counts.get(name, 0) for name in _WAITS) - 1) / _STEPS
