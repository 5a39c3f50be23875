"""Row 12: how often a step of training has the host wait for the device, counted without logging."""

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from bench.outcome import Outcome, Settings
from bench.rows.training import config_of
from bench.training import plain_step
from dino.model.device import choose_precision, dtype_of
from dino.system.distributed import World
from dino.training.build import build_crops, build_schedules
from dino.training.methods import build_method
from dino.training.step import StepOptions

FIGURE = "reads of the device a step"
_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
_STEPS = 3


class Reads(TorchDispatchMode):
    """Counts what `.item()`, `float(tensor)` and `if tensor` come down to, and indices by a mask.

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
    """Reads of a tensor's value by the host in a step, without logging; ours and the plain step's."""
    device = settings.device
    config = config_of(Settings(device, True, settings.repeats, None))  # a count needs no size
    ours = _own_step(config, device)
    if device.type == "cuda":
        return _told({"ours": _waits_a_step(ours, device)}, 0)
    crops = [torch.randn(config.batch_size, 3, v.size, v.size) for v in build_crops(config).views]
    found = {
        "ours": _reads_a_step(ours),
        "plain": _reads_a_step(plain_step(config, crops)),
    }
    # On a CPU a read costs nothing, and one of them guards parameters against a loss that is not
    # finite (`descend`); a GPU's fused optimizer skips such a step without being read.
    outcome = _told(found, 1)
    outcome.notes.append(
        "Counted on the CPU as a proxy; one read a step, the check for a finite loss, is left out: a "
        "GPU's optimizer makes it on the device."
    )
    return outcome


def _told(found: dict[str, float], allowed: int) -> Outcome:
    outcome = Outcome({FIGURE: max(0.0, found["ours"] - allowed)})
    outcome.ways = [
        {"way": way, "median": reads, "unit": "reads a step", "repeats": _STEPS}
        for way, reads in found.items()
    ]
    return outcome


def _own_step(config, device: torch.device):
    precision = choose_precision("auto", device)
    low = None if precision == "fp32" else dtype_of(precision)
    method = build_method(
        config, device=device, world=World(), num_classes=0,
        plain=low is not None and device.type == "cpu",
    )  # fmt: skip
    crops = [
        torch.randn(config.batch_size, 3, view.size, view.size, device=device)
        for view in build_crops(config).views
    ]
    labels = torch.zeros(config.batch_size, dtype=torch.long, device=device)
    values = build_schedules(config, config.batch_size * 10).at(5)
    options = StepOptions(config.clip_grad, 0, low)
    return lambda: method.step(crops, labels, values, options)


def _reads_a_step(step) -> float:
    step()
    with Reads() as seen:
        for _ in range(_STEPS):
            step()
    return seen.count / _STEPS


def _waits_a_step(step, device: torch.device) -> float:
    """Times the host waited for a GPU, as torch's profiler saw it."""
    step()
    torch.cuda.synchronize(device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        for _ in range(_STEPS):
            step()
    counts = {event.key: event.count for event in seen.key_averages()}
    # One is the profiler's own, at its end.
    return max(0, sum(counts.get(name, 0) for name in _WAITS) - 1) / _STEPS
