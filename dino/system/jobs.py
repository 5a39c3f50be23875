"""Processes of their own that outlive who started them and leave no zombie behind.

What was started is told in two files of its folder: launch.json (pid, start time, whether it was asked
to stop) and console.txt (what it printed).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dino.system.files import replace_file

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
