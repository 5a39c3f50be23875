"""How far a film is, in files that others read: OUT/progress.json and OUT/preview.jpg."""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from dino.media.draw import encode_jpeg, shrink
from dino.system.files import as_record, read_json, replace_file
from dino.system.jobs import is_alive, process_start_time

FILE, PREVIEW = "progress.json", "preview.jpg"
_WRITE_S = 0.5
_PREVIEW_S = 2.0
_PREVIEW_PX = 640


@dataclass(frozen=True)
class Progress:
    """`status` "running", "stopped", "finished" or "failed" and the `reason`; frames `done` of `total` in
    the `phase` "looking" or "drawing"; and the seconds `left_s` of that phase at its speed so far.

    `total` is what the file says of itself, which need not be quite true; 0 where it says nothing.
    """

    status: str
    phase: str = "looking"
    done: int = 0
    total: int = 0
    left_s: float | None = None
    reason: str = ""
    pid: int = 0
    start_time: str | None = None

    @property
    def alive(self) -> bool:
        """Whether the process that wrote this is still at work."""
        return self.status == "running" and is_alive(self.pid, self.start_time)


def read_progress(out: Path) -> Progress | None:
    """What a film last wrote; None where there is nothing. One that ended without a word (a crash, a
    power cut) reads as failed."""
    values = read_json(out / FILE)
    try:
        found = as_record(Progress, values) if values else None
    except ValueError:  # damaged, or of another version
        return None
    if found and found.status == "running" and not found.alive:
        return replace(found, status="failed", reason="its process ended without a word")
    return found


class Reporter:
    """Writes progress.json now and then and tells `listener` of every frame; previews as they are given."""

    def __init__(
        self, out: Path, *, total: int, listener: Callable[[Progress], None] | None = None
    ) -> None:
        self._out, self._listener = out, listener
        pid = os.getpid()
        self._now = Progress("running", total=total, pid=pid, start_time=process_start_time(pid))
        self._started = time.monotonic()
        self._written = self._drawn = 0.0
        out.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            (out / PREVIEW).unlink()
        self._tell(write=True)

    def phase(self, name: str, total: int) -> None:
        """Another pass over the frames begins."""
        self._now = replace(self._now, phase=name, done=0, total=total, left_s=None)
        self._started = time.monotonic()
        self._tell(write=True)

    def frame(self) -> None:
        """One more frame is done."""
        now, done = time.monotonic(), self._now.done + 1
        total = max(self._now.total, done) if self._now.total else 0
        left = (now - self._started) / done * (total - done) if total else None
        self._now = replace(self._now, done=done, total=total, left_s=left)
        self._tell(write=now - self._written > _WRITE_S)

    @property
    def wants_preview(self) -> bool:
        """Whether the preview has grown old."""
        return time.monotonic() - self._drawn > _PREVIEW_S

    def preview(self, picture: np.ndarray) -> None:
        """What the film looks like now, uint8 [H,W,3]."""
        with suppress(OSError):
            replace_file(self._out / PREVIEW, encode_jpeg(shrink(picture, _PREVIEW_PX)))
        self._drawn = time.monotonic()

    @property
    def done(self) -> int:
        """Frames done in this phase."""
        return self._now.done

    def end(self, status: str, reason: str = "") -> None:
        """The last word."""
        self._now = replace(self._now, status=status, reason=reason, left_s=None)
        self._tell(write=True)

    def _tell(self, *, write: bool) -> None:
        if write:
            self._written = time.monotonic()
            with suppress(OSError):  # a full disk is what the film itself will tell of
                replace_file(self._out / FILE, json.dumps(asdict(self._now)))
        if self._listener:
            self._listener(self._now)
