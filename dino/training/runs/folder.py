"""A run's folder: write it while training, and read it without loading anything heavy.

RUN/{config.json, environment.json, data.json, state.json, metrics.jsonl, probes.jsonl, log.txt,
     checkpoints/step-00000100.pt, weights/{teacher,head}.safetensors,
     filmstrip/{photo-0.png, epoch-0010/{photo-0.png, attention.npz}}}
"""

import json
import os
import platform
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dino.errors import UserError
from dino.system.files import append_line, parse_json, read_json, replace_file
from dino.system.jobs import LOST, JobProgress, read_progress
from dino.system.processes import process_start_time
from dino.training.config import TrainConfig

METRICS, PROBES, STATE = "metrics.jsonl", "probes.jsonl", "state.json"
_SUM = "crc32"  # of a line, so that damage is seen
_FILM = "film"  # paths, beside the numbers of a probe
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
    """A run as its folder shows it: `state` is one of `STATUSES`, `reason` why it is in it; `damaged`
    counts lines of metrics and probes that could not be read; `pid` is the process that last ran it."""

    folder: Path
    config: TrainConfig
    inputs: Inputs
    metrics: list[dict[str, Any]]
    probes: list[dict[str, Any]]
    state: str
    reason: str
    damaged: int = 0
    pid: int = 0

    @property
    def weights(self) -> Path | None:
        """Find the file of the result so far, which `dino.load` opens; None before the first."""
        path = self.folder / "weights" / "teacher.safetensors"
        return path if path.exists() else None


class RunFolder:
    """Writer of a run's folder."""

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
        if not exists or not (self.folder / STATE).exists():
            return
        run = read_run(self.folder)
        if run.state == "running" and run.pid != os.getpid():
            raise UserError(f"{self.folder} is being run by process {run.pid}; stop that one first")

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
        self.drop_unfinished()
        self._write("data.json", json.dumps({**asdict(inputs), "num_photos": num_photos}, indent=1))
        self._write("environment.json", json.dumps(environment, indent=1))
        self.set_state("running")
        self._write("config.json", config.to_json())

    def set_state(self, status: str, reason: str = "") -> None:
        """Write what the run is doing, with the process that does it."""
        assert status in STATUSES, status
        state = {
            "pid": os.getpid(),
            "start_time": process_start_time(os.getpid()),
            "status": status,
            "reason": reason,
        }
        self._write(STATE, json.dumps(state, indent=1))

    def log(self, values: dict[str, Any], *, file: str = METRICS) -> None:
        """Append a line of metrics, or of probes."""
        append_line(self.folder / file, format_line(values))

    def say(self, line: str) -> None:
        """Append a line to log.txt."""
        with (self.folder / "log.txt").open("a", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def drop_unfinished(self) -> None:
        """Remove what a killed process left half written, also from before names ended in .part."""
        parts = [*self.folder.rglob(".*.part"), *self.folder.glob("weights/.*.safetensors-*")]
        for part in set(parts):
            part.unlink()

    def truncate(self, step: int) -> None:
        """Drop metrics and probes after `step`, which a resumed run will write again."""
        for name in (METRICS, PROBES):
            kept = [line for line in read_lines(self.folder / name).lines if line["step"] <= step]
            self._write(name, "".join(f"{format_line(line)}\n" for line in kept))

    def _write(self, name: str, text: str) -> None:
        replace_file(self.folder / name, text, durable=True)


@dataclass(frozen=True)
class Lines:
    """The whole `lines` of a file, numbers by name, and how many were `damaged`."""

    lines: list[dict[str, Any]]
    damaged: int


def format_line(values: Mapping[str, Any]) -> str:
    """Format a line to append, with its sum, without its end."""
    return json.dumps({**values, _SUM: _sum_of(values)})


def parse_line(text: bytes | str) -> dict[str, Any] | None:
    """Parse a line; None where it is not whole."""
    try:
        line = parse_json(text)
    except ValueError:
        return None
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        return None
    recorded = line.pop(_SUM, None)
    numbers = (value for name, value in line.items() if name != _FILM)
    if not all(value is None or isinstance(value, int | float) for value in numbers):
        return None
    return line if recorded is None or recorded == _sum_of(line) else None


def read_lines(path: Path) -> Lines:
    """Read metrics.jsonl or probes.jsonl; no lines where there is no file.

    A crash leaves half a line, and a disk may flip a bit. A line that is not what was written is left
    out and counted, rather than drawn as a loss that never was. Lines without a sum, of earlier
    versions, are taken as they are.
    """
    texts = path.read_bytes().split(b"\n") if path.exists() else []
    parsed = [parse_line(text) for text in texts if text.strip()]
    whole = [line for line in parsed if line is not None]
    return Lines(whole, len(parsed) - len(whole))


def _sum_of(values: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(values).encode())


def read_run(folder: Path) -> Run:
    """Read what a run's folder says; a running state whose process is gone reads as failed.

    Raises:
        UserError: not a run.
    """
    try:
        config = TrainConfig.from_json((folder / "config.json").read_text())
        inputs = read_inputs(folder)
        progress = read_progress(folder, JobProgress, file=STATE)
        if progress is None:
            raise ValueError(f"{STATE} is missing or damaged")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{folder} is not a run ({error}); expected config.json, data.json and state.json"
        ) from error
    metrics, probes = read_lines(folder / METRICS), read_lines(folder / PROBES)
    return Run(
        folder=folder,
        config=config,
        inputs=inputs,
        metrics=metrics.lines,
        probes=probes.lines,
        state=progress.status,
        reason=f"{LOST}; resume it" if progress.reason == LOST else progress.reason,
        damaged=metrics.damaged + probes.damaged,
        pid=progress.pid,
    )


def read_inputs(folder: Path) -> Inputs:
    """Read what a run was started with.

    Raises:
        OSError, ValueError, TypeError, KeyError: data.json does not say.
    """
    paths = parse_json((folder / "data.json").read_bytes())
    data, film = paths["data"], tuple(paths.get("film", ()))
    inputs = Inputs(data, paths.get("knn"), film, paths.get("masks"))
    optional = [path for path in (inputs.knn, inputs.masks) if path is not None]
    if not all(isinstance(path, str) for path in (inputs.data, *inputs.film, *optional)):
        raise TypeError("data.json names no paths")
    return inputs


def read_environment(folder: Path) -> dict[str, Any]:
    """Read what a run wrote down of its machine; nothing where that cannot be read."""
    return read_json(folder / "environment.json") or {}


def environment(precision: str) -> dict[str, Any]:
    """Collect versions, machine and the precision chosen on it, for environment.json."""
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
