"""The process that `cost` measures one configuration in: settings on stdin, one line of JSON out.

python -m dino.training.cost_step < {"config": {…}, "steps": 5, "warmup": 2, "device": "auto", "threads": null}
"""

import json
import platform
import sys
from typing import Any

import torch

from dino.errors import UserError
from dino.model.device import choose_device, choose_precision
from dino.system.distributed import World
from dino.training.config import TrainConfig
from dino.training.methods import build_method
from dino.training.runs.preflight import time_steps
from dino.training.runs.reporter import peak_memory


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
    method = build_method(config, device=chosen, world=World(), precision=precision)
    on_gpu = chosen.type == "cuda"
    return {
        "times": time_steps(config, method, chosen, warmup=warmup, steps=steps),
        "batch_size": config.batch_size,
        "peak_bytes": peak_memory(chosen),
        "base_bytes": base,
        "device": str(chosen),
        "device_name": torch.cuda.get_device_name(chosen) if on_gpu else platform.machine(),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


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
