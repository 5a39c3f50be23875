"""The Video page: which video, what is made of it, and films by a process, driven without a browser."""

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.app_cases import open_page, start_afresh, text
from helpers.video_cases import SHAPE, colored, scene
from PIL import Image

import dino
from app.cache import video as cached_video
from app.cache.video import LIMITS, clip_of_photo, keep_upload, mask_file, uploaded_mask
from app.state.selection import bundled_photos
from app.views.video.mask import number_masks
from dino.errors import UserError, VideoError
from dino.media.label_maps import indexed_png
from dino.media.video_reading import read_frames
from dino.media.video_writing import write_gif, write_mp4
from dino.video.film import jobs
from dino.video.film.making import FILM, read_result

FOLLOW = "Follow a mask"


@pytest.fixture(autouse=True)
def weights(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)


@pytest.fixture
def clip_bytes(tmp_path) -> bytes:
    """Write seven frames of 64×128 px."""
    path = tmp_path / "walk.mp4"
    rng = np.random.default_rng(0)
    write_mp4((colored(scene(number), rng) for number in range(7)), path, fps=10)
    return path.read_bytes()


def films(tmp_path) -> Path:
    return tmp_path / "checkpoints" / "cache" / "video" / "films"


def wait_for_film(tmp_path) -> Path:
    deadline = time.monotonic() + 120
    (out,) = films(tmp_path).glob("*/")
    while jobs.read_job(out).status != "finished":
        assert time.monotonic() < deadline, jobs.read_job(out)
        time.sleep(0.2)
    return out


def test_a_film_is_made_shown_and_found_again(tmp_path):
    at = open_page("video", photo="cat", size="224", film_head="head 1", film_opacity="0.4")
    said = text(at)
    assert "48 frames, 480×360 px, 12 a second" in said
    assert "nothing moves in it but the camera" in said
    assert "made in" not in said
    at.button(key="film_start").click().run()
    assert not at.exception
    out = wait_for_film(tmp_path)
    at.run()
    assert "48 frames, made in" in text(at)
    assert "one scale" in text(at).lower()
    made = json.loads((out / "result.json").read_text())
    assert (made["head"], made["opacity"], made["size"]) == ("1", 0.4, 224)
    assert sum(1 for _ in read_frames(str(out / FILM))) == 48

    again = open_page("video", photo="cat", size="224", film_head="head 1", film_opacity="0.4")
    assert "48 frames, made in" in text(again)
    assert "film_start" not in {button.key for button in again.button}
    other = open_page("video", photo="cat", size="224", film_head="head 2", film_opacity="0.4")
    assert "made in" not in text(other)


def test_the_command_is_the_one_that_runs(tmp_path):
    at = open_page("video", photo="cat", size="224", film_head="each head, side by side")
    (command,) = (code.value for code in at.code)
    clip = clip_of_photo(bundled_photos()["cat"])
    assert command.startswith(f"python -m dino film {clip.path} --weights ")
    assert "--attention --head each --opacity 0.6 --size 224" in command


def test_photos_of_ones_own_are_not_written_to_disk(tmp_path):
    at = open_page("video", size="224")
    own = io.BytesIO()
    Image.fromarray(scene(0) * 80).save(own, "PNG")
    at.file_uploader(key="upload").set_value(("mine.png", own.getvalue(), "image/png")).run()
    assert not at.exception
    assert "macaw.jpg, since photos of your own stay in this session" in text(at)
    (clip,) = (cached_video.video_folder() / "clips").glob("*.mp4")
    assert clip == clip_of_photo(bundled_photos()["macaw"]).path


def test_a_pointed_at_mask_is_followed(tmp_path):
    params = {"photo": "cat", "size": "224", "make": FOLLOW}
    at = open_page("video", **params)
    assert "Point at an object in the first frame" in text(at)
    at = open_page("video", **params, points="8:10:+")
    assert "Object 1: 1 on it" in text(at)
    at.button(key="film_start").click().run()
    assert not at.exception
    out = wait_for_film(tmp_path)
    at.run()
    assert "48 frames, made in" in text(at)
    assert len(list((out / "masks").glob("*.png"))) == 48
    (mask,) = (out.parents[1] / "masks").glob("*.png")
    assert mask.read_bytes() == (out / "masks" / "00000.png").read_bytes()
    (command,) = (code.value for code in at.code)
    assert f"--mask {mask.name} " in command


def test_a_mask_from_attention_holds_the_share(small_weights):
    at = open_page("video", photo="cat", size="224", make=FOLLOW, first="from attention")
    assert not at.exception
    assert "film_start" in {button.key for button in at.button}
    frame = cached_video.first_frame(clip_of_photo(bundled_photos()["cat"]))
    from app.state.selection import Choice

    choice, backbone = Choice(frame, "small", 224), dino.load(small_weights)
    less, more = (cached_video.attention_labels(choice, backbone, mass) for mass in (0.3, 0.9))
    assert less.shape == (360, 480)
    assert 0 < less.mean() < more.mean()
    assert not (less > more).any()


