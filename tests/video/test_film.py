"""Films of attention and of followed masks: library, files and command line, on a square that moves."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.video_cases import SHAPE, ColorBackbone, colored, scene
from PIL import Image

import dino
from dino.attention.photo import attend
from dino.errors import TooLargeError, UserError, VideoError
from dino.media.geometry import Geometry
from dino.media.label_maps import indexed_png, read_label_map
from dino.media.regions import jaccard
from dino.media.video_reading import VideoLimits, probe, read_frames
from dino.media.video_writing import moving_crop, write_mp4
from dino.video.film import AttentionStyle, make_film, read_first_mask
from dino.video.film.attention import KeptMaps, attention_maps, draw_attention
from dino.video.film.jobs import cancel, film_id, read_job, start
from dino.video.film.making import GIF_FRAMES, film_gif, masks_zip, read_result
from dino.video.tracking import as_labels, track_with_frames

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 6


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Six frames of 64×128 px: a red square that goes right, a blue one that stays."""
    path = tmp_path_factory.mktemp("film") / "clip.mp4"
    rng = np.random.default_rng(0)
    write_mp4((colored(scene(number), rng) for number in range(FRAMES)), path, fps=12)
    return path


@pytest.fixture
def backbone(small_weights):
    return dino.load(small_weights)


def written(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


# --- Attention -------------------------------------------------------------------------------------


def test_the_scale_is_the_value_that_the_share_does_not_exceed(tmp_path):
    kept = KeptMaps(tmp_path / "maps")
    values = np.arange(1, 201, dtype=np.float32).reshape(2, 10, 10)  # all exact in half precision
    kept.keep(values)
    kept.keep(values[:, ::-1])
    assert kept.tops(0.5).tolist() == [50, 150]
    assert kept.tops(0.995).tolist() == [100, 200]
    assert kept.tops(1.0).tolist() == [100, 200]
    first, second = kept.frames()
    np.testing.assert_array_equal(first, values)
    np.testing.assert_array_equal(second, values[:, ::-1])
    kept.close()
    assert list(tmp_path.iterdir()) == []


def test_maps_are_multiples_of_even_attention(backbone):
    rgb = colored(scene(0), np.random.default_rng(0))
    found = attend(backbone, rgb, size=128)
    each, geometry = attention_maps(backbone, rgb, size=128, head="each")
    assert geometry.grid == (8, 16)
    np.testing.assert_allclose(each, found.heads * 128, rtol=1e-6)
    mean, _ = attention_maps(backbone, rgb, size=128, head="mean")
    np.testing.assert_allclose(mean[0], each.mean(axis=0), rtol=1e-5)
    one, _ = attention_maps(backbone, rgb, size=128, head="2")
    np.testing.assert_array_equal(one[0], each[2])


def test_a_value_has_one_colour_in_every_frame():
    """What is drawn depends on the value and the film's scale, not on the frame's other values."""
    photo = np.zeros((16, 16, 3), dtype=np.uint8)
    geometry = Geometry((16, 16), (16, 16), (0, 0, 16, 16), 8)
    style = AttentionStyle(opacity=1.0, smooth=False)
    tops = np.array([4.0], dtype=np.float32)
    low, high = (
        draw_attention(photo, np.array([[[2, 0], [0, other]]], np.float32), geometry, tops, style)
        for other in (1, 9)
    )
    np.testing.assert_array_equal(low[:8, :8], high[:8, :8])
    assert (low[8:, 8:] != high[8:, 8:]).any()


def test_an_attention_film_has_all_frames_and_leaves_no_scraps(clip, backbone, tmp_path):
    seen = []
    result = make_film(
        backbone, clip, tmp_path, subject=AttentionStyle(), size=128, progress=seen.append
    )
    assert (result.num_frames, result.fps, result.stopped) == (FRAMES, 12.0, False)
    frames = list(read_frames(str(tmp_path / "film.mp4")))
    assert [frame.shape for frame in frames] == [(*SHAPE, 3)] * FRAMES
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"film.mp4", "result.json", "progress.json", "preview.jpg"}
    assert read_result(tmp_path) == result
    assert {one.phase for one in seen} == {"looking", "drawing"}
    last = read_job(tmp_path).progress
    assert (last.status, last.done, last.total) == ("finished", FRAMES, FRAMES)
    assert len(result.tops) == 1


