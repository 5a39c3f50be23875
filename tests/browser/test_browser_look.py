"""Dragging what the canvas draws asks the server nothing; the link follows; keys, tiles and fingers choose heads."""

import json
import re

import numpy as np
import pytest
import torch
from helpers.browser_cases import COUNT_SENT, ready
from helpers.chromium import IN_CHROMIUM, Server, wait_until_done
from playwright.sync_api import expect

import dino
from app.state.selection import PHOTOS
from dino.attention.photo import attend
from dino.media.draw import colorize

pytestmark = IN_CHROMIUM

ADDRESS = "/attention?photo=cat&size=224&v=2"


def opened(tab, path: str = ADDRESS, *more: str):
    """Open the Attention page, once its canvas has drawn and nothing is being worked out."""
    page = tab(path, *more)
    ready(page, 1)
    page.wait_for_function(
        "() => [...document.querySelectorAll('*')].some(e => e.shadowRoot?.querySelector('.over')?.dataset.painted)"
    )
    wait_until_done(page)
    return page


def watch(page) -> list[str]:
    """Count what leaves the browser from now on: requests, and messages in `window.sent`."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(COUNT_SENT)
    return asked


# A busy machine takes longer from one move to the next than a hand that rests: it rests when it is told to.
HOLD = """() => { const real = window.setTimeout;
    window.setTimeout = (call, ms, ...more) => ms === 400 ? ((window.rest = call), -1) : real(call, ms, ...more) }"""


def painted(page) -> int:
    return int(page.locator(".over").get_attribute("data-painted"))


def drag(page, element, frm: float, to: float, steps: int = 20) -> None:
    """Drag the knob of a slider from one share of its length to another, and hold it."""
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + frm * box["width"], y)
    page.mouse.down()
    for step in range(1, steps + 1):
        page.mouse.move(box["x"] + (frm + (to - frm) * step / steps) * box["width"], y)
        page.wait_for_timeout(16)


def pixels(page, selector: str) -> np.ndarray:
    """Read a picture of the canvas, [H,W,4]."""
    found = page.locator(selector).first.evaluate(
        "c => [c.height, c.width, Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)]"
    )
    return np.array(found[2], np.uint8).reshape(found[0], found[1], 4)


def digest(page) -> int:
    """Sum up what is drawn, in the browser: quicker than reading it."""
    return page.locator(".field").evaluate(
        """c => { const all = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let sum = 0; for (let i = 0; i < all.length; i++) sum = (sum * 31 + all[i]) % 1000003; return sum }"""
    )


@pytest.mark.parametrize(
    ("control", "param", "says"),
    [
        ("#look-opacity", "opacity", "0.2"),
        ("#look-outline", "outline", "20"),
    ],
)
def test_dragging_a_slider_asks_nothing_and_the_link_follows_once(tab, control, param, says):
    page = opened(tab)
    slider = page.locator(control)
    page.evaluate(HOLD)
    asked, before = watch(page), painted(page)
    drag(page, slider, 0.8, 0.2)
    slider.evaluate("(e, v) => { e.value = v; e.dispatchEvent(new Event('input')) }", "20")
    page.wait_for_timeout(100)
    assert painted(page) - before >= 8  # it was drawn while it moved
    assert asked == []
    assert page.evaluate("window.sent") == 0
    page.mouse.up()
    page.evaluate("window.rest()")
    page.wait_for_url(re.compile(rf"[?&]{param}={says}\b"), timeout=20_000)
    assert page.evaluate("window.sent") == 1


def test_the_photo_s_slider_asks_nothing(tab):
    page = opened(tab, ADDRESS + "&compare=true")
    asked = watch(page)
    drag(page, page.locator("#slider"), 0.5, 0.1)
    page.mouse.up()
    assert "inset" in page.locator(".over").get_attribute("style")
    page.wait_for_timeout(800)
    assert asked == []
    assert page.evaluate("window.sent") == 0


def test_choices_are_drawn_before_the_server_hears_of_them(tab):
    page = opened(tab)
    page.evaluate(HOLD)
    page.evaluate(COUNT_SENT)
    before = digest(page)
    for control, value in (
        ("#look-colours", "viridis"),
        ("#look-scale", "full"),
        ("#look-smooth", "patches"),
        ("#look-smooth", "sharp"),
    ):
        page.locator(control).select_option(value)
        for _ in range(50):
            page.wait_for_timeout(60)
            now = digest(page)
            if now != before:
                break
        assert now != before, control
        before = now
    assert page.evaluate("window.sent") == 0
    page.evaluate("window.rest()")
    page.wait_for_url(
        re.compile("(?=.*colours=viridis)(?=.*scale=full)(?=.*smooth=sharp)"), timeout=20_000
    )


def test_the_link_and_its_answer_do_not_draw_the_canvas_anew(tab):
    page = opened(tab)
    tile = page.get_by_role("button", name=re.compile("^Head 1"))
    tile.click()
    page.wait_for_timeout(100)
    page.evaluate(
        """() => { const root = [...document.querySelectorAll('*')].find(e => e.shadowRoot?.querySelector('.field')).shadowRoot;
        window.field = root.querySelector('.field'); window.changes = 0;
        const context = window.field.getContext('2d'), put = context.putImageData;
        context.putImageData = function (...all) { window.changes += 1; return put.apply(this, all) };
        new MutationObserver((all) => window.changes += all.filter((one) => one.type === 'childList').length)
          .observe(root.querySelector('#panels'), { childList: true }); }"""
    )
    page.wait_for_url(re.compile("head=1"), timeout=20_000)
    wait_until_done(page)
    assert page.evaluate("window.field.isConnected && !window.field.hidden")
    assert page.evaluate("window.changes") == 0
    expect(tile).to_have_attribute("aria-pressed", "true")


def test_what_is_drawn_is_what_the_library_computes(tab, small_weights):
    page = opened(tab, "/attention?photo=cat&size=224&v=2&smooth=patches&colours=viridis&head=1")
    precision = re.search(r"on cpu, (\w+)", page.get_by_text("weights sha256").inner_text())[1]
    backbone = dino.load(small_weights, device="cpu", precision=precision)
    found = attend(backbone, dino.decode((PHOTOS / "cat.jpg").read_bytes()), size=224)
    head = found.heads[1].astype(np.float64)
    high = np.percentile(head, 98.5)
    drawn = pixels(page, ".field")[..., :3]
    rows, columns = head.shape
    middle = drawn[
        ((np.arange(rows) + 0.5) * drawn.shape[0] / rows).astype(int)[:, None],
        ((np.arange(columns) + 0.5) * drawn.shape[1] / columns).astype(int),
    ]
    expected = colorize((head - head.min()) / (high - head.min()), "viridis")
    assert np.abs(middle.astype(int) - expected.astype(int)).max() <= 4  # a level, by rounding
    ends = page.locator("#bar .ends span").all_inner_texts()
    low = head.min() if head.min() >= 5e-4 * high else 0  # nothing beside the end
    assert ends[0] == f"{100 * low:.3g}%"
    assert ends[2].startswith(f"{100 * high:.3g}% and more, up to {100 * head.max():.3g}%")
    assert "Head 1" in page.locator("#bar").get_attribute("aria-label")


def test_the_bar_speaks_of_similarity_while_a_patch_is_pointed_at(tab):
    page = opened(tab)
    bar = page.locator("#bar")
    assert "attention of the CLS token" in bar.inner_text()
    page.locator(".frame").hover()
    bar.get_by_text("Similarity with the patch").wait_for()
    assert bar.locator(".ends span").last.inner_text() == "1.00"
    page.mouse.move(2, 2)
    bar.get_by_text("attention of the CLS token").wait_for()


def test_keys_choose_heads(tab):
    page = opened(tab)
    board = page.locator("#board")
    page.keyboard.press("2")  # nothing has the focus
    expect(board).to_have_attribute("data-head", "2")
    page.keyboard.press("ArrowRight")
    expect(board).to_have_attribute("data-head", "mean")
    page.keyboard.press("ArrowLeft")
    expect(board).to_have_attribute("data-head", "2")
    page.keyboard.press("7")  # there is none
    expect(board).to_have_attribute("data-head", "2")
    frame = page.locator(".frame")
    frame.focus()
    frame.press("0")
    expect(board).to_have_attribute("data-head", "0")
    assert "Head 0 of the last block's attention, query the CLS token" in frame.get_attribute(
        "aria-label"
    )
    tile = page.get_by_role("button", name=re.compile("^Head 0"))
    tile.focus()
    tile.press("ArrowRight")
    expect(page.get_by_role("button", name=re.compile("^Head 1"))).to_be_focused()
    page.wait_for_url(re.compile("head=1"), timeout=20_000)


def test_a_finger_s_stroke_leads_to_the_next_head(tab):
    page = opened(tab, ADDRESS, "phone")
    frame = page.locator(".frame")
    frame.scroll_into_view_if_needed()
    swipe = """(frame, by) => {
        const box = frame.getBoundingClientRect(), x = box.left + box.width / 2, y = box.top + box.height / 2;
        const send = (type, at) => frame.dispatchEvent(new PointerEvent(type, { clientX: at, clientY: y,
          pointerId: 7, pointerType: "touch", bubbles: true, isPrimary: true }));
        frame.setPointerCapture = () => {};
        send("pointerdown", x); send("pointermove", x + by / 2); send("pointermove", x + by); send("pointerup", x + by); }"""
    board = page.locator("#board")
    expect(board).to_have_attribute("data-head", "mean")
    frame.evaluate(swipe, -90)
    expect(board).to_have_attribute("data-head", "max")
    frame.evaluate(swipe, 90)
    frame.evaluate(swipe, 90)
    expect(board).to_have_attribute("data-head", "2")
    assert "query=" not in page.url  # a stroke is no click


def test_a_mask_is_outlined_as_the_library_keeps_it(tab, small_weights):
    page = opened(tab, ADDRESS + "&outline=60&fill=true&head=0")
    backbone = dino.load(small_weights, device="cpu")
    found = attend(backbone, dino.decode((PHOTOS / "cat.jpg").read_bytes()), size=224)
    kept = dino.mass_mask(torch.from_numpy(found.heads[0]), 0.6).numpy()
    area = page.locator(".mask .area").get_attribute("d")
    drawn = np.zeros_like(kept)
    for column, row, end in re.findall(r"M(\d+) (\d+)H(\d+)v1", area):
        drawn[int(row), int(column) : int(end)] = True
    assert (drawn != kept).mean() < 0.01  # two networks of another precision may part on a patch


def test_an_old_link_keeps_its_look_until_something_is_changed(tab):
    page = opened(tab, "/attention?photo=cat&size=224&smooth=true")
    assert page.locator("#look-scale").input_value() == "full"
    assert page.locator("#look-smooth").input_value() == "bilinear"
    assert page.locator(".greys").is_hidden()
    assert "v=2" not in page.url
    page.locator("#look-colours").select_option("viridis")
    page.wait_for_url(
        re.compile("(?=.*v=2)(?=.*colours=viridis)(?=.*scale=full)(?=.*smooth=bilinear)"),
        timeout=20_000,
    )


class BelowPath(Server):
    """The app below a path, as behind a proxy that hands its path on."""

    path = "/below/here"


def test_the_canvas_is_whole_below_a_base_path(browser, small_weights, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    running = BelowPath(tmp_path, small_weights)
    page = browser.new_page()
    missing: list[str] = []
    page.on("response", lambda got: missing.append(got.url) if got.status == 404 else None)
    try:
        page.goto(f"{running.address}{BelowPath.path}{ADDRESS}")
        page.get_by_text("weights sha256").wait_for(timeout=60_000)
        ready(page, 1)
        page.wait_for_function(
            "() => [...document.querySelectorAll('*')].some(e => e.shadowRoot?.querySelector('.photo')?.naturalWidth)"
        )
        assert pixels(page, ".field")[..., :3].std() > 10
        assert [url for url in missing if "_stcore" not in url] == []
    finally:
        page.close()
        running.kill()


def test_the_page_s_maps_are_some_hundred_kilobytes(tab):
    page = opened(tab, "/attention?photo=cat&v=2")  # 480 px
    sizes = json.loads(
        page.evaluate(
            "JSON.stringify(Object.fromEntries([...dinoArrivals].map(([id, one]) => [id.slice(0, 8), one.bytes.length])))"
        )
    )
    smallest = sorted(sizes.values())[:2]
    assert sum(smallest) < 400_000, sizes
