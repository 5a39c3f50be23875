"""Fetch weights in a process of its own, so that no page waits and no tab owns it.

    python -m app.state.weights_fetch hf-hub:facebook/dinov2-small

What a visitor typed is never followed to this machine's own or to private addresses.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from dino.errors import UserError
from dino.system.folders import PROJECT_FOLDER, checkpoints_folder

DEFAULT = "default"


class WeightsFetch:
    """One fetch at a time, of the default weights or of what a text names, and what it says."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen | None = None
        self._starting = threading.Lock()
        self.source, self.was_cancelled = "", False

    def start(self, source: str = DEFAULT) -> None:
        """Start, unless one is running, whoever asks at the same time."""
        with self._starting:
            if self.running:
                return
            self._log.parent.mkdir(parents=True, exist_ok=True)
            command = ["dino", "weights", "fetch", DEFAULT]
            if source != DEFAULT:
                command = ["app.state.weights_fetch", source]
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(  # noqa: S603 (what a text names is an argument, not a command)
                    [sys.executable, "-m", *command],
                    cwd=PROJECT_FOLDER,
                    # The hub's client draws its progress on terminals only, unless it has a position.
                    env={**os.environ, "PYTHONUNBUFFERED": "1", "TQDM_POSITION": "-1"},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self.source, self.was_cancelled = source, False
            # It is waited for even if nobody looks again, so that no zombie is left.
            threading.Thread(target=self._process.wait, daemon=True).start()

    def cancel(self) -> None:
        """Stop what is running; what has come so far is kept, for the next try to go on from."""
        if self._process is not None and self.running:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self.source, self.was_cancelled = "", True

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


def fetch_source(text: str) -> None:
    """Fetch what a text names, and say how far it is.

    Raises:
        UserError: nothing that can be fetched, or it could not be.
    """
    from dino.weights.fetching import fetch, fetch_url
    from dino.weights.hub import Repository, fetch_repository
    from dino.weights.pretrained import pretrained_repository
    from dino.weights.sources import resolve

    named, progress = resolve(text), _Progress()
    if named.kind == "url":
        fetch_url(named.name, allow_private=False, progress=progress, say=print)
    elif named.kind == "hub":
        fetch_repository(Repository(named.name, named.revision, named.filename), say=print)
    elif named.kind == "timm" and (repository := pretrained_repository(named.name)) is not None:
        fetch_repository(repository, say=print, is_described=True)
    else:
        fetch(named.name, checkpoints_folder(), progress=progress, say=print)


class _Progress:
    """Prints a line at every twentieth of a download."""

    def __init__(self) -> None:
        self._printed = -1

    def __call__(self, done: int, total: int | None) -> None:
        step = done * 20 // total if total else done // (20 * 10**6)
        if step != self._printed:
            self._printed = step
            of = f" of {total / 1e6:,.0f}" if total else ""
            print(f"{done / 1e6:,.0f}{of} MB", flush=True)


if __name__ == "__main__":
    try:
        fetch_source(sys.argv[1])
    except UserError as error:
        sys.exit(str(error))