def test_opacity_0_is_the_video_and_each_is_a_grid(clip, backbone, tmp_path):
    make_film(backbone, clip, tmp_path / "a", subject=AttentionStyle(opacity=0.0), size=128)
    shown, original = (
        next(read_frames(str(path))).astype(float) for path in (tmp_path / "a" / "film.mp4", clip)
    )
    assert np.abs(shown - original).mean() < 4  # two encodings
    result = make_film(backbone, clip, tmp_path / "b", subject=AttentionStyle("each"), size=128)
    assert len(result.tops) == 3
    info = probe(str(tmp_path / "b" / "film.mp4"))
    assert (info.height, info.width) == (2 * SHAPE[0], 2 * SHAPE[1])  # three tiles in 2×2
    spare = next(read_frames(str(tmp_path / "b" / "film.mp4")))[SHAPE[0] + 16 :, SHAPE[1] :]
    assert np.abs(spare - original[16:]).mean() < 4  # the fourth is the video


# --- Masks -----------------------------------------------------------------------------------------


def test_masks_follow_the_square_frame_by_frame():
    rng = np.random.default_rng(0)
    frames = (colored(scene(number), rng) for number in range(FRAMES))
    found = list(track_with_frames(ColorBackbone(), frames, scene(0), size=128))
    assert len(found) == FRAMES
    for number, (rgb, labels) in enumerate(found):
        assert jaccard(labels == 1, scene(number) == 1) > 0.9
        red = (rgb[..., 0] > 180) & (rgb[..., 2] < 120)
        assert jaccard(red, scene(number) == 1) > 0.99  # each frame with its own labels


def test_a_mask_film_keeps_indexed_masks(clip, backbone, tmp_path):
    (tmp_path / "first.png").write_bytes(indexed_png(scene(0)))
    first = read_first_mask(tmp_path / "first.png")
    np.testing.assert_array_equal(first, scene(0))
    result = make_film(backbone, clip, tmp_path / "out", subject=first, size=128)
    assert result.num_frames == FRAMES
    np.testing.assert_array_equal(read_label_map(tmp_path / "out/masks/00000.png"), scene(0))
    with zipfile.ZipFile(io.BytesIO(masks_zip(tmp_path / "out"))) as archive:
        assert archive.namelist() == [f"{number:05}.png" for number in range(FRAMES)]
        picture = Image.open(archive.open("00003.png"))
        assert picture.mode == "P"
        assert picture.size == SHAPE[::-1]
    with Image.open(io.BytesIO(film_gif(tmp_path / "out"))) as gif:
        assert gif.n_frames == FRAMES


def test_a_long_film_gives_a_gif_of_every_so_many_frames(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (GIF_FRAMES + 9, 16, 16, 3), dtype=np.uint8)
    write_mp4(noise, tmp_path / "film.mp4", fps=30)
    with Image.open(io.BytesIO(film_gif(tmp_path))) as gif:
        assert gif.n_frames == (GIF_FRAMES + 10) // 2


def test_black_and_one_grey_is_one_object():
    values = np.array([[0, 255], [255, 0]], dtype=np.uint8)
    assert as_labels(values, name="m").tolist() == [[0, 1], [1, 0]]
    assert as_labels(np.array([[0, 1, 2]], np.uint8), name="m").tolist() == [[0, 1, 2]]
    with pytest.raises(UserError, match="marks nothing"):
        as_labels(values * 0, name="m")
    with pytest.raises(UserError, match="labels up to 255"):
        as_labels(np.array([[0, 90, 255]], np.uint8), name="m")


# --- What is refused -------------------------------------------------------------------------------


def test_bad_input_is_one_sentence(clip, backbone, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:600])
    with pytest.raises(VideoError, match="cannot be read as a video"):
        make_film(backbone, broken, tmp_path / "out", subject=AttentionStyle())
    with pytest.raises(VideoError, match="limit is 3; cut it shorter"):
        make_film(
            backbone,
            clip,
            tmp_path / "out",
            subject=AttentionStyle(),
            limits=VideoLimits(max_frames=3),
        )
    with pytest.raises(UserError, match="128×32 px and the video 128×64"):
        make_film(backbone, clip, tmp_path / "out", subject=scene(0)[:32])
    with pytest.raises(UserError, match="head 7 does not exist"):
        make_film(backbone, clip, tmp_path / "out", subject=AttentionStyle("7"))
    with pytest.raises(TooLargeError):
        make_film(backbone, clip, tmp_path / "out", subject=AttentionStyle(), size=4096)
    with pytest.raises(UserError, match="less than a patch"):
        make_film(backbone, clip, tmp_path / "out", subject=scene(0), size=8)
    assert not (tmp_path / "out" / "film.mp4").exists()
    assert read_result(tmp_path / "out") is None
    assert read_job(tmp_path / "out").status == "failed"


