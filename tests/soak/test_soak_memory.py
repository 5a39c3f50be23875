"""A server that is used all day holds no more than it did in the morning."""

import re
from pathlib import Path

import pytest
import torch
from helpers.chromium import CHROMIUM, FLAGS
from helpers.server_cases import running

from dino.weights.saving import save

pytestmark = [
    pytest.mark.soak,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

RERUNS, SWITCHES, NETWORKS = 1000, 50, 6
WARM_UP = 50
MORE_BYTES, TIMES = 200 << 20, 1.2
WAIT_MS = 60_000


def write_networks(folder: Path) -> list[str]:
    """Names of networks of 4 blocks, 384 wide (28 MB in memory each): more than the server keeps open."""
    from timm.models.vision_transformer import VisionTransformer

    names = [f"net-{number}" for number in range(NETWORKS)]
    for number, name in enumerate(names):
        torch.manual_seed(number)
        model = VisionTransformer(
            img_size=64, patch_size=16, embed_dim=384, depth=4, num_heads=6, num_classes=0
        )
        told = {"name": name, "description": "a network for tests", "num_heads": 6}
        save(model.state_dict(), folder / f"{name}.safetensors", dtype="fp32", metadata=told)
    return names


@pytest.fixture(scope="module")
def app(tmp_path_factory, small_weights):
    folder = tmp_path_factory.mktemp("memory")
    (folder / "checkpoints").mkdir()
    write_networks(folder / "checkpoints")
    with running(folder, small_weights) as started:
        yield started


@pytest.fixture
def page(app):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.goto(f"{app.address}/masks?size=224&heads=1")
        opened.get_by_text("weights sha256").wait_for(timeout=3 * WAIT_MS)
        yield opened
        browser.close()


def settled(page) -> None:
    page.wait_for_selector(
        '[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=WAIT_MS
    )


def told(before: int, after: int) -> str:
    return f"{before / 2**20:.0f} → {after / 2**20:.0f} MB ({after / before:.2f} ×)"


def assert_flat(before: int, after: int) -> None:
    assert after - before <= MORE_BYTES
    assert after <= TIMES * before


def test_a_thousand_re_runs_leave_memory_as_it_was(app, page, figure):
    slider = page.get_by_role("slider", name="Attention held by the mask")
    mass, step, before = 60, 1, 0
    for number in range(RERUNS + WARM_UP):
        if number == WARM_UP:
            before = app.memory_bytes()
        if not 40 <= mass + step <= 90:
            step = -step
        mass += step
        slider.focus()
        slider.press("ArrowRight" if step > 0 else "ArrowLeft")
        page.get_by_text(re.compile(rf"Head 1 at {mass}%")).first.wait_for(timeout=WAIT_MS)
    after = app.memory_bytes()
    figure(11, f"{RERUNS:,} re-runs of the Masks page in one server", told(before, after))
    assert "Traceback" not in app.said()
    assert_flat(before, after)


def test_switching_weights_leaves_memory_as_it_was(app, page, figure):
    names = [f"net-{number}" for number in range(NETWORKS)]
    loads, before = len(app.noted("load")), 0
    for number in range(SWITCHES + NETWORKS):
        if number == NETWORKS:  # each has been open once
            before = app.memory_bytes()
        name = names[number % NETWORKS]
        box = page.locator(".st-key-weights input")
        box.click()
        box.fill(name)
        box.press("Enter")
        page.wait_for_url(re.compile(rf"weights={name}(&|$)"), timeout=WAIT_MS)
        page.get_by_text(f"{name}").first.wait_for(timeout=WAIT_MS)
        settled(page)
    after = app.memory_bytes()
    opened = len(app.noted("load")) - loads
    figure(
        11,
        f"{SWITCHES} switches among {NETWORKS} weights in one server ({opened} loads)",
        told(before, after),
    )
    assert opened >= SWITCHES  # in turns, so that the one asked for is never among those kept
    assert "Traceback" not in app.said()
    assert_flat(before, after)
