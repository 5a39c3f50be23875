"""Run a module in a process of its own, and read what it found."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
_SHOWN_CHARACTERS = 300


def found_by(
    words: Sequence[str], *, limit_s: float | None = None, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run `python -m WORDS…` and read the last JSON object that it printed, a line.

    Raises:
        RuntimeError: it printed none; the message is the last line of its errors.
        subprocess.TimeoutExpired: it took longer than `limit_s`.
    """
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", *words],
        cwd=_ROOT, capture_output=True, text=True, timeout=limit_s, env=env, check=False,
    )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not found:
        last = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
        raise RuntimeError(last[0][:_SHOWN_CHARACTERS])
    values: dict[str, Any] = json.loads(found[-1])
    return values
