"""Looking at the app in Chromium: where it is, a server to look at, and when a page is done."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Debian's; the one without windows takes a quarter less of the processor for a page.
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser"))),
    None,
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BUNDLED = "dino_vitti16_imagenette.safetensors"
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}

IN_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("CI"), reason="chromium is not installed"
    ),
]
WATCHED = "[data-testid=stApp][data-test-script-state=notRunning]"


class Server:
    """The app on a port of its own, with all it has in `folder`; `kill` leaves it no time to do anything.

    `path` is what its pages lie below.
    """

    path = ""

    def __init__(self, folder: Path, weights: Path) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.folder, self.log = folder, folder / "log.txt"
        self.environment = os.environ | {
            "DINO_WEIGHTS": str(weights),
            "DINO_CHECKPOINTS": str(folder / "checkpoints"),
            "DINO_DATA_ROOT": str(folder / "data"),
        }
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "streamlit", "run", "app/server.py"),
                    *("--server.port", str(self.port)),
                    *("--server.baseUrlPath", self.path),
                ],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_for(self.address + self.path, self.process, self.log)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    """Wait until the app answers."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the app did not start: {log.read_text()}")


# On a busy machine the text of a page is there long before its links and its keys are.
def wait_until_done(page) -> None:
    """Wait until a page has its heading and nothing is being worked out any more."""
    page.locator("[data-testid=stMain] h1").wait_for(state="attached", timeout=90_000)
    # A run may begin just after another: still for half a second is done.
    page.wait_for_function(
        """(watched) => { const now = performance.now(), still = document.querySelector(watched)
            && !document.querySelector("[data-testid=stSkeleton], [data-stale=true]");
        if (!still) window.dinoStillSince = undefined; else window.dinoStillSince ??= now;
        return still && now - window.dinoStillSince > 500 }""",
        arg=WATCHED,
        timeout=90_000,
    )


def check_frame(page) -> None:
    """Check that nothing scrolls sideways, nothing went wrong, and every picture has a text."""
    page.wait_for_function(  # once the sidebar has slid away
        "() => { const m = document.querySelector('[data-testid=stMain]');"
        " return m.scrollWidth <= m.clientWidth }",
        timeout=15_000,
    )
    assert page.get_by_test_id("stException").count() == 0
    missing = page.evaluate(
        "() => [...document.images].filter(i => !i.alt).map(i => i.src.slice(0, 80))"
    )
    assert missing == []
