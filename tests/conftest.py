"""Fixtures shared by the tests: the reference material beside the project, and small networks."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.chromium import BUNDLED, CHROMIUM, FLAGS, ROOT, SIZES, Server

from dino.system.processes import let_idle_threads_sleep

let_idle_threads_sleep()  # before any test imports torch

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _threads_as_they_were():
    """Set torch's threads back: a command may change them, and with them the last bits of other tests."""
    import torch

    before = torch.get_num_threads()
    yield
    if torch.get_num_threads() != before:
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Find the folder of golden arrays, real photos and weights; skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the reference material beside the project (../shared) is absent")
    return SHARED


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """`command("eval", "knn", …)` → (exit code, stdout, stderr) of the command line, in an empty folder."""
    from dino.cli.main import run

    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dino", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            run()
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture
def cli(command, monkeypatch, tmp_path, small_weights):
    """`command` with small weights, and an empty checkpoints folder beside."""
    monkeypatch.setenv("DINO_WEIGHTS", str(small_weights))
    monkeypatch.setenv("DINO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return command


@pytest.fixture
def figure(request):
    """`figure(7, "kills at random steps", "50 of 50 resumed")`: what a check of docs/reliability.md found,
    kept where `make soak` collects it."""

    def keep(row: int, tried: str, found: str) -> None:
        if path := os.environ.get("DINO_FIGURES"):
            line = {"row": row, "tried": tried, "found": found, "test": request.node.nodeid}
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    return keep


@pytest.fixture(scope="session")
def golden(shared):
    """`golden("vit")` → the arrays of `../shared/golden/vit.npz`."""

    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(shared / "golden" / f"{name}.npz") as file:
            return {key: file[key] for key in file.files}

    return read


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory) -> Path:
    """Write a small ViT (patch 8, 3 heads, random) as a file that describes itself; quick to run."""
    import torch
    from timm.models.vision_transformer import VisionTransformer

    from dino.weights.saving import save

    torch.manual_seed(3)
    model = VisionTransformer(
        img_size=64, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=0
    )
    with torch.no_grad():  # larger queries and keys than at the start, so that heads differ
        for block in model.blocks:
            block.attn.qkv.weight.mul_(12)
        model.pos_embed.mul_(10)
    metadata = {"name": "small", "description": "a small network for tests", "num_heads": 3}
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    return save(model.state_dict(), path, dtype="fp32", metadata=metadata)


@pytest.fixture(scope="session")
def photo_file(tmp_path_factory) -> Path:
    """Write a photo-like PNG, 120×160, with a bright disc on a gradient."""
    from PIL import Image

    y, x = np.mgrid[0:120, 0:160]
    rgb = np.stack([x, y, 255 - x], -1).astype(np.uint8)
    rgb[(y - 60) ** 2 + (x - 100) ** 2 < 30**2] = (250, 220, 40)
    path = tmp_path_factory.mktemp("photos") / "disc.png"
    Image.fromarray(rgb).save(path)
    return path


@pytest.fixture(scope="session")
def server(small_weights, photo_file, tmp_path_factory):
    """Start the app as the README does, with small weights, the bundled ones beside them, and photos to
    train on."""
    from dino.training.runs import jobs
    from dino.training.runs.listing import list_runs

    folder = tmp_path_factory.mktemp("server")
    for label in ("cat", "dog"):
        photos = folder / "data" / "pets" / label
        photos.mkdir(parents=True)
        for number in range(12):
            shutil.copy(photo_file, photos / f"{number}.png")
    (folder / "checkpoints").mkdir()
    shutil.copy(ROOT / "checkpoints" / BUNDLED, folder / "checkpoints" / BUNDLED)
    running = Server(folder, small_weights)
    try:
        yield running
    finally:
        running.stop()
        for run in list_runs(folder / "checkpoints" / "runs"):  # what a failed test left
            if run.active:
                jobs.stop(run.folder)
    assert "Traceback" not in running.log.read_text()


# Not of the session: while Playwright runs, nothing else in its process can run asyncio.
@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


# Pages share a profile: loading Streamlit's scripts anew for each takes longer than most tests.
@pytest.fixture(scope="module")
def profile(browser):
    context = browser.new_context(accept_downloads=True)
    yield context
    context.close()


@pytest.fixture
def tab(profile, server):
    """`tab("/masks", "desktop")` opens a page; every request that leaves the machine is a failure."""
    pages, outside = [], []

    def is_outside(url: str) -> bool:
        return not url.startswith(
            (server.address, server.address.replace("http", "ws"), "data:", "blob:")
        )

    def open_tab(
        path: str, size: str = "desktop", theme: str = "light", ready: str = "weights sha256"
    ):
        width, height = SIZES[size]
        page = profile.new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme)
        page.on("request", lambda r: outside.append(r.url) if is_outside(r.url) else None)
        page.goto(server.address + path)
        page.get_by_text(ready).wait_for(timeout=60_000)
        return page

    yield open_tab
    for page in pages:
        page.close()
    assert outside == []
