"""The Annotate page in a real browser: brush, undo, keys, reload, and a server that is killed."""

import shutil

import numpy as np
import pytest
from helpers.annotation_cases import SIZE, begin, write_photos
from helpers.chromium import IN_CHROMIUM, SIZES, Server, check_frame

import dino
from dino.annotation.session import PhotoState
from dino.media import regions

pytestmark = IN_CHROMIUM


@pytest.fixture(scope="module")
def server(small_weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("annotate")
    write_photos(folder / "data" / "pets", 3)
    running = Server(folder, small_weights)
    yield running
    running.kill()
    assert "Traceback" not in running.log.read_text()


@pytest.fixture
def session(server, small_weights):
    folder = server.folder / "checkpoints" / "annotations" / "pets"
    shutil.rmtree(folder, ignore_errors=True)
    digest = dino.load(small_weights).weights_sha256
    photos = server.folder / "data" / "pets"
    return begin(folder, photos, weights=str(small_weights), weights_sha256=digest)


@pytest.fixture
def tab(browser, server):
    contexts = []

    def open_tab(path: str, size: str = "desktop", theme: str = "light"):
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            has_touch=size == "phone",
        )
        contexts.append(context)
        page = context.new_page()
        page.goto(server.address + path)
        page.locator("#where").get_by_text("of 3").wait_for(timeout=90_000)
        page.get_by_text("Next to do").wait_for()  # below the editor: it moves no more
        page.wait_for_timeout(500)
        return page

    yield open_tab
    for context in contexts:
        context.close()


def mask_of(state: PhotoState, number: int = 0) -> np.ndarray:
    return regions.decode(state.objects[number].counts, SIZE)


def wait_until(page, holds, timeout_s: float = 20) -> None:
    for _ in range(int(timeout_s * 10)):
        if holds():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not come about")


def paint(page, start: tuple[int, int], end: tuple[int, int]) -> None:
    """Paint a stroke between two points (x, y) in px of the photo."""
    box = page.locator("#canvas").bounding_box()
    scale = box["width"] / SIZE[1]
    (x0, y0), (x1, y1) = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in (start, end)]
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move(x1, y1, steps=6)
    page.mouse.up()


def test_painted_undone_accepted_by_keyboard_and_there_after_a_reload(tab, session):
    page = tab("/annotate?session=pets")
    proposed = mask_of(session.load(0)[0])
    paint(page, (20, 60), (140, 60))
    wait_until(page, lambda: session.load(0)[0].objects[0].made == "edited")
    painted = mask_of(session.load(0)[0])
    assert painted[60, 20:140].all()
    assert not (proposed & ~painted).any()
    np.testing.assert_array_equal(painted[80:], proposed[80:])
    page.keyboard.press("e")
    paint(page, (40, 60), (100, 60))
    wait_until(page, lambda: not mask_of(session.load(0)[0])[60, 40:100].any())
    assert mask_of(session.load(0)[0])[60, 110:140].all()
    page.keyboard.press("Control+z")
    wait_until(page, lambda: np.array_equal(mask_of(session.load(0)[0]), painted))
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("b")
    page.keyboard.press("]")
    paint(page, (20, 10), (60, 10))
    page.keyboard.press("a")  # before the pause that saves
    page.locator("#where").get_by_text("2 of 3").wait_for()
    state, _ = session.load(0)
    assert state.status == "accepted"
    assert mask_of(state)[10, 20:60].all()
    np.testing.assert_array_equal(mask_of(state)[30:], painted[30:])
    page.keyboard.press("r")
    page.locator("#where").get_by_text("3 of 3").wait_for()
    assert session.load(1)[0].status == "rejected"
    page.keyboard.press("p")
    page.locator("#where").get_by_text("2 of 3").wait_for()
    page.reload()
    page.locator("#where").get_by_text("2 of 3 · photo-0001.png · rejected").wait_for(
        timeout=60_000
    )
    page.get_by_text("1 to do · 1 accepted · 1 rejected, of 3 photos").wait_for()


@pytest.mark.slow
def test_a_killed_server_s_successor_finds_the_session_as_it_was(tab, session, server):
    page = tab("/annotate?session=pets")
    page.keyboard.press("a")
    page.locator("#where").get_by_text("2 of 3").wait_for()
    page.keyboard.press("o")
    paint(page, (20, 100), (100, 100))
    wait_until(page, lambda: len(session.load(1)[0].objects) == 2)
    before = [session.load(index) for index in range(3)]
    server.kill()
    assert [session.load(index) for index in range(3)] == before
    server.start()
    again = tab("/annotate?session=pets&at=2")
    again.locator("#where").get_by_text("2 of 3 · photo-0001.png · to do").wait_for()
    again.get_by_text("2 to do · 1 accepted · 0 rejected, of 3 photos").wait_for()
    assert again.locator("#objects button").count() == 2
    assert [session.load(index) for index in range(2)] == before[:2]


def test_a_mask_is_painted_and_accepted_without_a_mouse(tab, session):
    page = tab("/annotate?session=pets")
    before = mask_of(session.load(0)[0])
    page.keyboard.press("o")
    canvas = page.locator("#canvas")
    canvas.focus()
    canvas.press("Space")
    for _ in range(6):
        canvas.press("Shift+ArrowRight")
    canvas.press("Space")
    page.locator("#accept").focus()
    page.keyboard.press("Enter")
    page.locator("#where").get_by_text("2 of 3").wait_for()
    state, _ = session.load(0)
    assert state.status == "accepted"
    np.testing.assert_array_equal(mask_of(state), before)
    drawn = mask_of(state, 1)
    rows, columns = np.nonzero(drawn)
    assert drawn[60, 80]
    assert np.ptp(columns) > np.ptp(rows) > 0


def test_a_class_is_chosen_and_an_object_removed(tab, session):
    page = tab("/annotate?session=pets")
    page.locator("#kind").select_option("dog")
    wait_until(page, lambda: session.load(0)[0].objects[0].class_index == 1)
    page.locator("#remove").click()
    wait_until(page, lambda: session.load(0)[0].objects == ())
    page.keyboard.press("Control+z")
    wait_until(page, lambda: len(session.load(0)[0].objects) == 1)


@pytest.mark.parametrize("size", list(SIZES))
def test_the_page_fits_and_every_picture_has_a_text(tab, session, size):
    page = tab("/annotate?session=pets", size, "dark" if size == "phone" else "light")
    check_frame(page)
    page.locator("#accept").scroll_into_view_if_needed()
    assert page.locator("#canvas").get_attribute("aria-label").startswith("Photo photo-0000.png")


def test_a_finger_paints(tab, session):
    page = tab("/annotate?session=pets", "phone")
    box = page.locator("#canvas").bounding_box()
    page.keyboard.press("o")
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wait_until(page, lambda: len(session.load(0)[0].objects) == 2)
    wait_until(page, lambda: mask_of(session.load(0)[0], 1).any())
    drawn = mask_of(session.load(0)[0], 1)
    assert drawn[60, 80]
    assert not drawn[0].any()
