"""The process that `cost` measures one configuration in: settings on stdin, one line of JSON out.

python -m dino.training.cost_step < {"config": {…}, "steps": 5, "warmup": 2, "device": "auto", "threads": null}
"""

import json
import platform
import sys
import time
from typing import Any

from dino.system.processes import let_idle_threads_sleep

let_idle_threads_sleep()

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from dino.errors import UserError  # noqa: E402
from dino.model.device import choose_device, choose_precision, dtype_of  # noqa: E402
from dino.system.distributed import World  # noqa: E402
from dino.training.build import build_crops, build_schedules  # noqa: E402
from dino.training.config import TrainConfig  # noqa: E402
from dino.training.data import normalize  # noqa: E402
from dino.training.methods import build_method  # noqa: E402
from dino.training.runs.reporter import peak_memory  # noqa: E402
from dino.training.step import StepOptions  # noqa: E402


def measure_here(
    config: TrainConfig, *, steps: int, warmup: int, device: str, threads: int | None
) -> dict[str, Any]:
    """Measure the fields of a `StepCost` in this process, on crops of noise."""
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = choose_device(device)
    precision = choose_precision(config.precision, chosen)
    load_libraries()
    base = peak_memory(chosen) if chosen.type == "cpu" else 0
    times = step_times(config, device=chosen, precision=precision, warmup=warmup, steps=steps)
    return {
        "times": times,
        "batch_size": config.batch_size,
        "peak_bytes": peak_memory(chosen),
        "base_bytes": base,
        "device": str(chosen),
        "device_name": torch.cuda.get_device_name(chosen)
        if chosen.type == "cuda"
        else platform.machine(),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def step_times(
    config: TrainConfig, *, device: torch.device, precision: str, warmup: int, steps: int
) -> list[float]:
    """Time each step after the warm-up: the engine's own, from crops of bytes on the device."""
    low = precision != "fp32"
    method = build_method(
        config, device=device, world=World(), num_classes=0, plain=low and device.type == "cpu"
    )
    options = StepOptions(
        clip_grad=config.clip_grad,
        freeze_last_layer=0,  # the step of all epochs but the first
        autocast=dtype_of(precision) if low else None,
    )
    values = build_schedules(config, config.batch_size * 10).at(5)
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in method.scale)
    crops, labels = noise(config, device), torch.zeros(config.batch_size, device=device).long()
    times = []
    for _ in range(warmup + steps):
        start = time.perf_counter()
        result = method.step(normalize(crops, mean, std), labels, values, options)
        float(result.loss)  # waits for the device
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # the loss is there before the step ends
        times.append(time.perf_counter() - start)
    return times[warmup:]


def noise(config: TrainConfig, device: torch.device) -> list[Tensor]:
    """Draw crops of bytes as the loader hands them over, uint8 [B,3,side,side] each."""
    generator = torch.Generator().manual_seed(config.seed)
    return [
        torch.randint(
            0,
            256,
            (config.batch_size, 3, view.size, view.size),
            dtype=torch.uint8,
            generator=generator,
        ).to(device)
        for view in build_crops(config).views
    ]


def load_libraries() -> None:
    """Load what comes late: timm with the first network, half of torch with the first optimizer."""
    import timm.models.vision_transformer  # noqa: F401

    parameter = torch.zeros(1, requires_grad=True)
    parameter.sum().backward()
    torch.optim.AdamW([parameter], fused=True).step()


def main() -> None:
    """Measure what stdin asks for; an error in one sentence on stderr, and exit code 2."""
    asked = json.loads(sys.stdin.read())
    config = TrainConfig.from_dict(asked.pop("config"))
    try:
        print(json.dumps(measure_here(config, **asked)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
