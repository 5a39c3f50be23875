"""`embed`: the same features as the evaluation's, resumed bit for bit, incremental, read back by others."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dino
from dino.errors import UserError
from dino.features.embedding import embed_folder
from dino.features.folder import Preparation, embed_photos, engine, files, read_features
from dino.features.folder.dates import photo_date
from dino.features.folder.files import labels_of, read_thumbnails
from dino.features.folder.jobs import read_job
from dino.features.folder.preparation import PhotoRow
from dino.features.folder.store import PartStore, only_writer
from dino.media.photo_folders import open_folder

SMALL = Preparation(size=32)
QUICK = {"preparation": SMALL, "batch_size": 4, "workers": 0}


@pytest.fixture(scope="module")
def backbone(small_weights):
    return dino.load(small_weights, device="cpu", precision="fp32")


@pytest.fixture
def photos(tmp_path) -> Path:
    """Eleven noisy photos of several shapes in two sub-folders."""
    rng = np.random.default_rng(0)
    for number in range(11):
        folder = tmp_path / "photos" / ("cat" if number < 6 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        height, width = 40 + 3 * (number % 3), 52
        picture = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{number:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def forwards(monkeypatch) -> list[list[str]]:
    """Names of the photos of every batch that goes through the network."""
    made: list[list[str]] = []
    real = engine.forward_batch

    def counted(network, batch):
        made.append([row.name for row, _ in batch])
        return real(network, batch)

    monkeypatch.setattr(engine, "forward_batch", counted)
    return made


def content(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in (files.FEATURES, files.THUMBNAILS)}


# --- What is written ----------------------------------------------------------------------------


def test_features_are_those_of_the_evaluation_to_the_bit(backbone, photos, tmp_path):
    result = embed_photos(backbone, photos, tmp_path / "out", **QUICK)
    expected = embed_folder(backbone, open_folder(photos), size=32, batch_size=4, workers=0)
    found = read_features(tmp_path / "out")
    np.testing.assert_array_equal(found.features, expected.cls.numpy())
    assert (result.num_photos, result.num_new, result.unreadable) == (11, 11, ())
    assert found.features.dtype == np.float32


def test_numpy_and_pandas_read_the_same_back(backbone, photos, tmp_path):
    pandas = pytest.importorskip("pandas")
    embed_photos(backbone, photos, tmp_path / "out", **QUICK)
    with np.load(tmp_path / "out" / "features.npz", allow_pickle=False) as file:
        assert file["features"].shape == (11, 48)
        assert file["paths"].tolist()[0] == "cat/00.png"
        assert file["labels"].tolist() == ["cat"] * 6 + ["dog"] * 5
        assert str(file["weights_sha256"]) == backbone.weights_sha256
        assert int(file["size"]) == 32
        arrays = {name: file[name] for name in file.files}
    import hashlib

    digest = hashlib.sha256((photos / "cat/00.png").read_bytes()).hexdigest()
    assert arrays["sha256"][0] == digest

    table = pandas.read_parquet(tmp_path / "out" / "features.parquet")
    np.testing.assert_array_equal(np.stack(table["features"]), arrays["features"])
    for column, name in (("path", "paths"), ("label", "labels"), ("sha256", "sha256")):
        assert table[column].tolist() == arrays[name].tolist()
    assert (table["date"].to_numpy().astype("datetime64[s]") == arrays["dates"]).all()


def test_without_pyarrow_the_npz_alone_is_written_and_said(backbone, photos, tmp_path, monkeypatch):
    out, said = tmp_path / "out", []
    embed_photos(backbone, photos, out, **QUICK)
    assert (out / "features.parquet").exists()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    embed_photos(backbone, photos, out, **QUICK, say=said.append)
    assert not (out / "features.parquet").exists()  # the old one may not match
    assert [line for line in said if "pyarrow is not installed" in line]
    assert len(read_features(out)) == 11


def test_a_thumbnail_is_the_middle_of_its_photo(backbone, tmp_path):
    rgb = np.zeros((60, 180, 3), np.uint8)
    rgb[:, 60:120] = (250, 200, 30)
    (tmp_path / "photos").mkdir()
    Image.fromarray(rgb).save(tmp_path / "photos" / "a.png")
    embed_photos(backbone, tmp_path / "photos", tmp_path / "out", **QUICK)
    (jpeg,) = read_thumbnails(tmp_path / "out")
    small = dino.decode(jpeg)
    assert small.shape == (96, 96, 3)
    assert np.abs(small[8:-8, 8:-8].mean(axis=(0, 1)) - (250, 200, 30)).max() < 4


@pytest.mark.parametrize("fit", ["floor", "pad", "stretch"])
def test_whole_photos_go_through_the_network_as_in_preprocess(backbone, photos, tmp_path, fit):
    options = {**QUICK, "preparation": Preparation(size=48, fit=fit)}
    embed_photos(backbone, photos, tmp_path / "out", **options)
    found = read_features(tmp_path / "out")
    for row in (0, 4, 10):
        rgb = dino.decode((photos / found.paths[row]).read_bytes())
        image, _ = dino.preprocess(
            rgb, size=48, patch_size=8, fit=fit, mean=backbone.mean, std=backbone.std
        )
        alone = backbone.tokens(image).cls[0].numpy()
        np.testing.assert_allclose(found.features[row], alone, rtol=0, atol=1e-4)


def test_workers_change_nothing(backbone, photos, tmp_path):
    embed_photos(backbone, photos, tmp_path / "none", **QUICK)
    embed_photos(backbone, photos, tmp_path / "two", **{**QUICK, "workers": 2})
    assert content(tmp_path / "none") == content(tmp_path / "two")


# --- Interrupted and resumed --------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_and_resumed_is_unbroken_bit_for_bit(
    backbone, photos, tmp_path, forwards, number
):
    (photos / "cat" / "02.png").write_bytes(b"no picture")
    embed_photos(backbone, photos, tmp_path / "unbroken", **QUICK)
    forwards.clear()

    def interrupt(progress) -> None:
        if progress.done == 8 and progress.status == "running":
            os.kill(os.getpid(), number)

    out = tmp_path / "broken"
    first = embed_photos(backbone, photos, out, **QUICK, progress=interrupt)
    assert first.stopped
    assert first.num_new == 8
    assert not (out / "features.npz").exists()
    progress = read_job(out).progress
    assert (progress.status, progress.done, progress.total, progress.unreadable) == (
        "stopped",
        8,
        11,
        1,
    )

    second = embed_photos(backbone, photos, out, **QUICK)
    assert (second.stopped, second.num_new, second.num_kept) == (False, 3, 8)
    assert [len(batch) for batch in forwards] == [4, 4, 3]  # nothing twice
    assert content(out) == content(tmp_path / "unbroken")
    assert [name for name, _ in second.unreadable] == ["cat/02.png"]
    assert read_job(out).status == "finished"


def test_a_crash_loses_the_batch_it_fell_in_and_no_more(
    backbone, photos, tmp_path, monkeypatch, forwards
):
    embed_photos(backbone, photos, tmp_path / "unbroken", **QUICK)
    forwards.clear()
    out, real = tmp_path / "broken", PartStore.append

    def full(store, rows):
        if len(store) == 1:
            raise UserError("the disk is full; free space")
        return real(store, rows)

    with monkeypatch.context() as patched:
        patched.setattr(PartStore, "append", full)
        with pytest.raises(UserError, match="disk is full"):
            embed_photos(backbone, photos, out, **QUICK)
    assert read_job(out).status == "failed"
    assert "disk is full" in read_job(out).reason
    embed_photos(backbone, photos, out, **QUICK)
    assert [len(batch) for batch in forwards] == [4, 4, 4, 3]
    assert content(out) == content(tmp_path / "unbroken")


def test_a_killed_process_leaves_what_it_had_done(small_weights, photos, tmp_path):
    code = (
        "import os, signal, sys, dino\n"
        "from dino.features.folder import Preparation, embed_photos\n"
        "def die(progress):\n"
        "    if progress.done >= 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "backbone = dino.load(sys.argv[1], device='cpu', precision='fp32')\n"
        "embed_photos(backbone, sys.argv[2], sys.argv[3], preparation=Preparation(size=32),\n"
        "             batch_size=4, workers=0, progress=die)\n"
    )
    out = tmp_path / "out"
    words = [sys.executable, "-c", code, str(small_weights), str(photos), str(out)]
    killed = subprocess.run(words, cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -signal.SIGKILL
    progress = read_job(out).progress
    assert (progress.status, progress.reason) == ("stopped", "its process ended without a word")
    assert len(PartStore(out / "parts").rows()) == 4
    result = embed_photos(
        dino.load(small_weights, device="cpu", precision="fp32"), photos, out, **QUICK
    )
    assert (result.num_new, result.num_kept) == (7, 4)


# --- What changes in the folder -----------------------------------------------------------------


def test_only_new_and_changed_photos_are_computed(backbone, photos, tmp_path, forwards):
    out = tmp_path / "out"
    embed_photos(backbone, photos, out, **QUICK)
    before = read_features(out)
    forwards.clear()
    again = embed_photos(backbone, photos, out, **QUICK)
    assert (forwards, again.num_new, again.num_kept) == ([], 0, 11)

    (photos / "cat" / "00.png").unlink()  # gone
    shutil.copy(photos / "dog" / "06.png", photos / "cat" / "01.png")  # changed
    os.utime(photos / "cat" / "03.png", (1e9, 1e9))  # touched
    (photos / "dog" / "07.png").rename(photos / "cat" / "seven.png")  # moved
    shutil.copy(photos / "dog" / "08.png", photos / "dog" / "new.png")  # new
    result = embed_photos(backbone, photos, out, **QUICK)
    after = read_features(out)

    assert forwards == [["cat/01.png", "dog/new.png"]]
    assert (result.num_new, result.num_kept, result.num_removed) == (2, 9, 2)
    assert "cat/00.png" not in after.paths
    assert after.labels[after.paths.index("cat/seven.png")] == "cat"
    for name, was in (("cat/03.png", "cat/03.png"), ("cat/seven.png", "dog/07.png")):
        old, new = before.paths.index(was), after.paths.index(name)
        np.testing.assert_array_equal(after.features[new], before.features[old])
    old, new = before.paths.index("dog/06.png"), after.paths.index("cat/01.png")
    np.testing.assert_allclose(after.features[new], before.features[old], atol=1e-5)
    assert str(after.dates[after.paths.index("cat/03.png")]) == "2001-09-09T01:46:40"
    assert len(PartStore(out / "parts")) == 1


def test_a_damaged_part_is_named_and_computed_again(backbone, photos, tmp_path):
    out, said = tmp_path / "out", []
    embed_photos(backbone, photos, out, **QUICK)
    expected = content(out)
    (part,) = (out / "parts").glob("*.npz")
    part.write_bytes(part.read_bytes()[:-200])
    result = embed_photos(backbone, photos, out, **QUICK, say=said.append)
    assert result.num_new == 11
    assert any(part.name in line and "damaged" in line for line in said)
    assert content(out) == expected


def test_a_zip_is_as_its_folder_and_another_zip_takes_its_place(
    backbone, photos, tmp_path, forwards
):
    def pack(name: str, left_out: str = "") -> Path:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for path in sorted(photos.rglob("*.png")):
                if path.name != left_out:
                    archive.write(path, path.relative_to(photos))
        return tmp_path / name

    embed_photos(backbone, photos, tmp_path / "folder", **QUICK)
    embed_photos(backbone, pack("a.zip"), tmp_path / "out", **QUICK)
    left, right = read_features(tmp_path / "folder"), read_features(tmp_path / "out")
    np.testing.assert_array_equal(left.features, right.features)
    assert left.paths == right.paths
    forwards.clear()
    result = embed_photos(backbone, pack("b.zip", "03.png"), tmp_path / "out", **QUICK)
    assert forwards == []  # the same bytes, unpacked anew
    assert (result.num_photos, result.num_removed) == (10, 1)
    assert len(list((tmp_path / "out").glob("photos-*"))) == 1


# --- What cannot be done ------------------------------------------------------------------------


def test_other_settings_in_the_same_place_are_refused(backbone, photos, tmp_path):
    embed_photos(backbone, photos, tmp_path / "out", **QUICK)
    with pytest.raises(UserError, match=r"size 32 instead of 40; give another --out"):
        embed_photos(backbone, photos, tmp_path / "out", preparation=Preparation(size=40))


def test_two_do_not_write_to_one_place(backbone, photos, tmp_path):
    with only_writer(tmp_path / "out"), pytest.raises(UserError, match="being written by another"):
        embed_photos(backbone, photos, tmp_path / "out", **QUICK)
    embed_photos(backbone, photos, tmp_path / "out", **QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit": "zoom"}, "fit is 'zoom'; expected one of crop, floor, pad, stretch"),
        ({"size": 64, "resize": 32}, "no shorter side than the crop"),
        ({"size": 64, "resize": 80, "fit": "pad"}, "resize belongs to fit 'crop'"),
        ({"size": 0}, "expected 1 px or more"),
    ],
)
def test_bad_preparations_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Preparation(**options)


def test_no_photos_is_said(backbone, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no photos"):
        embed_photos(backbone, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(UserError, match="is not a folder"):
        embed_photos(backbone, tmp_path / "nowhere", tmp_path / "out")


def test_a_file_that_is_no_features_is_said(tmp_path):
    (tmp_path / "features.npz").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read as features"):
        read_features(tmp_path)


# --- Parts, labels, dates -----------------------------------------------------------------------


def test_of_two_parts_the_later_holds(tmp_path):
    store = PartStore(tmp_path)
    date = photo_date(b"", 1e9)
    old = PhotoRow("a", 1, 2, "x", date, feature=np.ones(3, np.float32), thumbnail=b"abc")
    bad = PhotoRow("b", 1, 2, "y", problem="cut short")
    store.append([old, bad])
    new = PhotoRow("a", 1, 3, "z", date, feature=np.zeros(3, np.float32), thumbnail=b"de")
    store.append([new])
    rows = store.rows()
    assert rows["b"] == bad
    assert (rows["a"].sha256, rows["a"].thumbnail, rows["a"].date) == ("z", b"de", date)
    np.testing.assert_array_equal(rows["a"].feature, [0, 0, 0])
    store.replace([rows["a"]])
    assert list(store.rows()) == ["a"]
    assert len(store) == 1


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["a/1.png", "b/2.png"], ("a", "b")),
        (["a/1.png", "2.png"], ("", "")),
        (["train/a/1.png", "val/b/2.png"], ("a", "b")),
        (["train/1.png", "val/2.png"], ("train", "val")),
        (["a/x/1.png", "b/2.png"], ("a", "b")),
    ],
)
def test_labels_are_sub_folders(paths, labels):
    assert labels_of(paths) == labels


def with_exif(path: Path, tags: dict[int, str], kind: str = "JPEG") -> bytes:
    picture, exif = Image.new("RGB", (20, 20)), Image.Exif()
    for tag, value in tags.items():
        exif[tag] = value
    picture.save(path, kind, exif=exif)
    return path.read_bytes()


def test_the_date_is_the_shutter_s_then_the_file_s(tmp_path):
    exif = Image.Exif()
    exif[306] = "2020:01:02 03:04:05"
    exif.get_ifd(0x8769)[36867] = "2019:06:07 08:09:10"
    Image.new("RGB", (20, 20)).save(tmp_path / "a.jpg", exif=exif)
    date = photo_date((tmp_path / "a.jpg").read_bytes(), 0)
    assert date == (datetime(2019, 6, 7, 8, 9, 10), "exif")
    changed = with_exif(tmp_path / "b.png", {306: "2020:01:02 03:04:05"}, "PNG")
    assert photo_date(changed, 0) == (datetime(2020, 1, 2, 3, 4, 5), "exif")
    unset = with_exif(tmp_path / "c.jpg", {306: "0000:00:00 00:00:00"})
    assert photo_date(unset, 86400) == (datetime(1970, 1, 2), "file")
    assert photo_date(b"no picture", 1.9) == (datetime(1970, 1, 1, 0, 0, 1), "file")


def test_the_date_of_a_heic(tmp_path):
    import pillow_heif

    exif = Image.Exif()
    exif[306] = "2021:05:06 07:08:09"
    heif = pillow_heif.from_pillow(Image.new("RGB", (64, 64)))
    heif.save(tmp_path / "a.heic", exif=exif.tobytes())
    date = photo_date((tmp_path / "a.heic").read_bytes(), 0)
    assert date == (datetime(2021, 5, 6, 7, 8, 9), "exif")


# --- The command line ---------------------------------------------------------------------------


def test_the_command_embeds_names_what_it_left_out_and_exits_with_1(cli, photos, tmp_path):
    words = ("embed", photos, "--size", 32, "--workers", 0, "--out", tmp_path / "out")
    code, _, err = cli(*words)
    assert code == 0, err
    assert "11 photos: 11 to compute" in err
    assert "photos/s" in err
    (photos / "dog" / "bad.jpg").write_bytes(b"GIF89a")
    code, _, err = cli(*words)
    assert code == 1
    assert "dog/bad.jpg: left out: got a GIF file that is cut short" in err
    assert len(read_features(tmp_path / "out")) == 11
    code, _, err = cli(*words)  # still bad, and still said
    assert (code, "dog/bad.jpg: left out" in err) == (1, True)


def test_the_command_says_what_is_wrong(cli, photos, tmp_path):
    assert cli("embed", tmp_path / "nowhere")[0] == 2
    code, _, err = cli("embed", photos, "--size", 64, "--resize", 32)
    assert (code, "no shorter side" in err) == (2, True)


def test_a_kept_precision_is_taken_up_again(cli, photos, tmp_path):
    out = tmp_path / "out"
    assert cli("embed", photos, "--size", 32, "--precision", "bf16", "--out", out)[0] == 0
    code, _, err = cli("embed", photos, "--size", 32, "--out", out)
    assert code == 0, err
    assert json.loads((out / "settings.json").read_text())["precision"] == "bf16"
