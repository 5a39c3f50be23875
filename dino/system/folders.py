"""Where the project lies, and where weights, runs and whatever is kept go."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PROJECT_FOLDER = Path(__file__).resolve().parents[2]


def checkpoints_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return `DINO_CHECKPOINTS`, else `checkpoints` of the project."""
    named = (os.environ if environ is None else environ).get("DINO_CHECKPOINTS")
    return Path(named).expanduser() if named else PROJECT_FOLDER / "checkpoints"
