"""What tests of every page in a browser share: the app with something on each page, and pages that are done."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotation_cases import begin
from chromium import BUNDLED, ROOT, Server
from test_app_training import make_run

import dino
from app.state import PHOTOS

PETS = {"bird": ("macaw", "kingfisher", "chickens"), "other": ("cat", "crab", "lemurs")}
# A style between two others, or of what is just drawn anew, is no style to judge.
STILL = (
    "*, *::before, *::after { transition: none !important; animation: none !important }"
    "[data-stale=true] { opacity: 1 !important }"
)


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
