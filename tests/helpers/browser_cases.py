"""What tests of every page in a browser share: the app with something on each page, and pages that are done."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dino
from app.state.selection import PHOTOS
from helpers.annotation_cases import begin
from helpers.chromium import BUNDLED, ROOT, Server, wait_until_done
from helpers.run_cases import make_run

PETS = {"bird": ("macaw", "kingfisher", "chickens"), "other": ("cat", "crab", "lemurs")}
# A style between two others, or of what is just drawn anew, is no style to judge.
STILL = (
    "*, *::before, *::after { transition: none !important; animation: none !important }"
    "[data-stale=true] { opacity: 1 !important }"
)


@contextmanager
def full_app(folder: Path) -> Iterator[Server]:
    """Start the app with the bundled weights and their filmstrip, a folder of photos, a session to annotate
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


READY = """() => [...document.querySelectorAll('*')].some(e =>
    e.shadowRoot?.querySelector('#board')?.dataset.ready === '%d')"""


def ready(page, panels: int):
    """Find the frames of the panels, once their features have arrived."""
    page.wait_for_function(READY % panels, timeout=60_000)
    wait_until_done(page)  # their place is final
    return page.locator(".frame")


def compared(page) -> int:
    return int(page.locator("#board").get_attribute("data-compared") or 0)


def point(page, frame, row: int, column: int, grid: tuple[int, int]) -> str:
    """Move the pointer to a patch and return what is read out of it."""
    box = frame.bounding_box()
    x, y = box["width"] * (column + 0.5) / grid[1], box["height"] * (row + 0.5) / grid[0]
    frame.hover(position={"x": x, "y": y})  # which scrolls to it
    readout = page.locator("#readout")
    readout.get_by_text(f"Row {row}, column {column}").wait_for(timeout=10_000)
    return readout.inner_text()


COUNT_SENT = """() => { window.sent = 0; const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (...all) { window.sent += 1; return send.apply(this, all) } }"""


def hover_without_requests(page, grid: tuple[int, int]) -> None:
    """Point at twenty patches of the first panel: each is compared, and nothing leaves the browser."""
    frame = page.locator(".frame").first
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.evaluate(COUNT_SENT)
    for _ in range(20):  # what the page says of itself at the start may come late on a busy machine
        page.wait_for_timeout(1000)
        if page.evaluate("window.sent") == 0:
            break
        page.evaluate("() => { window.sent = 0 }")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    before = compared(page)
    for number in range(20):
        point(page, frame, number % grid[0], (number * 7) % grid[1], grid)
    assert compared(page) - before >= 20
    assert not asked
    assert page.evaluate("window.sent") == 0
