"""How far an embedding is, in a file that others read: OUT/progress.json."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dino.system import jobs
from dino.system.jobs import JobProgress, ProgressWriter

LOST = "stopped"  # what an embedding is whose process ended without a word: it goes on where it was
_WINDOW_S = 20.0  # that the speed is measured over


@dataclass(frozen=True)
class EmbeddingProgress(JobProgress):
    """How far an embedding is: photos `done` of `total`, `unreadable` among them, and `images_per_s` of
    late."""

    unreadable: int = 0
    images_per_s: float | None = None


def read_progress(out: Path) -> EmbeddingProgress | None:
    """Read what an embedding last wrote; None where there is nothing."""
    return jobs.read_progress(out, EmbeddingProgress, lost=LOST)


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
