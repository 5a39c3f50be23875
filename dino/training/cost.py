"""Time and memory of one training step by crop configuration, as the paper's Table 8 compares them.

costs = [measure_apart(crops_config(n, arch="vit_small"), steps=5, device="auto") for n in (0, 2, 6, 10)]

Each configuration is measured in a process of its own (`cost_step`), so that its peak of memory is its
own, and nothing another one has warmed up or left behind is in its times.
"""

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from dino.errors import UserError
from dino.system.folders import PROJECT_FOLDER
from dino.system.processes import let_idle_threads_sleep
from dino.training.config import TrainConfig

MIN_STEPS = 5


@dataclass(frozen=True)
class StepCost:
    """What steps of one configuration took.

    `times` in seconds, a step each, warm-up left out; `peak_bytes` the most memory held: on a GPU
    what torch allocated, on a CPU the process's resident size, of which `base_bytes` were there
    when the libraries were loaded (0 on a GPU); `device` in words.
    """

    times: tuple[float, ...]
    batch_size: int
    peak_bytes: int
    base_bytes: int
    device: str
    device_name: str
    precision: str
    threads: int
    torch: str

    @property
    def seconds(self) -> float:
        """Take the seconds of the median step."""
        return statistics.median(self.times)

    @property
    def spread(self) -> float:
        """Compute the slowest less the fastest step, as a share of the median."""
        return (max(self.times) - min(self.times)) / self.seconds

    @property
    def images_per_s(self) -> float:
        """Compute photos a second, each with all its crops."""
        return self.batch_size / self.seconds


def crops_config(num_locals: int, **settings: Any) -> TrainConfig:
    """Make the paper's recipe with `num_locals` local crops; `settings` as `TrainConfig`'s.

    Raises:
        UserError: a setting out of range.
    """
    return TrainConfig.from_dict({"num_locals": num_locals, **settings})


def crops_name(config: TrainConfig) -> str:
    """Name a configuration of crops as the paper writes it, such as "2×224 + 6×96"."""
    local = f" + {config.num_locals}×{config.local_size}" if config.num_locals else ""
    return f"2×{config.global_size}{local}"


def check_steps(steps: int, warmup: int) -> None:
    """Raise a `UserError` where so few steps say nothing."""
    if steps < MIN_STEPS or warmup < 1:
        raise UserError(
            f"got {steps} steps and {warmup} of warm-up; expected {MIN_STEPS} and 1 at least, or "
            "the median means little"
        )


def measure_apart(
    config: TrainConfig,
    *,
    steps: int = MIN_STEPS,
    warmup: int = 2,
    device: str = "auto",
    threads: int | None = None,
) -> StepCost:
    """Measure the steps of a configuration in a fresh process; nothing else should run meanwhile.

    Args:
        steps: that are timed, after `warmup` that are not.
        threads: of torch; None: as many as it takes by itself.
    Raises:
        UserError: too few steps, settings that cannot work, or a process that ended before it had
            measured (as one does that runs out of memory).
    """
    check_steps(steps, warmup)
    let_idle_threads_sleep()  # inherited; it must be there before the process loads torch
    asked = {
        "config": json.loads(config.to_json()),
        "steps": steps,
        "warmup": warmup,
        "device": device,
        "threads": threads,
    }
    done = subprocess.run(
        [sys.executable, "-m", "dino.training.cost_step"],
        input=json.dumps(asked),
        cwd=PROJECT_FOLDER,
        env={k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(_failure(config, done))
    fields = json.loads(done.stdout.splitlines()[-1])
    return StepCost(**{**fields, "times": tuple(fields["times"])})


def _failure(config: TrainConfig, done: "subprocess.CompletedProcess[str]") -> str:
    """Say in one sentence why a process has not measured anything."""
    last_line = (done.stderr.strip().splitlines() or [""])[-1]
    if last_line.startswith("error: "):
        return f"{crops_name(config)}: {last_line.removeprefix('error: ')}"
    process = f"the process that measured {crops_name(config)}"
    if done.returncode < 0 or "out of memory" in last_line.lower():
        ran_out = "memory" in last_line.lower()
        why = "ran out of memory" if ran_out else f"was ended by signal {-done.returncode}"
        return (
            f"{process} {why}, as happens when memory is short; choose a smaller batch, fewer "
            "prototypes or smaller crops"
        )
    return f"{process} failed ({last_line or done.returncode})"
