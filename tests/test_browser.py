"""The real app in a real browser: `pytest -m browser` (needs Debian's chromium)."""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dino
from dino.explore import attend
from dino.training import jobs
from dino.training.listing import list_runs

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BUNDLED = "dino_vitti16_imagenette.safetensors"
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("CI"), reason="chromium is not installed"
    ),
]


@pytest.fixture(scope="module")
def server(small_weights, tmp_path_factory, photo_file):
    """Address of the app, started as the README does, with small weights, the bundled ones beside
    them, and photos to train on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    for label in ("cat", "dog"):
        folder = log.parent / "data" / "pets" / label
        folder.mkdir(parents=True)
        for number in range(12):
            shutil.copy(photo_file, folder / f"{number}.png")
    (log.parent / "checkpoints").mkdir()
    shutil.copy(ROOT / "checkpoints" / BUNDLED, log.parent / "checkpoints" / BUNDLED)
    environment = os.environ | {
        "DINO_WEIGHTS": str(small_weights),
        "DINO_CHECKPOINTS": str(log.parent / "checkpoints"),
        "DINO_DATA_ROOT": str(log.parent / "data"),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app/server.py", "--server.port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, process, log)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)
        for run in list_runs(log.parent / "checkpoints" / "runs"):  # what a failed test left
            if run.active:
                jobs.stop(run.folder)
    assert "Traceback" not in log.read_text()


def wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the app did not start: {log.read_text()}")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser, server):
    """`tab("/masks", "desktop")` opens a page; every request that leaves the machine is a failure."""
    contexts, outside = [], []

    def is_outside(url: str) -> bool:
        return not url.startswith((server, server.replace("http", "ws"), "data:", "blob:"))

    def open_tab(
        path: str, size: str = "desktop", theme: str = "light", ready: str = "weights sha256"
    ):
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda r: outside.append(r.url) if is_outside(r.url) else None)
        page.goto(server + path)
        page.get_by_text(ready).wait_for(timeout=60_000)
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert outside == []


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

    mask = dino.mass_mask(torch.from_numpy(attention.weights[1]), 0.75).numpy()
    np.testing.assert_array_equal(pixels > 0, attention.geometry.to_photo(mask))
    assert 0 < mask.mean() < 1


@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("path", ["/", "/attention?photo=cat"])
def test_every_page_opens_by_its_link_without_side_scroll(tab, path, size):
    page = tab(path, size, "dark" if size == "phone" else "light")
    check_frame(page)


def check_frame(page) -> None:
    """Nothing scrolls sideways, nothing went wrong, every picture has a text."""
    page.wait_for_function(  # once the sidebar has slid away
        "() => { const m = document.querySelector('[data-testid=stMain]');"
        " return m.scrollWidth <= m.clientWidth }",
        timeout=15_000,
    )
    assert page.get_by_test_id("stException").count() == 0
    missing = page.evaluate(
        "() => [...document.images].filter(i => !i.alt).map(i => i.src.slice(0, 80))"
    )
    assert missing == []


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
    # Left within half a second of the first run, Streamlit keeps the choices but not their URL.
    page.wait_for_timeout(3000)
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
    page.wait_for_url(re.compile(rf"part=runs&runs={name}"))
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
