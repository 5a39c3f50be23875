"""The Video page in a real browser: a clip is pointed at, the film plays, and files come out whole."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.chromium import IN_CHROMIUM, check_frame
from helpers.video_cases import colored, scene
from PIL import Image

from dino.media.video_reading import read_frames
from dino.media.video_writing import write_mp4

pytestmark = IN_CHROMIUM

FRAMES = 8
SIZE = "224"


@pytest.fixture(scope="module")
def walk(tmp_path_factory) -> Path:
    """Write eight frames of 64×128 px in which a red square goes right."""
    path = tmp_path_factory.mktemp("walk") / "walk.mp4"
    rng = np.random.default_rng(0)
    write_mp4((colored(scene(number), rng) for number in range(FRAMES)), path, fps=10)
    return path


def add_video(page, path: Path) -> None:
    page.get_by_test_id("stMain").get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
        str(path)
    )


def plays(page) -> bool:
    """Tell whether the film's time goes on, and pictures are decoded."""
    page.locator("video").wait_for(timeout=30_000)
    return page.evaluate(
        """async () => { const v = document.querySelector("video"); v.muted = true; await v.play();
        const from = v.currentTime;
        for (let i = 0; i < 60 && v.currentTime === from; i++)
            await new Promise(done => setTimeout(done, 100));
        return v.currentTime !== from && v.videoWidth > 0 && v.error === null }"""
    )


def test_an_attention_film_is_made_and_plays(tab, walk):
    page = tab(f"/video?video=Your+own+video&size={SIZE}", ready="Sound is left out")
    add_video(page, walk)
    page.get_by_text("128×64 px").wait_for(timeout=30_000)
    page.get_by_role("button", name="Make the film").click()
    page.get_by_text(f"{FRAMES} frames, made in").wait_for(timeout=120_000)
    assert plays(page)
    check_frame(page)
    with page.expect_download(timeout=60_000) as waiting:
        page.get_by_role("button", name="Film (GIF)").click()
    with Image.open(waiting.value.path()) as gif:
        assert gif.n_frames == FRAMES


@pytest.mark.slow
def test_a_square_is_pointed_at_and_followed(tab, walk):
    page = tab(
        f"/video?video=Your+own+video&size={SIZE}&make=Follow+a+mask&points=4:3:%2B,10:20:-",
        ready="Sound is left out",
    )
    add_video(page, walk)
    page.get_by_text("Object 1: 1 on it, 1 off it").wait_for(timeout=30_000)
    page.get_by_role("button", name="Make the film").click()
    page.get_by_text(f"{FRAMES} frames, made in").wait_for(timeout=120_000)
    assert plays(page)
    with page.expect_download(timeout=60_000) as waiting:
        page.get_by_role("button", name="Masks (ZIP)").click()
    with zipfile.ZipFile(io.BytesIO(Path(waiting.value.path()).read_bytes())) as archive:
        assert len(archive.namelist()) == FRAMES
        assert Image.open(archive.open("00000.png")).size == (128, 64)
    with page.expect_download(timeout=60_000) as waiting:
        page.get_by_role("button", name="Film (MP4)").click()
    assert sum(1 for _ in read_frames(Path(waiting.value.path()).read_bytes())) == FRAMES


def test_a_broken_video_is_said_on_a_phone_in_the_dark(tab, tmp_path):
    page = tab("/video?video=Your+own+video", "phone", "dark", ready="Sound is left out")
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    add_video(page, tmp_path / "broken.mp4")
    page.get_by_text("broken.mp4 cannot be read as a video").wait_for(timeout=30_000)
    check_frame(page)
