"""The canvas in a real browser: hovering stays there, and finds what is planted."""

import re

from test_browser import browser, check_frame, pytestmark, server, tab  # noqa: F401

import dino
from app.state import PHOTOS
from dino import explore
from dino.correspondence import mutual_neighbours
from dino.embedding.joint import foreground_mask

READY = """() => [...document.querySelectorAll('*')].some(e =>
    e.shadowRoot?.querySelector('#board')?.dataset.ready === '%d')"""


def ready(page, panels: int):
    """The frames of the panels, once their features have arrived."""
    page.wait_for_function(READY % panels, timeout=60_000)
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


def test_hovering_asks_the_server_nothing(tab):  # noqa: F811
    page = tab("/correspondence?photo=cat&size=224&other=macaw")
    frame = ready(page, 2).first
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_timeout(500)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", sent.append))
    before = compared(page)
    for number in range(20):
        point(page, frame, number % 21, (number * 7) % 28, (21, 28))
    assert compared(page) - before >= 20
    assert not asked
    assert not sent


def test_patches_find_themselves_in_the_mirror_image(tab):  # noqa: F811
    name = "dino_vitti16_imagenette"
    backbone = dino.load(f"checkpoints/{name}.safetensors", device="cpu", precision="fp32")
    rgb = dino.decode((PHOTOS / "macaw.jpg").read_bytes())
    looks = [explore.look(backbone, image, size=480) for image in (rgb, rgb[:, ::-1].copy())]
    kept = [foreground_mask(attention, 0.6).ravel() for attention, _ in looks]
    first, second = (features.patches for _, features in looks)
    matches = mutual_neighbours(first, second, keep=12, first_kept=kept[0], second_kept=kept[1])
    rows, columns = looks[0][1].geometry.grid

    page = tab(f"/correspondence?photo=macaw&size=480&other=its+mirror+image&weights={name}")
    frame = ready(page, 2).first
    near = 0
    for number in matches.first.tolist():
        row, column = divmod(number, columns)
        told = point(page, frame, row, column, (rows, columns))
        there = re.search(r"best match row (\d+), column (\d+)", told).groups()
        to_row, to_column = map(int, there)
        near += max(abs(row - to_row), abs(columns - 1 - column - to_column)) <= 2
    assert near >= 9, f"{near} of {len(matches)}"


def test_the_canvas_works_by_keyboard_alone(tab):  # noqa: F811
    page = tab("/correspondence?photo=cat&size=224&other=macaw")
    frame = ready(page, 2).first
    frame.focus()
    frame.press("ArrowRight")
    page.locator("#readout").get_by_text("Row 10, column 15").wait_for()
    assert "best match row" in page.locator("#readout").inner_text()
    page.locator("#said").get_by_text("Row 10, column 15").wait_for(state="attached")
    frame.press("+")
    assert "scale(1.5)" in page.locator(".stage").first.get_attribute("style")
    frame.press("0")
    assert "scale" not in page.locator(".stage").first.get_attribute("style")
    frame.press("Escape")
    page.locator("#readout").get_by_text("Point at a patch").wait_for()
    assert page.locator(".heat").first.is_hidden()


def test_a_zoomed_photo_is_dragged_and_stays_in_its_frame(tab):  # noqa: F811
    page = tab("/correspondence?photo=cat&size=224&other=macaw")
    frame = ready(page, 2).first
    box = frame.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    frame.focus()
    frame.press("+")
    stage = page.locator(".stage").first
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 5000, y + 5000, steps=4)
    page.mouse.up()
    inner, outer = stage.bounding_box(), frame.bounding_box()
    assert abs(inner["x"] - outer["x"]) <= 1
    assert abs(inner["y"] - outer["y"]) <= 1