@pytest.mark.parametrize(
    ("options", "match"),
    [({"head": "x"}, "head is 'x'"), ({"opacity": 2}, "0 to 1"), ({"colormap": "jet"}, "viridis")],
)
def test_styles_that_are_none(options, match):
    with pytest.raises(UserError, match=match):
        AttentionStyle(**options)


# --- Command line and processes ------------------------------------------------------------------


def run_cli(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "dino", "film", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_makes_the_film_of_the_library(clip, small_weights, backbone, tmp_path):
    out = tmp_path / "out"
    done = run_cli(
        str(clip), "--attention", "--head", "1", "--size", "128", "--gif", "--precision", "fp32",
        "--weights", str(small_weights), "--out", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    values = json.loads((out / "result.json").read_text())
    assert (values["made"], values["head"], values["size"]) == ("attention", "1", 128)
    again = make_film(
        dino.load(small_weights, precision="fp32"),
        clip,
        tmp_path / "again",
        subject=AttentionStyle("1"),
        size=128,
    )
    assert values["tops"] == pytest.approx(list(again.tops), rel=1e-3)
    with Image.open(out / "film.gif") as gif:
        assert gif.n_frames == FRAMES


def test_the_command_wants_one_thing(clip, command, tmp_path):
    for words in ((), ("--attention", "--mask", "first.png")):
        code, _, said = command("film", clip, *words, "--out", tmp_path)
        assert code == 2
        assert "either --attention or --mask" in said


def wait_for(out: Path, *statuses: str) -> None:
    deadline = time.monotonic() + 120
    while (job := read_job(out)).status not in statuses:
        assert time.monotonic() < deadline, job
        time.sleep(0.1)


def test_a_job_is_started_alone_and_cancelled(small_weights, tmp_path):
    photo = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    video = tmp_path / "long.mp4"
    write_mp4(moving_crop(photo, num_frames=400, long_side=320), video, fps=25)
    out = tmp_path / "films" / "one"
    assert read_job(out).status == "none"
    options = {"weights": str(small_weights), "size": 320, "options": ["--attention"]}
    start(video, out, **options)
    with pytest.raises(UserError, match="another film is being made"):
        start(video, tmp_path / "films" / "two", **options)
    wait_for(out, "running")
    cancel(out)
    wait_for(out, "stopped")
    assert not (out / "film.mp4").exists()
    assert not list(out.glob(".maps*"))
    with pytest.raises(UserError, match="nothing to cancel"):
        cancel(out)


@pytest.mark.slow
def test_a_job_that_ends_is_found_again_and_one_that_is_killed_is_reported(
    clip, small_weights, tmp_path
):
    out = tmp_path / "films" / "one"
    options = {"weights": str(small_weights), "size": 128, "options": ["--attention"]}
    start(clip, out, **options)
    wait_for(out, "finished")
    assert read_result(out).num_frames == FRAMES
    start(tmp_path / "none.mp4", out.parent / "two", **options)
    wait_for(out.parent / "two", "failed")
    assert "cannot be read" in read_job(out.parent / "two").reason
    start(clip, out.parent / "three", **options)
    pid = json.loads((out.parent / "three" / "launch.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(out.parent / "three", "failed")


def test_a_film_is_named_by_what_it_is_of():
    name = film_id("a", "b", {"size": 1, "head": "mean"})
    assert name == film_id("a", "b", {"head": "mean", "size": 1})
    others = [film_id("x", "b", {}), film_id("a", "x", {}), film_id("a", "b", {"size": 2})]
    assert len({name, *others}) == 4


def test_a_moving_crop_moves_and_meets_its_beginning():
    y, x = np.mgrid[0:200, 0:300]
    photo = np.stack([x % 256, y, 0 * x], axis=-1).astype(np.uint8)
    frames = list(moving_crop(photo, num_frames=24, long_side=150))
    assert {frame.shape for frame in frames} == {(100, 150, 3)}
    steps = [
        np.abs(a.astype(int) - b).mean()
        for a, b in zip(frames, [*frames[1:], frames[0]], strict=True)
    ]
    assert min(steps) > 0.5
    assert steps[-1] < 3 * np.median(steps)
