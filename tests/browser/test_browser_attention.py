"""Picking patches and maps in a real browser: `pytest -m browser` (needs Debian's chromium)."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.chromium import IN_CHROMIUM, check_frame, wait_until_done
from playwright.sync_api import expect

import dino
from dino.attention import layers
from dino.model.queries import parse_query

pytestmark = IN_CHROMIUM


def asked(page) -> str:
    """Read the query in the address, "cls" where there is none."""
    found = re.search(r"[?&]query=([^&]+)", page.url)
    return found[1].replace("%3A", ":") if found else "cls"


def picker(page):
    """Find the picture that patches are picked from, once its script has run."""
    frame = page.locator(".frame")
    page.wait_for_function(
        "() => [...document.querySelectorAll('*')].some(e =>"
        " e.shadowRoot?.querySelector('.frame')?.ariaLabel)",
        timeout=30_000,
    )
    wait_until_done(page)  # its place is final
    return frame


def test_a_patch_is_picked_by_click_and_moved_by_arrow_keys(tab, small_weights):
    page = tab("/attention?photo=cat&size=224")
    frame = picker(page)
    rows, columns = 21, 28  # 168×224 px in patches of 8
    assert f"{rows} rows and {columns} columns" in frame.get_attribute("aria-label")
    box = frame.bounding_box()
    # The middle of the patch at row 5, column 20.
    frame.click(position={"x": box["width"] * 20.5 / columns, "y": box["height"] * 5.5 / rows})
    page.wait_for_url(re.compile("query=5(:|%3A)20"), timeout=20_000)
    page.get_by_text("where patch 5:20 looks in block 1").wait_for()

    for _ in range(3):
        frame.press("ArrowRight")
    frame.press("ArrowDown")
    page.wait_for_url(re.compile("query=6(:|%3A)23"), timeout=20_000)
    page.get_by_text("where patch 6:23 looks in block 1").wait_for()
    for _ in range(10):
        frame.press("ArrowUp")
    page.wait_for_url(re.compile("query=0(:|%3A)23"), timeout=20_000)  # stays inside
    page.get_by_text("where patch 0:23 looks in block 1").wait_for()
    # A file that the end of a run replaces cannot be fetched any more.
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_timeout(500)

    with page.expect_download() as started:
        page.get_by_role("button", name="Numbers (NPZ)").click()
    precision = re.search(r"on cpu, (\w+)", page.get_by_text("weights sha256").inner_text())[1]
    backbone = dino.load(small_weights, device="cpu", precision=precision)
    rgb = dino.decode((Path("app/photos") / "cat.jpg").read_bytes())
    kept = layers.trace(backbone, rgb, size=224)
    expected = layers.look(backbone, kept, layers=(1,), queries=(parse_query("0:23"),))
    with np.load(io.BytesIO(Path(started.value.path()).read_bytes())) as arrays:
        assert arrays["queries"].tolist() == ["0:23"]
        np.testing.assert_allclose(arrays["weights"], expected.weights, atol=1e-6)

    frame.press("Escape")
    page.wait_for_function("() => !location.search.includes('query')", timeout=20_000)
    page.get_by_text("where the network looks altogether").wait_for()


def test_held_arrow_keys_ask_once(tab):
    page = tab("/attention?photo=cat&size=224&query=0:0")
    frame = picker(page)
    seen: list[str] = []
    page.on("framenavigated", lambda _: seen.append(asked(page)))
    frame.focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("query=0(:|%3A)12"), timeout=20_000)
    page.get_by_text("where patch 0:12 looks in block 1").wait_for()
    assert "0:12" in seen
    assert len({query for query in seen if query != "0:0"}) <= 3  # a slow machine may pause once


def test_a_map_of_the_grid_leads_to_its_layer_and_head(tab):
    page = tab("/attention?photo=cat&size=224&panel=layers")
    small = page.get_by_role("button", name="block 0, head 2")
    small.click()
    page.wait_for_url(re.compile(r"(?=.*layer=0)(?=.*head=2)"), timeout=20_000)
    page.get_by_text("Where the CLS token looks in this head of block 0.").wait_for()
    expect(small).to_have_attribute("aria-pressed", "true", timeout=20_000)
    small.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_function("() => !location.search.includes('layer=')", timeout=20_000)
    page.wait_for_url(re.compile("head=1"), timeout=20_000)


@pytest.mark.parametrize("panel", ["heads", "layers"])
def test_panels_fit_a_phone_in_the_dark(tab, panel):
    page = tab(f"/attention?photo=cat&size=224&panel={panel}&compare=true&layer=0", "phone", "dark")
    frame = picker(page)
    check_frame(page)
    slider = page.get_by_role("slider", name="How much of the photo")
    before = page.locator(".map").evaluate("e => e.style.clipPath")
    slider.focus()
    slider.press("ArrowRight")
    assert page.locator(".map").evaluate("e => e.style.clipPath") != before
    frame.click(position={"x": 20, "y": 20})
    page.wait_for_url(re.compile("query="), timeout=20_000)
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("() => !location.search.includes('query')", timeout=20_000)
