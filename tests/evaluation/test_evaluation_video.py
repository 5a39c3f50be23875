"""DAVIS: its two layouts, what is wrong with a folder, and scores of followed objects."""

import json
import os
import shutil
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.torchrun_cases import launch_well
from helpers.video_cases import SHAPE, ColorBackbone, scene, write_davis
from PIL import Image

import dino
from dino.errors import UserError
from dino.evaluation import PropagationSettings
from dino.evaluation.davis import open_davis
from dino.evaluation.video import scores, video_segmentation
from dino.media.label_maps import indexed_png, label_overlay, palette

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def davis(tmp_path):
    return write_davis(tmp_path / "davis")


def listed(root: Path, text: str, where: str) -> None:
    (root / "ImageSets" / where).mkdir(parents=True)
    (root / "ImageSets" / where / "val.txt").write_text(text)


# Layouts ---------------------------------------------------------------------------------------


def test_2017_has_indexed_masks_of_several_objects(davis):
    data = open_davis(davis)
    assert (data.year, data.num_frames) == (2017, 12)
    assert [sequence.name for sequence in data.sequences] == ["one", "two"]
    first = data.sequences[0]
    np.testing.assert_array_equal(first.labels(3), scene(3))
    assert first.rgb(0).shape == (*SHAPE, 3)


def test_2016_has_one_object(tmp_path):
    data = open_davis(write_davis(tmp_path, year=2016))
    assert data.year == 2016
    np.testing.assert_array_equal(data.sequences[0].labels(2), scene(2) == 1)


def test_255_is_background_in_2017_and_the_object_in_2016(davis):
    mask = davis / "Annotations" / "480p" / "one" / "00001.png"
    labels = scene(1)
    labels[:4] = 255
    mask.write_bytes(indexed_png(labels))
    assert open_davis(davis).sequences[0].labels(1)[:4].max() == 0
    assert open_davis(davis, year=2016).sequences[0].labels(1)[:4].min() == 1


@pytest.mark.parametrize(
    ("text", "where", "year"),
    [
        ("two\n", "2017", 2017),
        ("two\none\n\n", "2017", 2017),
        ("two\n", "2016", 2016),
    ],
)
def test_the_set_s_list_says_which_sequences(davis, text, where, year):
    listed(davis, text, where)
    data = open_davis(davis)
    assert data.year == year
    assert [sequence.name for sequence in data.sequences] == text.split()


def test_2016_lists_pairs_of_files(tmp_path):
    root = write_davis(tmp_path, year=2016)
    line = "/JPEGImages/480p/two/{0}.jpg /Annotations/480p/two/{0}.png\n"
    listed(root, line.format("00000") + line.format("00001"), "480p")
    assert [sequence.name for sequence in open_davis(root).sequences] == ["two"]


def test_sequences_may_be_named(davis):
    listed(davis, "one\n", "2017")
    data = open_davis(davis, sequences=["two", "one", "two"])
    assert [sequence.name for sequence in data.sequences] == ["two", "one"]


def spoil(root: Path, what: str) -> None:
    frames, masks = (root / kind / "480p" / "one" for kind in ("JPEGImages", "Annotations"))
    if what == "no masks":
        shutil.rmtree(root / "Annotations")
    elif what == "empty":
        shutil.rmtree(root / "JPEGImages" / "480p")
        (root / "JPEGImages" / "480p").mkdir()
    elif what == "frame":
        (frames / "00003.jpg").unlink()
    elif what == "mask":
        (masks / "00002.png").unlink()
    elif what == "short":
        for number in range(2, 6):
            (frames / f"{number:05}.jpg").unlink()
    elif what == "mask size":
        (masks / "00004.png").write_bytes(indexed_png(scene(4)[:32]))
    elif what == "frame size":
        Image.new("RGB", (128, 32)).save(frames / "00004.jpg")
    elif what == "empty mask":
        (masks / "00000.png").write_bytes(indexed_png(np.zeros(SHAPE, np.uint8)))
    elif what == "broken frame":
        (frames / "00001.jpg").write_bytes(b"\xff\xd8\xff and no more")
    elif what == "broken mask":
        (masks / "00001.png").write_bytes(b"no mask")
    elif what == "list":
        listed(root, "one\nthree\n", "2017")
    elif what == "empty list":
        listed(root, "\n", "2017")


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("no masks", r"Annotations/480p is missing; expected a DAVIS folder"),
        ("empty", r"JPEGImages/480p holds no sequences"),
        ("frame", r"one/00003\.jpg is missing, but .* has its mask"),
        ("mask", r"one/00002\.png is missing; expected a mask for each frame"),
        ("short", r"JPEGImages/480p/one holds 2 frames; expected 3 or more"),
        ("mask size", r"one/00004\.png is 32×128 px and the first mask 64×128"),
        ("frame size", r"one/00004\.jpg is 32×128 px and the first mask 64×128"),
        ("empty mask", r"one/00000\.png is empty; expected the objects to follow"),
        ("broken frame", r"one/00001\.jpg: got a JPEG file that is cut short"),
        ("broken mask", r"one/00001\.png is not a readable mask"),
        ("list", r"JPEGImages/480p/three is missing"),
        ("empty list", r"val\.txt is empty"),
    ],
)
def test_what_is_wrong_is_one_sentence_that_names_the_file(davis, what, says):
    spoil(davis, what)
    with pytest.raises(UserError, match=says) as caught:
        video_segmentation(ColorBackbone(), open_davis(davis), short_side=64)
    assert "\n" not in str(caught.value)


