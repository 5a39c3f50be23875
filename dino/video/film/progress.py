"""How far a film is, in files that others read: OUT/progress.json and OUT/preview.jpg."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dino.media.draw import encode_jpeg, shrink
from dino.system import jobs
from dino.system.files import replace_file
from dino.system.jobs import JobProgress, ProgressWriter

PREVIEW = "preview.jpg"
_PREVIEW_S = 2.0
_PREVIEW_PX = 640


@dataclass(frozen=True)
class FilmProgress(JobProgress):
    """How far a film is: frames `done` of `total` in the `phase` "looking" or "drawing", and the seconds
    `left_s` of that phase at its speed so far.

    `total` is what the file says of itself, which need not be quite true; 0 where it says nothing.
    """

    phase: str = "looking"


def read_progress(out: Path) -> FilmProgress | None:
    """Read what a film last wrote; None where there is nothing."""
    return jobs.read_progress(out, FilmProgress)


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
