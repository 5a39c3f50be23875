"""Embeddings as processes of their own: start, stop and watch them from outside.

    start("photos/", "out", weights="dino_vits16", size=224)
    stop("out")                       # it keeps what is done; start() goes on there

What is known of one is read from its folder: OUT/{launch.json, console.txt} are written here, the rest
by the process, which outlives whoever started it.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dino.errors import UserError
from dino.features.folder.files import FEATURES
from dino.features.folder.progress import Progress, read_progress
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


@dataclass(frozen=True)
class Job:
    """An embedding as its folder tells it: `status` "none", "starting", "running", "stopping",
    "stopped", "finished" or "failed", its last `progress`, and why it failed (`reason`).

    `done` says whether there are features to read, of this or an earlier pass.
    """

    status: str
    progress: Progress | None
    reason: str
    done: bool

    @property
    def active(self) -> bool:
        return self.status in ("starting", "running", "stopping")


def read_job(out: str | Path) -> Job:
    """How an embedding is doing."""
    out = Path(out)
    launch, progress = read_process(out / LAUNCH), read_progress(out)
    done = (out / FEATURES).exists()
    if launch and is_alive(launch["pid"], launch["start_time"]):
        own = progress is not None and progress.pid == launch["pid"]
        if own and progress and progress.status in ("finished", "stopped", "failed"):
            return Job("stopping", progress, "", done)  # its last breath
        status = "stopping" if launch["stopping"] else "running" if own else "starting"
        return Job(status, progress if own else None, "", done)
    if progress is not None and progress.alive:  # started on a terminal
        return Job("running", progress, "", done)
    if launch and (progress is None or progress.pid != launch["pid"]):
        return Job("failed", None, last_words(out), done)
    if progress is None:
        return Job("none", None, "", done)
    return Job(progress.status, progress, progress.reason, done)


def start(
    photos: str | Path,
    out: str | Path,
    *,
    weights: str,
    size: int,
    batch_size: int = 32,
    workers: int = 1,
    precision: str = "auto",
    threads: int | None = None,
    nice: int = DEFAULT_NICE,
) -> None:
    """Embed in a process of its own and return at once; arguments as `python -m dino embed`.

    Raises:
        UserError: it is at work already.
    """
    out = Path(out).absolute()
    options: dict[str, Any] = {
        "weights": weights,
        "size": size,
        "batch-size": batch_size,
        "workers": workers,
        "precision": precision,
        "nice": nice,
        **({"threads": threads} if threads else {}),
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with alone(out):
        if read_job(out).active:
            raise UserError("these photos are being embedded already; wait, or stop it first")
        command = [*COMMAND, "embed", str(Path(photos).absolute()), "--out", str(out), *words]
        pid, start_time = launch(command, console=out / CONSOLE, folder=PROJECT_FOLDER)
        write_launch(out, {"pid": pid, "start_time": start_time})


def stop(out: str | Path) -> None:
    """Ask an embedding to keep what is done and end; it does so after its batch.

    Raises:
        UserError: it is not at work.
    """
    out = Path(out).absolute()
    with alone(out):
        job, launch = read_job(out), read_process(out / LAUNCH)
        if not job.active:
            raise UserError("these photos are not being embedded; there is nothing to stop")
        alive = launch is not None and is_alive(launch["pid"], launch["start_time"])
        if alive and launch:
            write_launch(out, {**launch, "stopping": True})
            os.kill(launch["pid"], signal.SIGTERM)
        elif job.progress:
            os.kill(job.progress.pid, signal.SIGTERM)
