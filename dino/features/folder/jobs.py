"""Start, stop and watch embeddings as processes of their own.

    start("photos/", "out", weights="dino_vits16", size=224)
    stop("out")                       # it keeps what is done; start() goes on there

The process outlives whoever started it; what is known of it is read from OUT (see `dino.system.jobs`).
"""

from pathlib import Path
from typing import Any

from dino.errors import UserError
from dino.features.folder.files import FEATURES
from dino.features.folder.progress import LOST, EmbeddingProgress
from dino.system import jobs
from dino.system.jobs import DEFAULT_NICE, Job


def read_job(out: str | Path) -> Job[EmbeddingProgress]:
    """Read how an embedding is doing; `done` says whether there are features to read."""
    done = (Path(out) / FEATURES).exists()
    return jobs.read_job(Path(out), EmbeddingProgress, lost=LOST, done=done)


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
    with jobs.one_at_a_time(out):
        if read_job(out).active:
            raise UserError("these photos are being embedded already; wait, or stop it first")
        jobs.launch(out, ["embed", str(Path(photos).absolute()), "--out", str(out), *words])


def stop(out: str | Path) -> None:
    """Ask an embedding to keep what is done and end; it does so after its batch.

    Raises:
        UserError: it is not at work.
    """
    out = Path(out).absolute()
    with jobs.one_at_a_time(out):
        job = read_job(out)
        if not job.active:
            raise UserError("these photos are not being embedded; there is nothing to stop")
        jobs.stop(out, job)
