"""Measure one row in a process of its own: `python -m bench.child 4 cpu 5 full` prints JSON.

`measure` starts such a process and keeps what it found, or why it found nothing.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dino.system.processes import let_idle_threads_sleep

let_idle_threads_sleep()

import torch  # noqa: E402

from bench import machine  # noqa: E402
from bench.apart import found_by  # noqa: E402
from bench.outcome import NotMeasuredError, Outcome, Settings  # noqa: E402
from bench.table import BY_NUMBER, SECTIONS  # noqa: E402

MEASURED, FAILED, NOT_MEASURED = "measured", "failed", "not measured"
_ROOT = Path(__file__).resolve().parents[1]


def measure(
    name: str, *, device: str | None, tiny: bool, repeats: int, limit_s: float
) -> dict[str, Any]:
    """Measure a row or section in a new process; what it found as it is kept, or why it found nothing."""
    words = [name, device or "auto", str(repeats), "tiny" if tiny else "full"]
    started = time.perf_counter()
    try:
        found = found_by(["bench.child", *words], limit_s=limit_s)
    except subprocess.TimeoutExpired:
        return {"status": FAILED, "reason": f"took longer than {limit_s:.0f} s"}
    except RuntimeError as error:
        return {"status": FAILED, "reason": str(error)}
    return {**found, "took_s": round(time.perf_counter() - started, 1)}


def run(name: str, settings: Settings) -> dict[str, Any]:
    """Measure a row or section in this process."""
    circumstances = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tiny": settings.tiny,
        "device": settings.device.type,
        "machine": machine.describe(settings.device),
    }
    try:
        outcome = _function(name)(settings)
    except NotMeasuredError as reason:
        return {"status": NOT_MEASURED, "reason": str(reason), **circumstances}
    found = asdict(outcome) if isinstance(outcome, Outcome) else outcome
    return {"status": MEASURED, **found, **circumstances}


def settings_of(device: str, repeats: int, *, tiny: bool) -> Settings:
    """Read settings off the words a process is started with."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    shared = Path(os.environ.get("DINO_SHARED", _ROOT.parent / "shared"))
    return Settings(torch.device(device), tiny, repeats, shared if shared.is_dir() else None)


def _function(name: str) -> Any:
    row = None if name in SECTIONS else BY_NUMBER[int(name)]
    # The function of a section is named as its module.
    module, function = (row.module, row.function) if row else (name, name)
    return getattr(importlib.import_module(f"bench.rows.{module}"), function)


if __name__ == "__main__":
    _name, _device, _repeats, _size = sys.argv[1:]
    _found = run(_name, settings_of(_device, int(_repeats), tiny=_size == "tiny"))
    print(json.dumps(_found, ensure_ascii=False), flush=True)
