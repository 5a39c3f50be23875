"""`eval` on the command line: figures, files, the cache of features, exit codes."""

import csv
import json
import os
from dataclasses import asdict

import numpy as np
import pytest
from helpers.report_cases import results
from PIL import Image

import dino
from dino.evaluation import knn_accuracy
from dino.evaluation.mask_data import open_masks
from dino.evaluation.segmentation import attention_jaccard
from dino.features.embedding import embed_folder
from dino.media.photo_folders import open_folder

COLOURS = {"blue": (60, 60, 200), "red": (200, 60, 60)}


@pytest.fixture
def photos(tmp_path):
    """train/ and val/ with two classes of noisy one-coloured photos, 6 and 3 of each."""
    rng = np.random.default_rng(0)
    for part, num in (("train", 6), ("val", 3)):
        for name, colour in COLOURS.items():
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(num):
                rgb = np.clip(np.array(colour) + rng.normal(0, 20, (40, 48, 3)), 0, 255)
                Image.fromarray(rgb.astype(np.uint8)).save(folder / f"{number}.png")
    return "--train", tmp_path / "train", "--val", tmp_path / "val"


@pytest.fixture
def masks(tmp_path, photo_file):
    """images/ and masks/ with one photo, whose disc is outlined."""
    for name in ("images", "masks"):
        (tmp_path / "outlined" / name).mkdir(parents=True)
    (tmp_path / "outlined" / "images" / "disc.png").write_bytes(photo_file.read_bytes())
    y, x = np.mgrid[0:120, 0:160]
    disc = (y - 60) ** 2 + (x - 100) ** 2 < 30**2
    Image.fromarray(disc).save(tmp_path / "outlined" / "masks" / "disc.png")
    return tmp_path / "outlined"


