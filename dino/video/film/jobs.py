"""Films as processes of their own: start, cancel and watch them from outside.

    start("walk.mp4", folder / film_id(…), weights="dino_vits16", size=480, options=["--attention"])
    cancel(folder / …)

What is known of one is read from its folder: OUT/{launch.json, console.txt} are written here, the rest
by the process, which outlives whoever started it. One at a time is made below a folder of films.
"""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dino.errors import UserError
from dino.system.files import content_id
from dino.system.folders import PROJECT_FOLDER
from dino.system.jobs import (
    COMMAND,
    CONSOLE,
    DEFAULT_NICE,
    LAUNCH,
    alone,
    is_alive,
    last_words,
    launch,
    read_process,
    write_launch,
)
from dino.video.film.making import RESULT
from dino.video.film.progress import FILE, Progress, read_progress


@dataclass(frozen=True)
class Job:
    """A film as its folder tells it: `status` "none", "starting", "running", "stopping", "stopped",
    "finished" or "failed", its last `progress`, and why it failed (`reason`)."""

    status: str
    progress: Progress | None = None
    reason: str = ""

    @property
    def active(self) -> bool:
        return self.status in ("starting", "running", "stopping")


def film_id(video_sha256: str, fingerprint: str, settings: Mapping[str, Any]) -> str:
    """Name of a film's folder: what was filmed, the network and how it was drawn, nothing else."""
    told = json.dumps([video_sha256, fingerprint, settings], sort_keys=True)
    return content_id(told.encode())[:16]


def read_job(out: Path) -> Job:
    """How a film is doing."""
    launched, progress = read_process(out / LAUNCH), read_progress(out)
    own = bool(launched and progress and progress.pid == launched["pid"])
    stopping = bool(launched and launched["stopping"])
    if launched and is_alive(launched["pid"], launched["start_time"]):
        ending = own and progress is not None and progress.status != "running"
        status = "stopping" if ending or stopping else "running" if own else "starting"
        return Job(status, progress if own else None)
    if (out / RESULT).exists():
        return Job("finished", progress)
    if launched and not own:
        return Job("stopped") if stopping else Job("failed", None, last_words(out))
    return Job(progress.status, progress, progress.reason) if progress else Job("none")


def start(
    video: Path,
    out: Path,
    *,
    weights: str,
    size: int,
    options: Sequence[str],
    precision: str = "auto",
    threads: int | None = None,
    nice: int = DEFAULT_NICE,
) -> None:
    """Make a film in a process of its own and return at once.

    Args:
        options: those of `python -m dino film` that say what is made.
    Raises:
        UserError: this or another film beside it is being made.
    """
    out = out.absolute()
    words = [
        "--weights",
        weights,
        "--size",
        str(size),
        "--precision",
        precision,
        "--nice",
        str(nice),
    ]
    words += ["--threads", str(threads)] if threads else []
    with alone(out.parent):
        if any(read_job(path.parent).active for path in out.parent.glob(f"*/{LAUNCH}")):
            raise UserError("another film is being made; wait until it is done, or cancel it")
        out.mkdir(parents=True, exist_ok=True)
        (out / FILE).unlink(missing_ok=True)
        command = [*COMMAND, "film", str(video.absolute()), "--out", str(out), *words, *options]
        pid, start_time = launch(command, console=out / CONSOLE, folder=PROJECT_FOLDER)
        write_launch(out, {"pid": pid, "start_time": start_time})


def cancel(out: Path) -> None:
    """Ask a film's process to end after its frame; what it made is taken away.

    Raises:
        UserError: it is not at work.
    """
    out = out.absolute()
    with alone(out.parent):
        launched = read_process(out / LAUNCH)
        if not launched or not is_alive(launched["pid"], launched["start_time"]):
            raise UserError("this film is not being made; there is nothing to cancel")
        write_launch(out, {**launched, "stopping": True})
        os.kill(launched["pid"], signal.SIGTERM)
