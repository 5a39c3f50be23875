"""Serve the app as its users start it, and drive a browser to open it with."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_BUNDLED = ROOT / "checkpoints" / "dino_vitti16_imagenette.safetensors"
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
          "--disable-component-update", "--disable-sync"]  # fmt: skip
_START_LIMIT_S = 60


def installed_chromium() -> str | None:
    """Find Debian's Chromium: the one without windows where there is one, as the tests take it."""
    return shutil.which("chromium-headless-shell") or shutil.which("chromium")


@contextmanager
def chromium() -> Iterator[Any]:
    """Open Debian's Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = installed_chromium()
        browser = playwright.chromium.launch(executable_path=found, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def served() -> Iterator[str]:
    """Start a fresh server with the bundled weights; its address, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "streamlit", "run", "app/server.py", "--server.port", str(port),
             "--server.headless", "true"]  # fmt: skip
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as checkpoints:
        environment = os.environ | {"DINO_WEIGHTS": str(_BUNDLED), "DINO_CHECKPOINTS": checkpoints}
        process = subprocess.Popen(  # noqa: S603
            words, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait_for(address: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=1):  # noqa: S310
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the app's server did not start")