def cache_files(tmp_path) -> dict:
    return {path: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints").rglob("*.npz")}


QUICK = ("--size", 32, "--workers", 0, "--precision", "fp32")


def test_knn_reports_what_the_library_computes(cli, photos, small_weights, tmp_path):
    code, out, err = cli("knn", *photos, *QUICK, "--k", "1,5", "--temperature", 0.1)
    assert code == 0, err
    backbone = dino.load(small_weights, precision="fp32")
    a, b = (embed_folder(backbone, open_folder(photos[i]), size=32, workers=0) for i in (1, 3))
    found = results(tmp_path / "results")
    assert [row["k"] for row in found["rows"]] == [1, 5]
    for row in found["rows"]:
        expected = knn_accuracy(a.cls, a.labels, b.cls, b.labels, k=row["k"], temperature=0.1)
        assert (row["top1"], row["top5"]) == expected
    assert found["weights"]["sha256"] == backbone.weights_sha256
    assert found["weights"]["name"] == "small"
    assert found["data"] == {
        "path": str(photos[3]),
        "num_images": 6,
        "train_path": str(photos[1]),
        "num_train": 12,
        "num_classes": 2,
    }
    assert found["settings"] == {"size": 32, "resize": None, "temperature": 0.1}
    assert found["threads"] >= 1
    assert found["seconds"] > 0
    assert "T" in found["date"]
    assert out.splitlines()[0].split("  ")[0] == "k"
    assert len(out.splitlines()) == 3


def test_every_evaluation_adds_a_line_to_the_history(cli, photos, tmp_path):
    cli("knn", *photos, *QUICK, "--k", 1, "--out", "there")
    first = results(tmp_path / "there")
    cli("knn", *photos, *QUICK, "--k", "3,5", "--out", "there")
    second = results(tmp_path / "there")
    lines = (tmp_path / "there" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [first, second]
    with (tmp_path / "there" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["k"] for row in rows] == ["3", "5"]
    assert {row["task"] for row in rows} == {"knn"}
    assert rows[0]["weights_sha256"] == second["weights"]["sha256"]
    assert float(rows[1]["top1"]) == second["rows"][1]["top1"]


def test_features_are_computed_once(cli, photos, tmp_path):
    _, out, _ = cli("knn", *photos, *QUICK, "--k", 1)
    files = cache_files(tmp_path)
    assert len(files) == 2
    assert (tmp_path / "checkpoints" / "cache" / ".gitignore").read_text() == "*\n"
    _, again, err = cli("knn", *photos, *QUICK, "--k", 1)
    assert again == out
    assert err.count("computed before") == 2
    assert cache_files(tmp_path) == files


def test_another_size_or_a_changed_photo_is_computed_anew(cli, photos, tmp_path):
    cli("knn", *photos, *QUICK, "--k", 1)
    _, _, err = cli("knn", *photos, *QUICK, "--k", 1, "--resize", 32)
    assert "computed before" not in err
    photo = photos[3] / "red" / "0.png"
    os.utime(photo, ns=(1, 1))
    _, _, err = cli("knn", *photos, *QUICK, "--k", 1)
    assert err.count("computed before") == 1
    assert len(cache_files(tmp_path)) == 5


@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "empty"])
def test_a_damaged_file_is_computed_again(cli, photos, tmp_path, damage):
    _, out, _ = cli("knn", *photos, *QUICK, "--k", 1)
    for path in cache_files(tmp_path):
        data = bytearray(path.read_bytes())
        if damage == "cut":
            del data[len(data) // 2 :]
        elif damage == "flipped":
            data[len(data) // 2] ^= 1
        elif damage == "empty":
            data.clear()
        if damage == "other":
            np.savez(path, features=np.zeros((1, 1, 1)), kept=[0], key="another")
        else:
            path.write_bytes(data)
    code, again, err = cli("knn", *photos, *QUICK, "--k", 1)
    assert code == 0, err
    assert again == out
    assert "computed before" not in err
    _, _, err = cli("knn", *photos, *QUICK, "--k", 1)
    assert err.count("computed before") == 2


def test_figures_that_mislead_are_said_to(cli, photos):
    _, _, err = cli("knn", *photos, *QUICK, "--k", "1,12")
    assert "all of them vote" not in err
    assert "are both" not in err
    code, _, err = cli("knn", *photos, *QUICK, "--k", "1,13,20")
    assert code == 0, err
    assert "--k 13,20 is more than the 12 photos of " in err
    for task in (("knn", "--k", 1), ("linear", "--frozen-features", "--epochs", 1)):
        code, _, err = cli(*task, *photos[:2], "--val", photos[1] / ".", *QUICK)
        assert code == 0, err
        assert f"--train and --val are both {photos[1]}: photos are told by themselves" in err


def test_without_a_cache_nothing_is_kept(cli, photos, tmp_path):
    cli("knn", *photos, *QUICK, "--k", 1, "--no-cache")
    assert not (tmp_path / "checkpoints").exists()
    cli("knn", *photos, *QUICK, "--k", 1, "--cache", "elsewhere")
    assert len(list((tmp_path / "elsewhere").glob("*.npz"))) == 2


@pytest.mark.parametrize("protocol", [("--frozen-features",), ("--frozen-features", "--flip"), ()])
def test_linear_separates_two_colours(cli, photos, tmp_path, protocol):
    options = ("--epochs", 12, "--batch-size", 4, "--rates", "1,10", "--held-out", 0.3)
    code, out, err = cli("linear", *photos, *QUICK, *options, *protocol)
    assert code == 0, err
    found = results(tmp_path / "results")
    chosen = [row for row in found["rows"] if row["chosen"]]
    assert len(chosen) == 1
    assert chosen[0]["top1"] == 100.0
    assert found["settings"]["protocol"] == ("frozen features" if protocol else "random crops")
    assert found["settings"]["num_held_out"] == 4
    assert found["settings"]["rates"] == [1.0, 10.0]
    assert found["data"]["num_train"] == 12
    line = next(line for line in out.splitlines() if "chosen" in line)
    assert line.split()[0] == f"{chosen[0]['rate']:g}"


def test_segmentation_reports_what_the_library_computes(cli, masks, small_weights, tmp_path):
    code, out, err = cli(
        "segmentation", "--data", masks, "--size", 70, "--masses", "0.5", "--precision", "fp32",
        "--twin", small_weights, "--discovery", "none",
    )  # fmt: skip
    assert code == 0, err
    backbone = dino.load(small_weights, precision="fp32")
    expected = attention_jaccard(backbone, open_masks(masks), size=64, masses=[0.5, 0.95])
    found = results(tmp_path / "results")
    rows = {(row["network"], row["mass"]): row for row in found["rows"]}
    assert rows["weights", 0.5]["best_head"] == expected.at(0.5).best_head
    assert rows["weights", 0.95]["mean_head"] == expected.at(0.95).mean_head
    assert rows["twin", 0.5]["best_head"] == expected.at(0.5).best_head
    assert rows["random weights", 0.5]["best_head"] != expected.at(0.5).best_head
    assert rows["all foreground", None]["best_head"] == expected.all_foreground
    curve = [mass for network, mass in rows if network == "weights"]
    assert curve == [round(0.1 + 0.05 * step, 2) for step in range(18)]
    assert found["settings"]["size"] == 64
    assert found["data"]["num_objects"] == 1
    assert "oracle" in out.splitlines()[0]
    assert "an oracle, which knows each object" in out
    assert len(out.splitlines()) == 6


def test_segmentation_reports_objects_found_without_labels(cli, masks, small_weights, tmp_path):
    options = ("--size", 64, "--precision", "fp32", "--twin", small_weights, "--keys", "plain")
    code, out, err = cli("segmentation", "--data", masks, *options)
    assert code == 0, err
    backbone = dino.load(small_weights, precision="fp32")
    methods = ("lost", "tokencut", "maskcut")
    expected = attention_jaccard(
        backbone, open_masks(masks), size=64, masses=[0.6], discovery=methods, keys="plain"
    )
    found = results(tmp_path / "results")
    rows = {(row["network"], row["method"]): row for row in found["rows"]}
    networks = ("weights", "twin", "random weights")
    assert {key for key in rows if key[1] in methods} == {(n, m) for n in networks for m in methods}
    for one in expected.discovery[:-1]:
        for network in ("weights", "twin"):
            row = rows[network, one.method]
            assert {name: row[name] for name in asdict(one)} == asdict(one)
    whole = rows["all foreground", "all foreground"]
    assert whole["best_head"] == whole["best_mask"] == pytest.approx(expected.all_foreground)
    assert whole["corloc"] == expected.discovery[-1].corloc
    assert found["settings"]["discovery"] == list(methods)
    assert found["settings"]["keys"] == "plain"
    with (tmp_path / "results" / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(found["rows"])
    table = [line for line in out.splitlines() if "tokencut" in line]
    assert len(table) == 3
    assert f"{expected.discovery[1].iou:.3f}" in table[0]
    assert "an oracle where there are several" in out


def test_an_unknown_method_of_discovery_is_named(cli, masks):
    code, _, err = cli("segmentation", "--data", masks, "--discovery", "lost,sam")
    assert code == 2
    assert "method is 'sam'; expected one of lost, tokencut, maskcut" in err


def test_an_unreadable_photo_is_named_and_the_rest_is_reported(cli, photos, tmp_path):
    (photos[3] / "red" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    for _ in range(2):  # the second time from the cache
        code, out, err = cli("knn", *photos, *QUICK, "--k", 1)
        assert code == 1
        assert "1 photo could not be read, left out: " in err
        assert "0.png" in err
        assert results(tmp_path / "results")["data"]["num_images"] == 5
        assert len(out.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("knn", "--k", "10;20"), "expected whole numbers with commas between"),
        (("knn", "--k", "0"), "expected 1 or more"),
        (("knn", "--temperature", "0"), "above 0"),
        (("linear", "--flip"), "--flip belongs to --frozen-features"),
        (("linear", "--rates", "0.1,fast"), "expected numbers with commas between"),
        (("linear", "--rates", "0"), "one or more above 0"),
        (("linear", "--held-out", "2"), "a share between 0 and 1"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(cli, photos, words, says):
    command, *options = words
    code, _, err = cli(command, *photos, *options)
    assert code == 2
    assert says in err
    assert "Traceback" not in err
    assert err.count("error:") == 1


def test_folders_that_do_not_fit_are_named(cli, photos, tmp_path):
    flat = ("--train", photos[1] / "red", "--val", photos[3])
    code, _, err = cli("knn", *flat)
    assert code == 2
    assert "needs the photos of each class in a sub-folder" in err
    code, _, err = cli("segmentation", "--data", photos[1])
    assert code == 2
    assert "holds no outlined photos" in err
    (tmp_path / "file").write_text("")
    code, _, err = cli("knn", *photos, "--out", "file")
    assert code == 2
    assert "cannot be made a folder" in err
