"""Bad videos and photos of absurd size, through the page and through the command: one sentence each."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.app_cases import open_page, start_afresh, text
from PIL import Image

from app.cache import video
from app.state.selection import PHOTOS
from app.state.uploads import uploaded
from dino.media.images import MAX_PIXELS
from dino.media.video_reading import VideoLimits
from dino.media.video_writing import write_mp4

PAGE, COMMAND = video.LIMITS, VideoLimits()
CUT_SHORT = "ends within frame [0-9]+, so it is cut short; fetch it again"
NO_VIDEO = "cannot be read as a video .*; expected an MP4, MOV or GIF video"


def _noise(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 255, (count, 64, 128, 3), dtype=np.uint8))


def _cut_short(path: Path, limits: VideoLimits) -> str:
    write_mp4(_noise(12), path, fps=10)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return CUT_SHORT


def _without_a_frame(path: Path, limits: VideoLimits) -> str:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return "holds no video, or only the start of one; expected an MP4, MOV or GIF video"


def _empty(path: Path, limits: VideoLimits) -> str:
    path.write_bytes(b"")
    return NO_VIDEO


def _no_video(path: Path, limits: VideoLimits) -> str:
    path.write_bytes((PHOTOS / "cat.jpg").read_bytes())
    return NO_VIDEO


def _too_long(path: Path, limits: VideoLimits) -> str:
    write_mp4(np.zeros((limits.max_frames + 1, 16, 16, 3), np.uint8), path, fps=25)
    most = limits.max_frames
    return f"has about {most + 1:,} frames, and the limit is {most:,}; cut it shorter"


def _too_many_pixels(path: Path, limits: VideoLimits) -> str:
    write_mp4(np.zeros((1, 3000, 4000, 3), np.uint8), path, fps=25)
    return (
        "has frames of 4000×3000 = 12,000,000 px, and the limit is "
        f"{limits.max_pixels:,}; scale it down"
    )


def _too_many_bytes(path: Path, limits: VideoLimits) -> str:
    write_mp4(_noise(2), path, fps=10)
    with path.open("r+b") as file:
        file.truncate(limits.max_bytes + 10**6)
    return f"has {(limits.max_bytes + 10**6) / 1e6:.0f} MB, and the limit is {limits.max_bytes / 1e6:.0f}; cut it shorter"


VIDEOS: tuple[Callable[[Path, VideoLimits], str], ...] = (
    _cut_short, _without_a_frame, _empty, _no_video, _too_long, _too_many_pixels, _too_many_bytes,
)  # fmt: skip
videos = pytest.mark.parametrize("write", VIDEOS, ids=lambda write: write.__name__.strip("_"))

ABSURD = {"thin": (1, 4000), "dot": (1, 1), "flat": (20_000, 3)}


@pytest.fixture
def afresh(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)


def absurd(folder: Path, name: str) -> Path:
    """Noise of an absurd (width, height)."""
    width, height = ABSURD[name]
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / f"{name}.png")
    return folder / f"{name}.png"


@videos
def test_the_page_says_what_is_wrong_with_a_video_and_takes_another(write, afresh, tmp_path):
    says = write(tmp_path / "walk.mp4", PAGE)
    at = open_page("video", video="Your own video")
    bad = ("walk.mp4", (tmp_path / "walk.mp4").read_bytes(), "video/mp4")
    at.file_uploader(key="video_upload").set_value(bad).run()
    assert not at.exception
    (error,) = at.error
    assert re.search(f"^walk.mp4 {says}", error.value.replace("\\", ""))
    assert "\n" not in error.value
    assert "film_start" not in {button.key for button in at.button}
    write_mp4(_noise(3), tmp_path / "good.mp4", fps=10)
    good = ("good.mp4", (tmp_path / "good.mp4").read_bytes(), "video/mp4")
    at.file_uploader(key="video_upload").set_value(good).run()
    assert not at.error
    assert "good.mp4: 3 frames, 128×64 px" in text(at)
    assert "film_start" in {button.key for button in at.button}


@videos
def test_the_command_says_what_is_wrong_with_a_video(write, command, small_weights, tmp_path):
    path = tmp_path / "walk.mp4"
    says = write(path, COMMAND)
    code, _, said = command("film", path, "--attention", "--weights", small_weights, "--size", 64)
    assert code == 2
    assert re.search(f"^error: {re.escape(str(path))} {says}", said.splitlines()[-1])
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "film.mp4").exists()


@pytest.mark.parametrize("name", ABSURD)
def test_a_photo_of_absurd_size_is_matched_on_either_side(name, afresh, tmp_path):
    data = absurd(tmp_path, name).read_bytes()
    at = open_page("correspondence", photo="cat", other="macaw", size="224")
    at.file_uploader(key="upload").set_value((f"{name}.png", data, "image/png")).run()
    width, height = ABSURD[name]
    assert f"{width}×{height} px" in text(at)
    assert not at.exception
    own = at.sidebar.selectbox(key="photo").value
    assert "pairs of patches" in text(at)
    at.sidebar.selectbox(key="photo").set_value("cat").run()
    at.selectbox(key="other").set_value(own).run()
    assert not at.exception
    assert not at.error
    assert "pairs of patches" in text(at)


@pytest.mark.parametrize("name", ABSURD)
def test_a_photo_of_absurd_size_is_looked_at_on_the_pages_of_photos(name, afresh, tmp_path):
    data = absurd(tmp_path, name).read_bytes()
    for page in ("attention", "masks", "features", "compare"):
        at = open_page(page, size="224")
        at.file_uploader(key="upload").set_value((f"{name}.png", data, "image/png")).run()
        assert not at.exception, page
        assert not at.error, page


@pytest.mark.parametrize(("first", "second"), [("thin", "flat"), ("flat", "dot"), ("dot", "thin")])
def test_the_command_matches_photos_of_absurd_size(first, second, command, small_weights, tmp_path):
    code, _, said = command(
        *("match", absurd(tmp_path, first), absurd(tmp_path, second), "--weights", small_weights),
        *("--size", 64, "--out", "out"),
    )
    assert code == 0, said
    pairs = int(re.search(r"(\d+) matches$", said.strip())[1])
    assert pairs > 0
    assert len((tmp_path / "out" / "matches.csv").read_text().splitlines()) == pairs + 1
    with Image.open(tmp_path / "out" / "matches.png") as picture:
        assert min(picture.size) >= 1


@pytest.mark.parametrize("side", ["first", "second"])
def test_a_photo_of_too_many_pixels_is_said_by_page_and_command(
    side, command, afresh, small_weights, tmp_path
):
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(path)
    says = (
        f"bomb.png: got a picture of 400,000,000 px, expected at most {MAX_PIXELS:,}; scale it down"
    )
    at = open_page("correspondence", photo="cat", other="macaw", size="224")
    at.file_uploader(key="upload").set_value(("bomb.png", path.read_bytes(), "image/png")).run()
    assert not at.exception
    (error,) = at.error
    assert says in error.value.replace("\\", "")
    assert "pairs of patches" in text(at)  # of the photos before
    photos = (path, PHOTOS / "cat.jpg") if side == "first" else (PHOTOS / "cat.jpg", path)
    code, _, said = command("match", *photos, "--weights", small_weights, "--size", 64)
    assert code == 2
    assert says in said.splitlines()[-1]
    assert "Traceback" not in said


def test_a_file_that_a_restarted_server_no_longer_has_is_none():
    from streamlit.elements.widgets.file_uploader import DeletedFile

    assert uploaded({"upload": DeletedFile("an id of before")}, "upload") is None
    assert uploaded({}, "upload") is None
