"""Measure and compute images/s and bytes all-reduced a step against the number of processes.

One and two gloo processes on this machine are measured; more are computed: a ring sends 2·(P − 1)/P of the
gradients from each process, here at the rate a network is said to have.
"""

import json
import os
import statistics
import sys
import time
from dataclasses import replace
from typing import Any

import torch

from bench.apart import found_by
from bench.outcome import Settings
from bench.rows.training import config_of
from bench.training import build_own_step, random_crops
from dino.system.distributed import joined
from dino.training.config import TrainConfig

_STEPS = 3
_COMPUTED = (4, 8, 16, 32)
_NETWORK_BYTES_PER_S = 10e9 / 8  # 10 Gbit/s


def processes(settings: Settings) -> dict[str, Any]:
    """Make the rows of the table: measured for one and two processes of one thread each, computed beyond."""
    config = replace(config_of(settings, batch=4), precision="fp32")
    alone = _measured(1, config)
    two = _measured(2, config)
    gradients = alone["gradient_bytes"]
    rows = [
        {"processes": 1, "images_per_s": alone["images_per_s"], "bytes": 0.0, "how": "measured"},
        {"processes": 2, "images_per_s": two["images_per_s"], "bytes": sent(gradients, 2),
         "how": "measured, one machine"},
    ]  # fmt: skip
    share = config.batch_size
    seconds = share / alone["images_per_s"]
    for count in _COMPUTED:
        traffic = sent(gradients, count)
        step = seconds + traffic / _NETWORK_BYTES_PER_S
        rows.append(
            {"processes": count, "images_per_s": count * share / step, "bytes": traffic,
             "how": "computed"}
        )  # fmt: skip
    efficiency = two["images_per_s"] / (2 * alone["images_per_s"])
    return {
        "what": f"{config.arch} with its head, {gradients / 4e6:.1f} M parameters with gradients in "
        f"float32; {share} images a process and step, one thread a process, gloo.",
        "rows": rows,
        "notes": [
            f"Two processes reach {efficiency:.0%} of twice one.",
            "Computed: one machine a process, one process's measured step, and then a ring over "
            "10 Gbit/s that overlaps with nothing; DDP overlaps most of it with the backward.",
        ],
    }


def sent(gradient_bytes: float, count: int) -> float:
    """Count the bytes each of `count` processes sends for a ring all-reduce: 2·(P − 1)/P of the gradients."""
    return 2 * (count - 1) / count * gradient_bytes


def _measured(count: int, config: TrainConfig) -> dict[str, float]:
    words = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    words += ["-m", "bench.rows.processes", config.to_json()]
    try:
        return found_by(words, env=os.environ | {"OMP_NUM_THREADS": "1"})
    except RuntimeError as error:
        raise RuntimeError(f"{count} processes: {error}") from error


def _run_process(config: TrainConfig) -> None:
    """Take a few steps on this process's share; the first prints how fast all were."""
    torch.set_num_threads(1)
    with joined("cpu") as world:
        method, values, options = build_own_step(config, precision="fp32", world=world)
        crops = random_crops(config)
        labels = torch.zeros(config.batch_size, dtype=torch.long)
        taken = []
        for _ in range(1 + _STEPS):
            start = time.perf_counter()
            method.step(crops, labels, values, options)
            taken.append(time.perf_counter() - start)
        if world.leads:
            parameters = method.modules["student"].parameters()
            gradients = sum(p.grad.numel() * 4 for p in parameters if p.grad is not None)
            rate = world.size * config.batch_size / statistics.median(taken[1:])
            print(json.dumps({"images_per_s": rate, "gradient_bytes": gradients}), flush=True)


if __name__ == "__main__":
    _run_process(TrainConfig.from_dict(json.loads(sys.argv[1])))
