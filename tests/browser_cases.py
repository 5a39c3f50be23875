"""What tests of every page in a browser share: the app with something on each page, and pages that are done."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotation_cases import begin
from test_app_training import make_run
from test_browser import BUNDLED, ROOT
from test_browser_annotate import Server

import dino
from app.state import PHOTOS

PETS = {"bird": ("macaw", "kingfisher", "chickens"), "other": ("cat", "crab", "lemurs")}
# A style between two others, or of what is just drawn anew, is no style to judge.
STILL = (
    "*, *::before, *::after { transition: none !important; animation: none !important }"
    "[data-stale=true] { opacity: 1 !important }"
)
WATCHED = "[data-testid=stApp][data-test-script-state=notRunning]"


@contextmanager
def full_app(folder: Path) -> Iterator[Server]:
    """The app with the bundled weights and their filmstrip, a folder of photos, a session to annotate
    and a run that is done."""
    for label, names in PETS.items():
        (folder / "data" / "pets" / label).mkdir(parents=True)
        for name in names:
            shutil.copy(PHOTOS / f"{name}.jpg", folder / "data" / "pets" / label)
    checkpoints, bundled = folder / "checkpoints", ROOT / "checkpoints"
    checkpoints.mkdir()
    for path in bundled.glob("*_imagenette*"):
        shutil.copy(path, checkpoints)
    shutil.copytree(bundled / "filmstrip", checkpoints / "filmstrip")
    weights = checkpoints / BUNDLED
    digest = dino.load(weights).weights_sha256
    photos = folder / "data" / "pets"
    begin(checkpoints / "annotations" / "pets", photos, weights=str(weights), weights_sha256=digest)
    make_run(checkpoints / "runs", "pets-run")
    running = Server(folder, weights)
    try:
        yield running
    finally:
        running.kill()
    assert "Traceback" not in running.log.read_text()


def settle(page, timeout_s: float = 90) -> None:
    """Wait until a page has its heading and nothing is being worked out any more."""
    page.locator("[data-testid=stMain] h1").wait_for(timeout=1000 * timeout_s)
    # A run may begin just after another: still for half a second is done.
    page.wait_for_function(
        """(watched) => { const now = performance.now(), still = document.querySelector(watched)
            && !document.querySelector("[data-testid=stSkeleton], [data-stale=true]");
        if (!still) window.dinoStillSince = undefined; else window.dinoStillSince ??= now;
        return still && now - window.dinoStillSince > 500 }""",
        arg=WATCHED,
        timeout=1000 * timeout_s,
    )
