"""Start, stop and watch embeddings as processes of their own; how far one is stands in OUT/progress.json.

    start("photos/", "out", weights="dino_vits16", size=224)
    stop("out")                       # it keeps what is done; start() goes on there

The process outlives whoever started it; what is known of it is read from OUT (see `dino.system.jobs`).
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dino.errors import UserError
from dino.features.folder.files import FEATURES
from dino.system import jobs
from dino.system.jobs import DEFAULT_NICE, Job, JobProgress, ProgressWriter

_LOST = (
    "stopped"  # what an embedding is whose process ended without a word: it goes on where it was
)
_WINDOW_S = 20.0  # that the speed is measured over


@dataclass(frozen=True)
class EmbeddingProgress(JobProgress):
    """How far an embedding is: photos `done` of `total`, `unreadable` among them, and `images_per_s` of
    late."""

    unreadable: int = 0
    images_per_s: float | None = None


class EmbeddingProgressWriter(ProgressWriter[EmbeddingProgress]):
    """Write how far this embedding is."""

    def __init__(
        self,
        out: Path,
        *,
        done: int,
        total: int,
        listener: Callable[[EmbeddingProgress], None] | None,
    ) -> None:
        self._times = deque([(time.monotonic(), done)])
        super().__init__(out, EmbeddingProgress("running", done, total), listener)

    def add_batch(self, num_photos: int, num_unreadable: int) -> None:
        """Count photos as done, unreadable ones included."""
        now, done = time.monotonic(), self.now.done + num_photos
        self._times.append((now, done))
        while len(self._times) > 2 and now - self._times[1][0] > _WINDOW_S:
            self._times.popleft()
        then, before = self._times[0]
        speed = (done - before) / max(now - then, 1e-6)
        self.update(
            done=done,
            unreadable=self.now.unreadable + num_unreadable,
            images_per_s=speed,
            left_s=(self.now.total - done) / speed if speed else None,
        )


def read_job(out: str | Path) -> Job[EmbeddingProgress]:
    """Read how an embedding is doing; `done` says whether there are features to read."""
    done = (Path(out) / FEATURES).exists()
    return jobs.read_job(Path(out), EmbeddingProgress, lost=_LOST, done=done)


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
