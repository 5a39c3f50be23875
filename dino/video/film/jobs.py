"""Start, cancel and watch films as processes of their own.

    start("walk.mp4", folder / film_id(…), weights="dino_vits16", size=480, options=["--attention"])
    cancel(folder / …)

The process outlives whoever started it; what is known of it is read from OUT (see `dino.system.jobs`).
One at a time is made below a folder of films.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dino.errors import UserError
from dino.system import jobs
from dino.system.files import content_id
from dino.system.jobs import DEFAULT_NICE, LAUNCH, PROGRESS, Job
from dino.video.film.making import RESULT
from dino.video.film.progress import FilmProgress


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
