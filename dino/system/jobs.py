"""Jobs: `python -m dino …` in processes that outlive who started them and leave no zombie behind.

Training, embedding and films are such jobs. What is known of one is read from its folder:

    launch.json     pid, start time, and whether it was asked to stop; written where it is started
    console.txt     what it printed
    progress.json   status, counts and its own pid; written by the job itself (a run's is state.json)

A process is known again by its number and its start time together, since numbers are used again.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from dino.errors import UserError
from dino.system.files import as_record, read_json, replace_file, write_error
from dino.system.folders import PROJECT_FOLDER
from dino.system.processes import is_alive, process_start_time

LAUNCH, CONSOLE, PROGRESS = "launch.json", "console.txt", "progress.json"
ACTIVE = ("starting", "running", "stopping")
LOST = "its process ended without a word"
COMMAND: tuple[str, ...] = (sys.executable, "-m", "dino")
DEFAULT_NICE = 10
MAX_NAME = 64

# A process between us and the one started, gone at once: that one then has no parent that must wait
# for it, or it would stay a zombie of the app's server.
_BETWEEN = """
import subprocess, sys
with open(sys.argv[1], "wb") as console:
    process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=console,
                               stderr=subprocess.STDOUT, start_new_session=True)
try:
    stat = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
except OSError:  # not Linux
    stat = []
