"""A run's folder: what is written where, and what others may read without loading anything.

RUN/{config.json, environment.json, data.json, state.json, metrics.jsonl, probes.jsonl, log.txt,
     checkpoints/step-00000100.pt, weights/{teacher,head}.safetensors,
     filmstrip/{photo-0.png, epoch-0010/{photo-0.png, attention.npz}}}
"""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dino.errors import UserError
from dino.system.files import parse_json, write_synced
from dino.system.jobs import process_start_time
from dino.training.config import TrainConfig
from dino.training.runs.lines import format_line, read_lines

METRICS, PROBES = "metrics.jsonl", "probes.jsonl"
STATUSES = ("running", "finished", "stopped", "failed")


@dataclass(frozen=True)
class Inputs:
    """What a run reads: photos to train on, a labelled folder for k-NN, photos for the filmstrip, and
    photos with masks for J."""

    data: str
    knn: str | None = None
    film: tuple[str, ...] = ()
    masks: str | None = None


@dataclass(frozen=True)
class Run:
    """A run as its folder tells it: `state` is one of `STATUSES`, `reason` why it is in it; `damaged`
    counts lines of metrics and probes that could not be read."""

    folder: Path
    config: TrainConfig
    inputs: Inputs
    metrics: list[dict[str, Any]]
    probes: list[dict[str, Any]]
    state: str
    reason: str
    damaged: int = 0

    @property
    def weights(self) -> Path | None:
        """The result so far, which `dino.load` opens, or None before the first."""
        path = self.folder / "weights" / "teacher.safetensors"
        return path if path.exists() else None


class RunFolder:
    """The one writer of a run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints = folder / "checkpoints"

    def check_free(self, *, resume: bool) -> None:
        """Check that the folder is there to be written to, before anything is loaded.

        Raises:
            UserError: another process runs it; or it holds a run, and `resume` is not asked for.
        """
        exists = (self.folder / "config.json").exists()
        if exists and not resume:
            raise UserError(
                f"{self.folder} holds a run already; resume it, or choose another folder"
            )
        if not exists or not (self.folder / "state.json").exists():
            return
        if read_run(self.folder).state == "running" and _pid(self.folder) != os.getpid():
            raise UserError(
                f"{self.folder} is being run by process {_pid(self.folder)}; stop that one first"
            )

    def create(
        self, config: TrainConfig, inputs: Inputs, num_photos: int, environment: dict[str, Any]
    ) -> None:
        """Make the folder and write inputs with the number of photos, environment, state and config.

        The config comes last: a folder that has one holds a run that can be resumed, whenever its
        process was killed.

        Raises:
            UserError: it holds a run already.
        """
        self.check_free(resume=False)
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{self.folder} cannot be made ({error.strerror}); choose another folder"
            ) from error
        self._write("data.json", json.dumps({**asdict(inputs), "num_photos": num_photos}, indent=1))
        self._write("environment.json", json.dumps(environment, indent=1))
        self.set_state("running")
        self._write("config.json", config.to_json())

    def set_state(self, status: str, reason: str = "") -> None:
        """Say what the run is doing, with the process that does it."""
        assert status in STATUSES, status
        state = {
            "pid": os.getpid(),
            "start_time": process_start_time(os.getpid()),
            "status": status,
            "reason": reason,
        }
        self._write("state.json", json.dumps(state, indent=1))

    def log(self, values: dict[str, Any], *, file: str = METRICS) -> None:
        """Append a line of metrics, or of probes."""
        with (self.folder / file).open("a") as lines:
            lines.write(format_line(values))

    def say(self, line: str) -> None:
        """Append a line to log.txt."""
        with (self.folder / "log.txt").open("a", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def truncate(self, step: int) -> None:
        """Drop metrics and probes after `step`, which a resumed run will write again."""
        for name in (METRICS, PROBES):
            kept = [line for line in read_lines(self.folder / name).lines if line["step"] <= step]
            self._write(name, "".join(map(format_line, kept)))

    def _write(self, name: str, text: str) -> None:
        write_synced(self.folder / name, text)


def read_run(folder: Path) -> Run:
    """What a run's folder says; a running state whose process is gone reads as failed.

    Raises:
        UserError: not a run.
    """
    try:
        config = TrainConfig.from_json((folder / "config.json").read_text())
        inputs = read_inputs(folder)
        state = parse_json((folder / "state.json").read_bytes())
        status, reason, pid = str(state["status"]), str(state["reason"]), int(state["pid"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{folder} is not a run ({error}); expected config.json, data.json and state.json"
        ) from error
    started = process_start_time(pid)
    alive = started is not None and started == state.get("start_time")
    if status == "running" and not alive:
        status, reason = "failed", "its process ended without a word; resume it"
    metrics, probes = read_lines(folder / METRICS), read_lines(folder / PROBES)
    damaged = metrics.damaged + probes.damaged
    return Run(folder, config, inputs, metrics.lines, probes.lines, status, reason, damaged)


def read_inputs(folder: Path) -> Inputs:
    """What the run in a folder reads; OSError, ValueError, TypeError or KeyError if that is not said."""
    told = parse_json((folder / "data.json").read_bytes())
    inputs = Inputs(told["data"], told.get("knn"), tuple(told.get("film", ())), told.get("masks"))
    optional = [path for path in (inputs.knn, inputs.masks) if path is not None]
    if not all(isinstance(path, str) for path in (inputs.data, *inputs.film, *optional)):
        raise TypeError("data.json names no paths")
    return inputs


def _pid(folder: Path) -> int:
    return int(parse_json((folder / "state.json").read_bytes())["pid"])


def read_environment(folder: Path) -> dict[str, Any]:
    """What a run wrote down of its machine; nothing where that cannot be read."""
    try:
        told = parse_json((folder / "environment.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def environment(precision: str) -> dict[str, Any]:
    """Versions, machine and the precision chosen on it, for config's neighbour environment.json."""
    import timm
    import torch

    return {
        "precision": precision,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }
