"""Which process runs a run, told from its folder.

A process is known again by its number and its start time together, since numbers are used again.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from dino.system.stored import parse_json
from dino.training.runs.folder import process_start_time


def is_running(run: Path) -> bool:
    """Whether a run's process is there, also before its first sign of life."""
    return running_process(run) is not None


def running_process(run: Path) -> dict[str, Any] | None:
    """`pid` and `start_time` of the run's process; None where there is none.

    One that we launched counts until it is gone; another, such as a notebook, while it runs the run.
    """
    for name in ("launch.json", "state.json"):
        process = read_process(run / name)
        if process is None or process["status"] != "running":
            continue
        if is_alive(process["pid"], process["start_time"]):
            return {key: process[key] for key in ("pid", "start_time")}
    return None


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


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none, or half of one."""
    try:
        values = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
