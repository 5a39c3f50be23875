"""Processes of their own that outlive who started them and leave no zombie behind.

What was started is told in two files of its folder: launch.json (pid, start time, whether it was asked
to stop) and console.txt (what it printed).
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dino.errors import UserError
from dino.system.files import read_json, replace_file

LAUNCH, CONSOLE = "launch.json", "console.txt"

# A process between us and the one started, gone at once: that one then has no parent that must wait
# for it, or it would stay a zombie of the app's server.
_BETWEEN = """
import subprocess, sys
with open(sys.argv[1], "wb") as console:
    process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=console,
                               stderr=subprocess.STDOUT, start_new_session=True)
try:
    stat = open(f"/proc/{process.pid}/stat").read()
except OSError:  # not Linux
    stat = ") " + "- " * 20
print(process.pid, stat.rsplit(")", 1)[1].split()[19])
"""
COMMAND = (sys.executable, "-m", "dino")
DEFAULT_NICE = 10
MAX_NAME = 64
# Names that Windows keeps for devices, with any suffix.
_RESERVED = {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(10)}
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def launch(command: Sequence[str], *, console: Path, folder: Path) -> tuple[int, str]:
    """Start a command in a session of its own and return at once.

    Args:
        console: file that takes what it prints.
        folder: where it runs.
    Returns:
        Its number, and its start time, by which it is known again.
    """
    done = subprocess.run(  # noqa: S603 (our own command, no shell)
        [sys.executable, "-I", "-c", _BETWEEN, str(console), *command],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    pid, start_time = done.stdout.split()
    return int(pid), start_time


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One start or stop below a folder at a time, whichever server asks for it."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".launching").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_launch(folder: Path, values: dict[str, Any]) -> None:
    """Write launch.json as a whole."""
    replace_file(folder / LAUNCH, json.dumps(values))


def last_words(folder: Path) -> str:
    """The error that a process ended with before it had begun."""
    path = folder / CONSOLE
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1].removeprefix("error: ") if lines else "it ended without a word"


def process_start_time(pid: int) -> str | None:
    """When a process started, in the system's own count; None where there is none of that number, or
    only what is left of it until its parent looks (a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    words = stat.rsplit(")", 1)[1].split()
    return None if words[0] == "Z" else words[19]


def is_alive(pid: int, start_time: str | None) -> bool:
    """Whether the process that had this number at that time is still at work."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():  # another system than Linux
        with suppress(OSError):
            os.kill(pid, 0)
            return True
        return False
    if start_time is None:
        return False
    if process_start_time(pid) == start_time:
        return True
    with suppress(OSError):
        words = stat.read_text().rsplit(")", 1)[1].split()
        if words[0] == "Z" and words[19] == start_time:
            os.waitpid(
                pid, os.WNOHANG
            )  # ours to take away where the app is process 1, in a container
    return False


def read_process(path: Path) -> dict[str, Any] | None:
    """What launch.json or state.json says of a process; None where it names none."""
    told = {"start_time": None, "status": "running", "reason": "", "stopping": False}
    values = {**told, **(read_json(path) or {})}
    words = all(isinstance(values[name], str) for name in ("status", "reason"))
    known = type(values.get("pid")) is int and isinstance(values["start_time"], str | None)
    return values if words and known else None


def check_name(name: str) -> str:
    """The name, if a run can have it.

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