def test_a_year_or_sequence_there_is_not(davis):
    with pytest.raises(UserError, match="expected 2016 or 2017"):
        open_davis(davis, year=2018)
    with pytest.raises(UserError, match="three is missing"):
        open_davis(davis, sequences=["three"], year=2017)


# Scores ----------------------------------------------------------------------------------------


def test_scores_leave_out_the_first_and_the_last_frame():
    """Object 1 is right in frames 1 and 2 and gone in 3; object 2 half there throughout."""
    truths = [scene(0)] * 5
    halved = scene(0).copy()
    halved[48:56, 64:80] = 0
    without = np.where(halved == 1, 0, halved)
    one, two = scores([without, halved, halved, without, without], truths)
    assert one.region.mean == pytest.approx(2 / 3)
    assert one.region.recall == pytest.approx(2 / 3)
    assert one.boundary.mean == pytest.approx(2 / 3)
    assert one.j_and_f == pytest.approx(2 / 3)
    # Cut at 1, 1.5, 2, 2.5 and 3, halves rounded up: the first part is 1 and 2, the last 3 alone.
    assert one.region.decay == 1
    assert (two.region.mean, two.region.recall) == (0.5, 0)


def test_an_object_that_left_is_right_to_be_gone():
    gone = np.where(scene(0) == 1, 0, scene(0))
    one, _ = scores([scene(0), gone, gone, gone], [scene(0), gone, gone, gone])
    assert one.region.mean == one.boundary.mean == 1


def test_followed_objects_beat_a_mask_kept_still(davis):
    kept = {}
    result = video_segmentation(
        ColorBackbone(),
        open_davis(davis),
        short_side=64,
        keep=lambda sequence, maps: kept.update({sequence.name: maps}),
    )
    assert [one.name for one in result.sequences] == ["one", "two"]
    assert (result.num_objects, result.num_frames) == (4, 12)
    for one in result.sequences:
        moving, resting = one.objects
        assert moving.region.mean > 0.9
        assert moving.boundary.mean > 0.95
        # Kept still, a square that moves 8 of its 24 px a frame: 1/2, 1/5, 0 and 0.
        assert one.still[0].region.mean == pytest.approx((1 / 2 + 1 / 5) / 4)
        assert one.still[0].region.decay == pytest.approx((1 / 2 + 1 / 5) / 2)
        assert one.still[1].region.mean == one.still[1].boundary.mean == 1
        assert resting.region.mean > 0.9
        assert one.seconds_per_frame > 0
    assert result.mean.region.mean == pytest.approx(
        np.mean([o.region.mean for s in result.sequences for o in s.objects])
    )
    assert result.mean_still.j_and_f < result.mean.j_and_f
    assert {name: len(maps) for name, maps in kept.items()} == {"one": 6, "two": 6}
    np.testing.assert_array_equal(kept["one"][0], scene(0))
    assert scores(kept["one"], [scene(number) for number in range(6)]) == (
        result.sequences[0].objects
    )


def test_progress_counts_every_frame(davis):
    calls = []
    video_segmentation(
        ColorBackbone(),
        open_davis(davis),
        short_side=64,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(done, 12) for done in range(1, 13)]


# The command line ------------------------------------------------------------------------------

QUICK = ("--size", "64", "--precision", "fp32", "--threads", "1", "--device", "cpu")


@pytest.fixture
def cli(cli):
    """`cli("--data", …)` → (exit code, stdout, stderr) of `eval video`, in an empty folder."""
    return partial(cli, "eval", "video")


