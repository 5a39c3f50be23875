"""Start, cancel and watch films as processes of their own; how far one is stands in OUT/progress.json.

    start("walk.mp4", folder / film_id(…), weights="dino_vits16", size=480, options=["--attention"])
    cancel(folder / …)

The process outlives whoever started it; what is known of it is read from OUT (see `dino.system.jobs`).
One at a time is made below a folder of films.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dino.errors import UserError
from dino.media.draw import encode_jpeg, shrink
from dino.system import jobs
from dino.system.files import content_id, replace_file
from dino.system.jobs import DEFAULT_NICE, LAUNCH, PROGRESS, Job, JobProgress, ProgressWriter

RESULT, PREVIEW = "result.json", "preview.jpg"
_PREVIEW_S = 2.0
_PREVIEW_PX = 640


@dataclass(frozen=True)
class FilmProgress(JobProgress):
    """How far a film is: frames `done` of `total` in the `phase` "looking" or "drawing", and the seconds
    `left_s` of that phase at its speed so far.

    `total` is what the file says of itself, which need not be quite true; 0 where it says nothing.
    """

    phase: str = "looking"


class FilmProgressWriter(ProgressWriter[FilmProgress]):
    """Write how far this film is, and what it looks like so far."""

    def __init__(
        self, out: Path, *, total: int, listener: Callable[[FilmProgress], None] | None = None
    ) -> None:
        self._out, self._drawn = out, 0.0
        self._started = time.monotonic()
        out.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            (out / PREVIEW).unlink()
        super().__init__(out, FilmProgress("running", total=total), listener)

    def start_phase(self, name: str, total: int) -> None:
        """Begin another pass over the frames."""
        self._started = time.monotonic()
        self.update(write=True, phase=name, done=0, total=total, left_s=None)

    def add_frame(self) -> None:
        """Count a frame as done."""
        done = self.now.done + 1
        total = max(self.now.total, done) if self.now.total else 0
        left = (time.monotonic() - self._started) / done * (total - done) if total else None
        self.update(done=done, total=total, left_s=left)

    @property
    def wants_preview(self) -> bool:
        """Whether the preview has grown old."""
        return time.monotonic() - self._drawn > _PREVIEW_S

    def write_preview(self, picture: np.ndarray) -> None:
        """Write what the film looks like now, uint8 [H,W,3]."""
        with suppress(OSError):
            replace_file(self._out / PREVIEW, encode_jpeg(shrink(picture, _PREVIEW_PX)))
        self._drawn = time.monotonic()


def film_id(video_sha256: str, fingerprint: str, settings: Mapping[str, Any]) -> str:
    """Name a film's folder by what was filmed, the network and how it was drawn, nothing else."""
    facts = json.dumps([video_sha256, fingerprint, settings], sort_keys=True)
    return content_id(facts.encode())[:16]


def read_job(out: Path) -> Job[FilmProgress]:
    """Read how a film is doing; one that is there stays finished, whatever came of a later try."""
    job = jobs.read_job(out, FilmProgress, done=(out / RESULT).exists())
    return replace(job, status="finished", reason="") if job.done and not job.active else job


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
    words = ["--weights", weights, "--size", str(size), "--precision", precision]
    words += ["--nice", str(nice), *(["--threads", str(threads)] if threads else [])]
    with jobs.one_at_a_time(out.parent):
        if any(read_job(path.parent).active for path in out.parent.glob(f"*/{LAUNCH}")):
            raise UserError("another film is being made; wait until it is done, or cancel it")
        out.mkdir(parents=True, exist_ok=True)
        (out / PROGRESS).unlink(missing_ok=True)
        jobs.launch(out, ["film", str(video.absolute()), "--out", str(out), *words, *options])


def cancel(out: Path) -> None:
    """Ask a film's process to end after its frame; what it made is taken away.

    Raises:
        UserError: it is not at work.
    """
    out = out.absolute()
    with jobs.one_at_a_time(out.parent):
        job = read_job(out)
        if not job.active:
            raise UserError("this film is not being made; there is nothing to cancel")
        jobs.stop(out, job)