print(process.pid, *stat[19:20])
"""
_WRITE_S = 0.5  # between two writes of progress.json
# Names that Windows keeps for devices, with any suffix.
_RESERVED = {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(10)}
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class JobProgress:
    """How far a job is: `status` "running", "stopped", "finished" or "failed" and the `reason`; what is
    `done` of `total`; the seconds `left_s` at its speed; and the process that wrote this."""

    status: str
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


P = TypeVar("P", bound=JobProgress)


@dataclass(frozen=True)
class Job(Generic[P]):
    """A job as its folder shows it.

    `status` is "none", one of `ACTIVE`, "stopped", "finished" or "failed"; `progress` what it last
    wrote, None where that is of a process before; `reason` why it failed; `pid` and `start_time` of the
    process at work, if one is; `done` whether there are results to read, of this or an earlier one.
    """

    status: str
    progress: P | None = None
    reason: str = ""
    pid: int | None = None
    start_time: str | None = None
    done: bool = False

    @property
    def active(self) -> bool:
        """Whether a process is at work."""
        return self.status in ACTIVE


@dataclass(frozen=True)
class _Launch:
    """What launch.json says; it may hold more."""

    pid: int
    start_time: str | None = None
    stopping: bool = False

    @property
    def alive(self) -> bool:
        return is_alive(self.pid, self.start_time)


def launch(folder: Path, words: Sequence[str], **facts: Any) -> None:
    """Start `python -m dino` in a session of its own and return at once.

    Args:
        folder: of the job; takes launch.json and console.txt.
        words: of the command line, after `python -m dino`.
        facts: what launch.json says beside the process.
    Raises:
        UserError: launch.json cannot be written; the process is at work all the same.
        CalledProcessError: no process can be started.
    """
    done = subprocess.run(  # noqa: S603 (our own command, no shell)
        [sys.executable, "-I", "-c", _BETWEEN, str(folder / CONSOLE), *COMMAND, *words],
        cwd=PROJECT_FOLDER,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    pid, *start_time = done.stdout.split()
    process = {
        "pid": int(pid),
        "start_time": start_time[0] if start_time else process_start_time(int(pid)),
    }
    _write_launch(folder, {**process, "stopping": False, **facts})


def stop(folder: Path, job: Job[Any]) -> None:
    """Ask the process of an active job to end in order, and note that it was asked.

    Raises:
        UserError: that cannot be noted; it is asked all the same.
    """
    assert job.pid is not None
    process = {"pid": job.pid, "start_time": job.start_time}
    try:
        before = read_json(folder / LAUNCH) or {}
        _write_launch(folder, {**before, **process, "stopping": True})
    finally:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(job.pid, signal.SIGTERM)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold a folder, made if it is not there, so that whichever server starts and stops jobs below it
    does so alone."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".launching").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go by the system with the file, even in a crash
        yield


def read_job(
    folder: Path,
    kind: type[P],
    *,
    file: str = PROGRESS,
    lost: str = "failed",
    done: bool = False,
) -> Job[P]:
    """Read how a job is doing.

    Args:
        kind: of its progress.
        file: that the progress is in.
        lost: status of a job whose process ended without a word.
        done: whether there are results.
    """
    launched = _read_launch(folder)
    progress = read_progress(folder, kind, file=file, lost=lost)
    own = bool(launched and progress and progress.pid == launched.pid)
    if launched and launched.alive:
        ending = launched.stopping or (
            own and progress is not None and progress.status != "running"
        )
        status = "stopping" if ending else "running" if own else "starting"
        shown = progress if own else None
        return Job(status, shown, "", launched.pid, launched.start_time, done)
    if progress and progress.status == "running":  # started elsewhere, such as on a terminal
        return Job("running", progress, "", progress.pid, progress.start_time, done)
    if launched and not own and _is_newer(folder / LAUNCH, folder / file):
        status, reason = ("stopped", "") if launched.stopping else ("failed", last_words(folder))
        return Job(status, None, reason, done=done)
    if progress is None:
        return Job("none", done=done)
    return Job(progress.status, progress, progress.reason, done=done)


def read_progress(
    folder: Path, kind: type[P], *, file: str = PROGRESS, lost: str = "failed"
) -> P | None:
    """Read what a job last wrote; None where there is nothing, or nothing whole.

    One that says it is running and whose process is gone (a crash, a power cut) gets the status `lost`.
    """
    values = read_json(folder / file)
    try:
        found = as_record(kind, values) if values else None
    except ValueError:  # damaged, or of another version
        return None
    if found and found.status == "running" and not found.alive:
        return replace(found, status=lost, reason=LOST)
    return found


class ProgressWriter(Generic[P]):
    """Write the progress of this process now and then, and hand every change to a listener."""

    def __init__(self, folder: Path, start: P, listener: Callable[[P], None] | None) -> None:
        self._path, self._listener = folder / PROGRESS, listener
        self._written = 0.0
        pid = os.getpid()
        self.now: P = start
        self.update(write=True, pid=pid, start_time=process_start_time(pid))

    def update(self, *, write: bool = False, **changes: Any) -> None:
        """Change some fields; the file follows if `write`, or if it is half a second old."""
        self.now = replace(self.now, **changes)
        if write or time.monotonic() - self._written > _WRITE_S:
            self._written = time.monotonic()
            with suppress(OSError):  # a full disk is an error of the results themselves
                replace_file(self._path, json.dumps(asdict(self.now)))
        if self._listener:
            self._listener(self.now)

    def end(self, status: str, reason: str = "") -> None:
        """Write the last progress."""
        self.update(write=True, status=status, reason=reason, left_s=None)


def last_words(folder: Path) -> str:
    """Read the last line that a job printed: its error, if it died of one."""
    try:
        lines = (folder / CONSOLE).read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return last.removeprefix("error: ") or "it ended without a word"


def check_name(name: str) -> str:
    """Return a name that a job can have.

    Raises:
        UserError: empty, too long, reserved, or with anything but letters, digits, - _ and inner dots.
    """
    expected = f"expected letters, digits, - and _, dots inside, at most {MAX_NAME} characters"
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        shown = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
        raise UserError(f"the name is {shown!r}; {expected}")
    if name.split(".", maxsplit=1)[0].lower() in _RESERVED:
        raise UserError(f"the name {name!r} is reserved on some systems; choose another")
    return name


def _read_launch(folder: Path) -> _Launch | None:
    """Read launch.json; None where it names no process."""
    values = read_json(folder / LAUNCH) or {}
    names = ("pid", "start_time", "stopping")
    known: dict[str, Any] = {name: values[name] for name in names if name in values}
    try:
        return as_record(_Launch, known)
    except ValueError:
        return None


def _write_launch(folder: Path, values: dict[str, Any]) -> None:
    try:
        replace_file(folder / LAUNCH, json.dumps(values))
    except OSError as error:
        raise write_error(folder / LAUNCH, error) from error


def _is_newer(path: Path, other: Path) -> bool:
    """Tell whether a file was written after another, or the other is not there."""
    try:
        before = other.stat().st_mtime_ns
    except OSError:
        return True
    return path.stat().st_mtime_ns > before