def test_uploads_are_checked_kept_and_make_room(clip_bytes, tmp_path, monkeypatch):
    clip = keep_upload("walk.mp4", clip_bytes)
    assert (clip.info.num_frames, clip.info.height, clip.info.width) == (7, *SHAPE)
    assert clip.path.read_bytes() == clip_bytes
    frame = np.array(Image.open(io.BytesIO(cached_video.first_frame(clip).data)))
    np.testing.assert_array_equal(frame, next(read_frames(clip_bytes)))
    monkeypatch.setattr(cached_video, "_MAX_UPLOADS", 1)
    write_gif(list(read_frames(clip_bytes)), tmp_path / "walk.gif", fps=10)
    time.sleep(0.02)
    other = keep_upload("walk.gif", (tmp_path / "walk.gif").read_bytes())
    assert not clip.path.exists()
    assert other.path.exists()


def test_videos_that_are_not_taken_are_said_in_one_sentence(clip_bytes, tmp_path):
    with pytest.raises(VideoError, match=r"^walk\.mp4 cannot be read as a video"):
        keep_upload("walk.mp4", clip_bytes[:500])
    still = np.zeros((LIMITS.max_frames + 1, 16, 16, 3), dtype=np.uint8)
    write_mp4(still, tmp_path / "long.mp4", fps=25)
    with pytest.raises(VideoError, match=r"^long\.mp4 has about 601 frames, and the limit is 600"):
        keep_upload("long.mp4", (tmp_path / "long.mp4").read_bytes())
    write_mp4(np.zeros((1, 1200, 2000, 3), np.uint8), tmp_path / "wide.mp4", fps=25)
    with pytest.raises(VideoError, match=r"^wide\.mp4 has frames of 2000×1200"):
        keep_upload("wide.mp4", (tmp_path / "wide.mp4").read_bytes())
    assert not (cached_video.video_folder() / "uploads").exists()


def test_ones_own_video_on_the_page(clip_bytes):
    at = open_page("video", video="Your own video")
    assert "up to 100 MB, 600 frames" in text(at)
    at.file_uploader(key="video_upload").set_value(("walk.mp4", clip_bytes, "video/mp4")).run()
    assert not at.exception
    assert "walk.mp4: 7 frames, 128×64 px, 10 a second" in text(at)
    (command,) = (code.value for code in at.code)
    assert command.startswith("python -m dino film walk.mp4 ")
    at.file_uploader(key="video_upload").set_value(("bad.mp4", b"no video", "video/mp4")).run()
    assert "bad.mp4 cannot be read as a video" in "\n".join(e.value for e in at.error).replace(
        "\\", ""
    )
    assert "Traceback" not in text(at)


def test_mask_pictures_are_fitted_or_refused():
    labels = scene(0)
    np.testing.assert_array_equal(uploaded_mask("m.png", indexed_png(labels), SHAPE), labels)
    half = uploaded_mask("m.png", indexed_png(labels[::2, ::2]), SHAPE)
    assert half.shape == SHAPE
    assert set(np.unique(half)) == {0, 1, 2}
    with pytest.raises(UserError, match=r"^m\.png has 64×64 px and the video 128×64"):
        uploaded_mask("m.png", indexed_png(labels[:, :64]), SHAPE)
    with pytest.raises(UserError, match=r"^m\.png is not a readable mask"):
        uploaded_mask("m.png", b"x", SHAPE)


def test_objects_become_labels_and_oldest_films_make_room(tmp_path, monkeypatch):
    masks = np.array([[[1, 0, 0]], [[0, 0, 1]]], dtype=bool)
    assert number_masks(masks).tolist() == [[1, 0, 2]]
    monkeypatch.setattr(cached_video, "_MAX_FILMS", 2)
    folder = films(tmp_path)
    for name in ("old", "new"):
        (folder / name).mkdir(parents=True)
        time.sleep(0.02)
    mask = mask_file(number_masks(masks))
    cached_video.prepare(folder / "next", mask)
    assert mask[0].read_bytes() == mask[1]
    assert [path.name for path in folder.iterdir()] == ["new"]


def test_a_failed_film_says_why_and_can_be_tried_again(tmp_path, monkeypatch):
    at = open_page("video", photo="cat", size="224")
    real = jobs.start
    monkeypatch.setattr(
        jobs, "start", lambda video, out, **options: real(tmp_path / "gone.mp4", out, **options)
    )
    at.button(key="film_start").click().run()
    deadline = time.monotonic() + 60
    (out,) = films(tmp_path).glob("*/")
    while jobs.read_job(out).active:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    at.run()
    assert "gone.mp4 cannot be read" in text(at)
    assert "film_start" in {button.key for button in at.button}
    assert read_result(out) is None
