"""The brush of the canvas in a real browser: scribbles, the eraser, undo, keys, a finger, a film's first mask."""

import re
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from helpers.chromium import IN_CHROMIUM, check_frame
from helpers.prompt_cases import prompted_mask

import dino
from app.components.canvas.component import Prompts
from app.state.selection import PHOTOS
from app.ui.pointing import read_marks
from dino.attention import photo
from dino.media.regions import from_label_runs

pytestmark = IN_CHROMIUM

GRID = (21, 28)  # of the cat at 224 px in patches of 8
POINTING = "/masks?photo=cat&size=224&by=by+pointing"
TOLD = re.compile(r"Object 1: (\d+) on it, (\d+) off it; (\d+)% of the photo")


def opened(page):
    """Find the frame of the canvas, once its script has run and the page is still."""
    page.locator("#brushes button").first.wait_for(timeout=60_000)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_timeout(1000)
    frame = page.locator(".frame")
    frame.scroll_into_view_if_needed()
    return frame


def stroke(page, frame, *patches: tuple[int, int], button: str = "left") -> None:
    """Press in the middle of a patch (row, column), go through the others, and lift."""
    box = frame.bounding_box()
    places = [
        (
            box["x"] + box["width"] * (c + 0.5) / GRID[1],
            box["y"] + box["height"] * (r + 0.5) / GRID[0],
        )
        for r, c in patches
    ]
    page.mouse.move(*places[0])
    page.mouse.down(button=button)
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up(button=button)


def size_of_brush(page, px: int) -> None:
    page.get_by_role("slider", name="Brush size").fill(str(px))


def asked(page) -> Prompts:
    """Read what the address says was painted."""
    text = parse_qs(urlparse(page.url).query).get("points", [""])[0]
    return read_marks(text, GRID)[0]


def wait_for_counts(page, on: int, off: int) -> int:
    """Wait until so much is said to be on and off the object; return the share of the photo in percent."""
    line = page.get_by_text(re.compile(rf"Object 1: {on} on it, {off} off it;"))
    line.wait_for(timeout=20_000)
    return int(TOLD.search(line.inner_text())[3])


@pytest.fixture
def shares(server, small_weights):
    """Measure by `shares(page)` the share of the photo, in percent, of the library's mask of what is in
    the address."""
    backbone = dino.load(small_weights)
    features = photo.features(backbone, dino.decode((PHOTOS / "cat.jpg").read_bytes()), size=224)

    def share(page) -> int:
        signs = np.array([0, 1, -1])[from_label_runs(asked(page).painted, GRID)]
        return round(100 * prompted_mask(features.patches, GRID, painted=signs).mean())

    return share


def test_strokes_change_the_mask_and_are_undone(tab, shares):
    page = tab(POINTING)
    frame = opened(page)
    page.get_by_role("button", name="+ brush").click()
    size_of_brush(page, 2)  # a patch wide
    stroke(page, frame, (10, 8), (10, 15))
    few = wait_for_counts(page, 8, 0)
    page.wait_for_function("() => location.search.includes('points')")
    assert np.argwhere(from_label_runs(asked(page).painted, GRID) == 1).tolist() == [
        [10, column] for column in range(8, 16)
    ]
    assert few == shares(page)

    page.get_by_role("button", name="− brush").click()
    stroke(page, frame, (1, 1), (1, 26))
    less = wait_for_counts(page, 8, 26)
    page.wait_for_timeout(300)
    assert less == shares(page) < few

    stroke(page, frame, (1, 14), (1, 26), button="right")  # takes away, whatever the tool
    wait_for_counts(page, 8, 13)
    page.get_by_role("button", name="Erase").click()
    stroke(page, frame, (10, 8), (10, 11))
    wait_for_counts(page, 4, 13)
    for expected in ((8, 13), (8, 26), (8, 0)):
        page.keyboard.press("Control+z")
        share = wait_for_counts(page, *expected)
    assert share == few
    page.keyboard.press("Control+Shift+z")
    assert wait_for_counts(page, 8, 26) == less
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    wait_for_counts(page, 0, 0)
    page.get_by_text("Point at an object to make a mask").wait_for()


