"""The real app in a real browser: `pytest -m browser` (needs Debian's chromium)."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.chromium import IN_CHROMIUM, SIZES, check_frame, wait_until_done
from PIL import Image

import dino
from dino.attention.photo import attend

pytestmark = IN_CHROMIUM


def test_the_root_address_hands_on_what_it_was_asked(tab):
    page = tab("/?photo=cat&size=320")
    page.get_by_text("→ 320×240 px").wait_for(timeout=60_000)
    page.wait_for_url(re.compile(r"/attention\?.*photo=cat"))


def test_upload_mass_slider_and_download_give_the_library_s_mask(tab, photo_file, small_weights):
    page = tab("/masks?size=224&heads=1")
    page.get_by_test_id("stSidebar").get_by_test_id(
        "stFileUploaderDropzoneInput"
    ).last.set_input_files(str(photo_file))
    page.get_by_text("160×120 px").wait_for()
    slider = page.get_by_role("slider", name="Attention held by the mask")
    slider.focus()
    for _ in range(15):
        slider.press("ArrowRight")
    caption = page.get_by_text(re.compile(r"Head 1 at 75%"))
    caption.wait_for()
    assert "mass=75" in page.url
    with page.expect_download() as started:
        page.get_by_role("button", name="Mask (PNG)").click()
    pixels = np.asarray(Image.open(io.BytesIO(Path(started.value.path()).read_bytes())))

    precision = re.search(r"on cpu, (\w+)", page.get_by_text("weights sha256").inner_text()).group(
        1
    )
    backbone = dino.load(small_weights, device="cpu", precision=precision)
    rgb = dino.decode(photo_file.read_bytes())
    attention = attend(backbone, rgb, size=224)
    import torch

    mask = dino.mass_mask(torch.from_numpy(attention.heads[1]), 0.75).numpy()
    np.testing.assert_array_equal(pixels > 0, attention.geometry.to_photo(mask))
    assert 0 < mask.mean() < 1


@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("path", ["/", "/attention?photo=cat"])
def test_every_page_opens_by_its_link_without_side_scroll(tab, path, size):
    page = tab(path, size, "dark" if size == "phone" else "light")
    check_frame(page)


def test_a_picture_can_be_pasted(tab, photo_file):
    page = tab("/attention")
    page.get_by_text("or paste a picture with").wait_for()
    shown = page.get_by_text("160×120 px")
    for _ in range(10):  # the listener is added some time after its text is drawn
        page.evaluate(
            """async (bytes) => {
                const file = new File([new Uint8Array(bytes)], "clip.png", { type: "image/png" });
                const data = new DataTransfer();
                data.items.add(file);
                const paste = new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
                document.dispatchEvent(paste);
            }""",
            list(photo_file.read_bytes()),
        )
        page.wait_for_timeout(2000)
        if shown.count():
            break
    shown.wait_for(timeout=20_000)
    page.get_by_text("clip.png").first.wait_for()


def test_choices_follow_to_the_other_pages(tab):
    page = tab("/attention?photo=cat&size=224")
    # Left before the widgets are there, Streamlit keeps the choices but not their URL.
    wait_until_done(page)
    page.get_by_role("link", name="Masks").click()
    page.get_by_text("Each head's own mask").wait_for()
    page.get_by_text("cat.jpg").first.wait_for()
    page.wait_for_url(re.compile(r"/masks\?(?=.*photo=cat)(?=.*size=224)"), timeout=15_000)


def test_a_crafted_link_makes_no_request_and_shows_no_link(tab):
    page = tab(
        "/attention?photo=![x](https://example.invalid/x.png) [free](https://example.invalid)"
    )
    page.get_by_text("which only the session that added it can see").wait_for()
    page.wait_for_timeout(500)
    assert page.locator("a[href*='example.invalid'], img[src*='example.invalid']").count() == 0


@pytest.mark.parametrize("size", ["desktop", pytest.param("phone", marks=pytest.mark.slow)])
def test_a_run_is_started_watched_stopped_resumed_opened_and_deleted(tab, size):
    theme, name = ("dark", "on-a-phone") if size == "phone" else ("light", "at-a-desk")
    page = tab("/training?part=new", size, theme, ready="Name of the run")
    page.get_by_text("24 photos in 2 classes").first.wait_for()
    check_frame(page)
    # As slow as it takes to be stopped, and as small as it gets.
    sizes = {"Epochs": 200, "Batch size": 6, "Global crops, px": 32, "Local crops, px": 16}
    for label, value in {**sizes, "Name of the run": name}.items():
        field = page.get_by_label(label, exact=True).first
        field.fill(str(value))
        field.press("Enter")
        page.wait_for_timeout(1000)
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text(re.compile(rf"{name} · step \d+ of 800")).wait_for(timeout=90_000)
    page.wait_for_url(re.compile(rf"part=runs&.*runs={name}"))
    page.locator("strong", has_text="Loss").wait_for(timeout=90_000)
    check_frame(page)
    page.get_by_role("button", name="Stop").click()
    page.get_by_text(re.compile(rf"{name} stopped at step \d+ of 800")).wait_for(timeout=60_000)
    page.get_by_role("button", name="Resume").click()
    page.get_by_text(re.compile(rf"{name} · (starting|step)")).wait_for(timeout=60_000)
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Resume").wait_for(timeout=60_000)
    page.get_by_role("button", name="Open in Attention").click()
    page.get_by_text("weights sha256").wait_for(timeout=60_000)
    page.get_by_text("patches of 16 px").wait_for()
    page.wait_for_url(re.compile(rf"/attention\?.*weights=run%3A{name}"))
    page.go_back()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name=f"Delete {name}").click()
    page.get_by_text(name).first.wait_for(state="hidden")
