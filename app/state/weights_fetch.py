"""Fetch the default weights in a process of its own, so that no page waits and no tab owns it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from dino.system.folders import PROJECT_FOLDER


class WeightsFetch:
    """One `python -m dino weights fetch default` at a time, and what it says."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen | None = None
        self._starting = threading.Lock()

    def start(self) -> None:
        """Start, unless one is running, whoever asks at the same time."""
        with self._starting:
            if self.running:
                return
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "dino", "weights", "fetch", "default"],
                    cwd=PROJECT_FOLDER,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            # It is waited for even if nobody looks again, so that no zombie is left.
            threading.Thread(target=self._process.wait, daemon=True).start()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def succeeded(self) -> bool:
        return self._process is not None and self._process.poll() == 0

    @property
    def failed(self) -> bool:
        return self._process is not None and self._process.poll() not in (None, 0)

    def lines(self) -> list[str]:
        """Return what it has printed so far."""
        if self._process is None or not self._log.exists():
            return []
        return self._log.read_text(errors="replace").replace("\r", "\n").splitlines()
