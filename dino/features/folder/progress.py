"""How far an embedding is, in a file that others read: OUT/progress.json."""

import json
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dino.system.files import as_record, read_json, replace_file
from dino.system.jobs import is_alive, process_start_time

FILE = "progress.json"
_WRITE_S = 0.5
_WINDOW_S = 20.0  # that the speed is told from


@dataclass(frozen=True)
class Progress:
    """`status` "running", "stopped", "finished" or "failed" and the `reason`; photos `done` of `total`,
    `unreadable` among them; `images_per_s` of late, and the seconds `left` at that speed."""

    status: str
    done: int = 0
    total: int = 0
    unreadable: int = 0
    images_per_s: float | None = None
    left_s: float | None = None
    reason: str = ""
    pid: int = 0
    start_time: str | None = None

    @property
    def alive(self) -> bool:
        """Whether the process that wrote this is still at work."""
        return self.status == "running" and is_alive(self.pid, self.start_time)


def read_progress(out: Path) -> Progress | None:
    """What an embedding last wrote; None where there is nothing. One that ended without a word (a
    crash, a power cut) reads as stopped."""
    values = read_json(out / FILE)
    try:
        found = as_record(Progress, values) if values else None
    except ValueError:  # damaged, or of another version
        return None
    if found and found.status == "running" and not found.alive:
        return replace(found, status="stopped", reason="its process ended without a word")
    return found


class Reporter:
    """Writes the file now and then, and tells `listener` of every batch."""

    def __init__(
        self, out: Path, *, done: int, total: int, listener: Callable[[Progress], None] | None
    ) -> None:
        self._path, self._listener = out / FILE, listener
        pid = os.getpid()
        self._now = Progress("running", done, total, pid=pid, start_time=process_start_time(pid))
        self._times = deque([(time.monotonic(), done)])
        self._written = 0.0
        self._tell(write=True)

    def batch(self, num_photos: int, num_unreadable: int) -> None:
        """So many more photos are done, unreadable ones included."""
        now, done = time.monotonic(), self._now.done + num_photos
        self._times.append((now, done))
        while len(self._times) > 2 and now - self._times[1][0] > _WINDOW_S:
            self._times.popleft()
        then, before = self._times[0]
        speed = (done - before) / max(now - then, 1e-6)
        self._now = replace(
            self._now,
            done=done,
            unreadable=self._now.unreadable + num_unreadable,
            images_per_s=speed,
            left_s=(self._now.total - done) / speed if speed else None,
        )
        self._tell(write=now - self._written > _WRITE_S)

    def end(self, status: str, reason: str = "") -> None:
        """The last word."""
        self._now = replace(self._now, status=status, reason=reason, left_s=None)
        self._tell(write=True)

    def _tell(self, *, write: bool) -> None:
        if write:
            self._written = time.monotonic()
            with suppress(OSError):  # a full disk is what the features themselves will tell of
                replace_file(self._path, json.dumps(asdict(self._now)))
        if self._listener:
            self._listener(self._now)
