"""The Learn page in a real browser: keys, links, a prediction, and the way to Attention."""

import re

from helpers.chromium import IN_CHROMIUM, wait_until_done
from playwright.sync_api import expect

pytestmark = IN_CHROMIUM

LEARN = "/learn?photo=cat&size=224"


def heading(page, text: str) -> None:
    expect(page.get_by_role("heading", name=text)).to_be_visible(timeout=30_000)


def ready_for_keys(page, step: int) -> None:
    """Wait until the component that listens to keys is there for this step, which is after the step is
    drawn."""
    page.wait_for_selector(f"[data-page='{step - 1}']", state="attached")
    wait_until_done(page)


def test_arrow_keys_and_a_clicker_turn_the_steps(tab):
    page = tab(LEARN + "&step=5")
    heading(page, "5. Multi-crop")
    ready_for_keys(page, 5)
    page.keyboard.press("ArrowRight")
    heading(page, "6. Student and teacher")
    page.wait_for_url(re.compile("step=6"))
    ready_for_keys(page, 6)
    page.keyboard.press("PageDown")
    heading(page, "7. Centring and sharpening")
    ready_for_keys(page, 7)
    page.keyboard.press("ArrowLeft")
    heading(page, "6. Student and teacher")
    # In an answer the arrows choose, and turn nothing.
    page.get_by_text("25", exact=True).click()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Check").click()
    page.get_by_text("Right: 250.").wait_for()
    assert "step=6" in page.url


def test_a_clicker_works_right_after_the_projector_is_switched_on(tab):
    page = tab(LEARN + "&step=5")
    heading(page, "5. Multi-crop")
    wait_until_done(page)
    page.get_by_text("Projector", exact=True).click()
    page.wait_for_url(re.compile("projector=true"))
    ready_for_keys(page, 5)
    page.keyboard.press("PageDown")
    heading(page, "6. Student and teacher")


def test_a_button_that_is_off_can_be_read(tab):
    page = tab(LEARN + "&step=3", theme="dark")
    check = page.get_by_role("button", name="Check")
    check.wait_for()
    assert check.is_disabled()
    ground = page.get_by_test_id("stApp").evaluate("e => getComputedStyle(e).backgroundColor")
    assert ground == "rgb(16, 25, 27)"
    assert check.evaluate("e => getComputedStyle(e).color") != ground


def test_a_step_begins_at_its_top(tab):
    page = tab(LEARN + "&step=1", "phone")
    heading(page, "1. Pixels, patches, tokens")
    wait_until_done(page)
    page.get_by_role("button", name="Next", exact=True).click()
    heading(page, "2. Query, key, softmax")
    page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollTop === 0")


def test_the_menu_of_a_phone_closes_once_a_page_is_chosen(tab):
    page = tab("/attention?photo=cat&size=224", "phone")
    wait_until_done(page)
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("link", name="Masks").click()
    page.wait_for_url(re.compile("/masks"))
    expect(page.get_by_role("heading", name="Masks")).to_be_visible(timeout=30_000)
    expect(page.get_by_test_id("stSidebar")).to_have_attribute(
        "data-collapsed", "true", timeout=30_000
    )


def test_a_patch_is_pointed_at_and_is_in_the_link(tab):
    page = tab(LEARN + "&step=1")
    heading(page, "1. Pixels, patches, tokens")
    frame = page.locator(".frame")
    frame.wait_for()
    wait_until_done(page)
    page.wait_for_timeout(1000)
    box = frame.bounding_box()
    frame.click(position={"x": box["width"] * 20.5 / 28, "y": box["height"] * 5.5 / 21})
    page.get_by_text("Patch 5:20 (row:column)").wait_for(timeout=20_000)
    page.wait_for_url(re.compile("patch=5(:|%3A)20"))


def test_the_training_runs_and_a_switch_collapses_it(tab):
    page = tab(LEARN + "&step=7&answers=true&training_seed=1")
    page.get_by_text("One-dimensional collapse").first.wait_for(timeout=60_000)
    wait_until_done(page)
    page.get_by_text("Centring", exact=True).click()
    page.get_by_text("No collapse").wait_for(timeout=60_000)
    assert "centring=true" in page.url
    assert "training_seed=1" in page.url


def test_attention_opens_with_the_same_photo_size_and_panel(tab):
    page = tab(LEARN + "&step=10")
    heading(page, "10. Limits and failures")
    wait_until_done(page)
    page.get_by_role("button", name="Open this in Attention").click()
    page.wait_for_url(re.compile("/attention"), timeout=30_000)
    page.get_by_text("L2 norm of each token").wait_for(timeout=30_000)
    assert "photo=cat" in page.url
    assert "size=224" in page.url