def test_the_command_reports_what_the_library_computes(cli, davis, small_weights, tmp_path):
    code, out, err = cli("--data", davis, *QUICK, "--random", "--window", 4, "--out", "there")
    assert code == 0, err
    found = json.loads((tmp_path / "there" / "results.json").read_text())
    assert found["task"] == "video"
    assert found["data"] == {
        "path": str(davis), "year": 2017, "num_images": 12, "num_sequences": 2, "num_objects": 4,
    }  # fmt: skip
    assert (found["settings"]["size"], found["settings"]["window"]) == (64, 4)
    rows = {(row["network"], row["sequence"], row["object"]): row for row in found["rows"]}
    assert len(rows) == 3 * (4 + 1)
    expected = video_segmentation(
        dino.load(small_weights, precision="fp32", device="cpu"),
        open_davis(davis),
        short_side=64,
        settings=PropagationSettings(window=4),
    )
    for sequence in expected.sequences:
        for label, object_ in enumerate(sequence.objects, start=1):
            row = rows["weights", sequence.name, label]
            assert row["j_and_f"] == object_.j_and_f
            assert (row["j_mean"], row["j_recall"]) == (object_.region.mean, object_.region.recall)
            assert (row["f_mean"], row["f_decay"]) == (
                object_.boundary.mean,
                object_.boundary.decay,
            )
    assert rows["weights", "mean", None]["j_and_f"] == pytest.approx(expected.mean.j_and_f)
    assert rows["weights", "mean", None]["num_frames"] == 12
    still = rows["first mask kept still", "mean", None]
    assert still["f_mean"] == pytest.approx(expected.mean_still.boundary.mean)
    assert ("random weights", "two", 2) in rows
    lines = out.splitlines()
    assert len(lines) == 1 + 4 + 3 + 1
    assert f"{100 * expected.mean.j_and_f:.1f}" in lines[5]


def test_masks_and_videos_are_what_others_read(cli, davis, small_weights, tmp_path):
    code, _, err = cli("--data", davis, *QUICK, "--sequences", "two")
    assert code == 0, err
    out, kept = tmp_path / "results", {}
    data = open_davis(davis, sequences=["two"])
    video_segmentation(
        dino.load(small_weights, precision="fp32", device="cpu"),
        data,
        short_side=64,
        keep=lambda sequence, maps: kept.update({sequence.name: maps}),
    )
    assert sorted(os.listdir(out / "masks")) == ["two"]
    files = sorted((out / "masks" / "two").iterdir())
    assert [file.name for file in files] == [f"{number:05}.png" for number in range(6)]
    for file, labels in zip(files, kept["two"], strict=True):
        with Image.open(file) as picture:
            assert picture.mode == "P"
            assert picture.getpalette()[:9] == palette()[:3].ravel().tolist()
            np.testing.assert_array_equal(np.array(picture), labels)
    with av.open(str(out / "two.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert float(stream.average_rate) == 24
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == 6
    for number, frame in enumerate(frames):
        expected = label_overlay(data.sequences[0].rgb(number), kept["two"][number])
        assert np.abs(frame.astype(int) - expected).mean() < 8


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--data", "nowhere"), "expected a DAVIS folder"),
        (("--sequences", "three", "--year", 2017), "three is missing"),
        (("--temperature", 0), "above 0"),
        (("--size", 8, "--weights", "{tiny}"), "expected a patch at least"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(cli, davis, words, says):
    tiny = ROOT / "checkpoints" / "dino_vitti16_imagenette.safetensors"
    words = [str(word).format(tiny=tiny) for word in words]
    data = () if "--data" in words else ("--data", davis)
    code, _, err = cli(*data, *words)
    assert code == 2
    assert says in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_two_processes_report_what_one_does(davis, small_weights, tmp_path):
    reports = []
    for processes in (1, 2):
        out = tmp_path / f"out-{processes}"
        words = ("-m", "dino", "eval", "video", "--data", davis, *QUICK, "--out", out)
        launch_well(*words, processes=processes, cwd=tmp_path, env={"DINO_WEIGHTS": small_weights})
        reports.append(json.loads((out / "results.json").read_text())["rows"])
        assert sorted(path.name for path in out.glob("*.mp4")) == ["one.mp4", "two.mp4"]
        assert len(list(out.glob("masks/*/*.png"))) == 12
    for first, second in zip(*reports, strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            if name != "seconds_per_frame":
                assert second[name] == (pytest.approx(value, abs=1e-5) if value else value)
    for path in (tmp_path / "out-1" / "masks").rglob("*.png"):
        assert path.read_bytes() == Path(str(path).replace("out-1", "out-2")).read_bytes()


# Real frames -----------------------------------------------------------------------------------


def test_a_real_dog_is_followed_better_than_by_standing_still(shared, tmp_path):
    """Eight frames of DAVIS 2016's dog, at half size, by the bundled weights."""
    if not (shared / "data" / "davis").is_dir():
        pytest.skip("DAVIS frames (../shared/data/davis) are absent")
    for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
        (tmp_path / kind / "480p" / "dog").mkdir(parents=True)
        for number in range(8):
            name = f"{kind}/480p/dog/{number:05}.{suffix}"
            shutil.copy(shared / "data" / "davis" / name, tmp_path / name)
    backbone = dino.load(
        ROOT / "checkpoints" / "dino_vitti16_imagenette.safetensors",
        precision="fp32",
        device="cpu",
    )
    data = open_davis(tmp_path)
    assert data.year == 2016
    (dog,) = video_segmentation(backbone, data, short_side=240).sequences
    ours, still = dog.objects[0], dog.still[0]
    assert ours.region.mean > still.region.mean + 0.04
    assert ours.boundary.mean > still.boundary.mean + 0.03
    # While the mask that stays loses a third of J on the way, what is followed loses little.
    assert ours.region.decay < 0.1
    assert still.region.decay > 0.3
