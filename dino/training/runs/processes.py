"""Which process runs a run, told from its folder.

A process is known again by its number and its start time together, since numbers are used again.
"""

from pathlib import Path
from typing import Any

from dino.system.jobs import is_alive, read_process


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