@pytest.mark.slow
def test_a_fast_scribble_is_kept_whole_while_the_page_answers(tab):
    page = tab(POINTING)
    frame = opened(page)
    page.get_by_role("button", name="+ brush").click()
    size_of_brush(page, 2)
    for row in range(3, 18):
        stroke(page, frame, (row, 4), (row, 9))
    wait_for_counts(page, 15 * 6, 0)
    for _ in range(5):
        page.get_by_role("button", name="Undo").click()
    wait_for_counts(page, 10 * 6, 0)


@pytest.mark.slow
def test_it_paints_by_keyboard_alone(tab):
    page = tab(POINTING)
    frame = opened(page)
    frame.focus()
    frame.press("b")
    for _ in range(30):
        frame.press("[")
    frame.press("Space")
    for _ in range(5):
        frame.press("ArrowRight")
    frame.press("Space")
    frame.press("ArrowDown")
    wait_for_counts(page, 6, 0)
    frame.press("b")
    frame.press("Enter")
    wait_for_counts(page, 6, 1)
    frame.press("e")
    frame.press("Enter")
    wait_for_counts(page, 6, 0)
    frame.press("Escape")
    wait_for_counts(page, 0, 0)
    frame.press("Control+z")
    wait_for_counts(page, 6, 0)


def test_a_link_brings_the_scribble_back(tab):
    page = tab(POINTING + "&points=p21:28:300_5%2B100_3-")
    opened(page)
    wait_for_counts(page, 5, 3)
    page.get_by_role("button", name="Clear").click()
    wait_for_counts(page, 0, 0)
    page.get_by_role("button", name="Undo").click()
    wait_for_counts(page, 5, 3)


def test_a_finger_paints_and_two_fingers_do_not(tab):
    page = tab(POINTING, "phone", "dark")
    check_frame(page)
    frame = opened(page)
    page.get_by_role("button", name="+ brush").click()
    size_of_brush(page, 2)
    box = frame.bounding_box()
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [
            {"x": box["x"] + x * box["width"] / 28, "y": box["y"] + y * box["height"] / 21, "id": i}
            for i, (x, y) in enumerate(places)
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (8.5, 10.5))
    for x in range(9, 16):
        touch("touchMove", (x + 0.5, 10.5))
    touch("touchEnd")
    wait_for_counts(page, 8, 0)
    touch("touchStart", (8.5, 5.5))
    touch("touchStart", (8.5, 5.5), (15.5, 5.5))
    touch("touchMove", (4.5, 5.5), (19.5, 5.5))
    touch("touchEnd")
    page.wait_for_timeout(1000)
    wait_for_counts(page, 8, 0)
    assert "scale" in page.locator(".stage").get_attribute("style")


@pytest.mark.parametrize("size", ["desktop", pytest.param("phone", marks=pytest.mark.slow)])
def test_a_film_s_first_mask_is_drawn_an_object_a_brush(tab, size):
    page = tab(
        "/video?photo=cat&size=224&make=Follow+a+mask&first=by+drawing",
        size,
        "dark" if size == "phone" else "light",
    )
    frame = opened(page)
    page.get_by_text("Paint over an object in the first frame").wait_for()
    size_of_brush(page, 40)
    stroke(page, frame, (10, 5), (10, 12))
    page.get_by_text(re.compile(r"Object 1: \d+\.\d% of the frame")).wait_for(timeout=20_000)
    page.get_by_role("button", name="Object 2").click()
    stroke(page, frame, (4, 20), (15, 20))
    page.get_by_text(re.compile(r"Object 2: \d+\.\d% of the frame")).wait_for(timeout=20_000)
    page.get_by_role("button", name="Make the film").wait_for()
    assert page.get_by_role("button", name="Object 3").is_visible()
    check_frame(page)
