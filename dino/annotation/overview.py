"""How far a session is: the status of every photo, read once and renewed where a file has changed."""

import os
import threading
from collections import Counter
from dataclasses import dataclass

from dino.annotation.session import STATUSES, TODO, Session

_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class _Seen:
    """What a state file said when it was last read; `stamp` changes with the file."""

    stamp: _Stamp | None
    status: str
    num_objects: int
    problem: str


class Overview:
    """The statuses of a session's photos; several threads may ask and renew at once.

    A state file is read again only where its time, length or inode is another: looking through a
    thousand of them costs one listing of their folder. Photos are not touched.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._seen: list[_Seen] = []
        self.refresh()

    def refresh(self) -> None:
        """Notice what was written since, by this process or another."""
        with self._lock:
            stamps = self._stamps()
            known = dict(enumerate(self._seen))
            self._seen = [
                seen
                if (seen := known.get(index)) is not None and seen.stamp == stamps.get(index)
                else self._read(index)
                for index in range(len(self._session.photos))
            ]

    @property
    def statuses(self) -> list[str]:
        """List the status of each photo, in order."""
        return [seen.status for seen in self._seen]

    @property
    def num_objects(self) -> int:
        """Count the objects in all photos together."""
        return sum(seen.num_objects for seen in self._seen)

    @property
    def problems(self) -> dict[int, str]:
        """List what is wrong with the state files of photos, by number from 0."""
        return {index: seen.problem for index, seen in enumerate(self._seen) if seen.problem}

    def counts(self) -> dict[str, int]:
        """Count the photos of each status, those of none included."""
        counted = Counter(self.statuses)
        return {status: counted[status] for status in STATUSES}

    def next_todo(self, after: int) -> int | None:
        """Find the first photo still to do after photo `after`, from the start again at the end."""
        statuses = self.statuses
        order = [*range(after + 1, len(statuses)), *range(min(after + 1, len(statuses)))]
        return next((index for index in order if statuses[index] == TODO), None)

    def _stamps(self) -> dict[int, _Stamp]:
        found = {}
        try:
            with os.scandir(self._session.folder / "states") as entries:
                for entry in entries:
                    number, _, suffix = entry.name.partition(".")
                    if suffix == "json" and number.isdigit():
                        found[int(number) - 1] = _stamp(entry.stat())
        except OSError:  # the folder is gone: every photo is to be done again, and says so
            return {}
        return found

    def _read(self, index: int) -> _Seen:
        # Stamped before it is read: a write in between is noticed the next time.
        try:
            stamp = _stamp(self._session.state_path(index).stat())
        except OSError:
            stamp = None
        state, problem = self._session.load(index)
        return _Seen(stamp, state.status, len(state.objects), problem)


def _stamp(stat: os.stat_result) -> _Stamp:
    """Take what changes with a file."""
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def missing_photos(session: Session) -> dict[int, str]:
    """Find photos that are gone, or of another length than at the start, by number from 0.

    Quick (nothing is read), so a photo that changed but kept its length is found out when it is opened.
    """
    problems = {}
    for index, photo in enumerate(session.photos):
        try:
            num_bytes = session.photo_path(index).stat().st_size
        except OSError:
            problems[index] = f"{photo.file} is gone from {session.source}"
            continue
        if num_bytes != photo.num_bytes:
            problems[index] = f"{photo.file} has changed since the session began"
    return problems
