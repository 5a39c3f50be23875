"""`eval retrieval` and `eval copies` on the command line: figures, sheets, exit codes, two processes."""

import pickle

import numpy as np
import pytest
from helpers.report_cases import results
from helpers.retrieval_cases import benchmark, class_folder, pattern, save
from helpers.torchrun_cases import compare, launch
from PIL import Image

import dino
from dino.evaluation.copies import copy_detection
from dino.evaluation.copies_data import open_photos
from dino.evaluation.report import own_names
from dino.evaluation.retrieval import mean_average_precision
from dino.evaluation.retrieval_data import open_benchmark
from dino.evaluation.scales import multiscale_features

QUICK = ("--size", 64, "--workers", 0, "--precision", "fp32", "--device", "cpu", "--threads", 1)


@pytest.fixture
def classes(tmp_path):
    return class_folder(tmp_path / "photos")


@pytest.fixture
def oxford(tmp_path):
    root = tmp_path / "oxford"
    (root / "jpg").mkdir(parents=True)
    (root / "gnd_small.pkl").write_bytes(pickle.dumps(benchmark(root)))
    return root


def test_retrieval_by_class_is_kept_and_shown(cli, classes, tmp_path):
    code, out, err = cli("retrieval", "--data", classes, *QUICK, "--pages", 2)
    assert code == 0, err
    found = results(tmp_path / "results")
    assert found["task"] == "retrieval"
    assert [(row["network"], row["protocol"]) for row in found["rows"]] == [
        ("weights", "class"),
        ("random weights", "class"),
    ]
    # Photos of a class are one pattern with a little noise, which any network sees.
    assert found["rows"][0]["map"] == 100.0
    assert found["rows"][0]["p1"] == 100.0
    assert found["rows"][0]["num_queries"] == found["data"]["num_images"] == 12
    assert found["settings"]["scales"] == pytest.approx([1, 2**-0.5, 0.5])
    columns = "network relevant mAP % P@1 % P@5 % P@10 % queries"
    assert " ".join(out.splitlines()[0].split()) == columns
    with Image.open(tmp_path / "results" / "retrieval.png") as sheet:
        assert sheet.width > 6 * 180
        assert sheet.height > 2 * 180
    _, again, err = cli("retrieval", "--data", classes, *QUICK)
    assert again == out
    assert err.count("computed before") == 2
    _, _, err = cli("retrieval", "--data", classes, *QUICK, "--no-multiscale", "--no-random")
    assert "computed before" not in err


def test_the_benchmark_reports_what_the_library_computes(cli, oxford, small_weights, tmp_path):
    code, _, err = cli("retrieval", "--data", oxford, *QUICK, "--no-random", "--pages", 5)
    assert code == 0, err
    found = results(tmp_path / "results")
    assert [row["protocol"] for row in found["rows"]] == ["easy", "medium", "hard"]
    assert [row["num_queries"] for row in found["rows"]] == [2, 2, 1]
    assert found["data"]["num_queries"] == 2
    backbone = dino.load(small_weights, precision="fp32", device="cpu")
    data = open_benchmark(oxford)
    a, _ = multiscale_features(backbone, data.database, size=64)
    b, _ = multiscale_features(backbone, data.queries, size=64)
    ranks = np.argsort(-(a @ b.T).numpy(), axis=0, kind="stable")
    assert ranks[0].tolist() == [0, 1]  # both are exact copies, query 0 in its box
    for row in found["rows"]:
        scores = mean_average_precision(ranks, data.protocols[row["protocol"]])
        assert row["map"] == pytest.approx(100 * scores.map)
        assert [row["p1"], row["p5"], row["p10"]] == pytest.approx(100 * scores.pr)
    cli("retrieval", "--data", oxford, *QUICK, "--no-random", "--no-boxes", "--out", "whole")
    whole = results(tmp_path / "whole")
    assert whole["rows"][0]["map"] < found["rows"][0]["map"] == 100.0


def test_queries_of_their_own(cli, classes, tmp_path):
    queries = class_folder(tmp_path / "queries", num_photos=1)
    words = ("--database", classes, "--queries", queries)
    code, _, err = cli("retrieval", *words, *QUICK, "--no-random")
    assert code == 0, err
    found = results(tmp_path / "results")
    assert (found["data"]["num_images"], found["data"]["num_queries"]) == (12, 3)
    assert found["data"]["queries_path"] == str(queries)
    assert found["rows"][0]["p1"] == 100.0


def test_left_out_photos_are_named_and_end_in_code_1(cli, classes, oxford):
    save(pattern(9), classes / "alone" / "single.png")
    code, out, err = cli("retrieval", "--data", classes, *QUICK, "--no-random")
    assert code == 1
    assert "without another of their class to find, counted nowhere: 1 photo, " in err
    assert "single.png" in err
    assert out
    (classes / "class-0" / "0-1.png").write_bytes(b"no photo")
    code, out, err = cli("retrieval", "--data", classes, *QUICK, "--no-random")
    assert code == 1
    assert "1 photo could not be read, left out: " in err
    assert "0-1.png" in err
    assert "single.png" in err
    (oxford / "jpg" / "image_0.png").write_bytes(b"no photo")
    code, out, err = cli("retrieval", "--data", oxford, *QUICK, "--no-random")
    assert code == 1
    assert "image_0.png" in err
    # Query 0 has nothing easy to find any more.
    assert out.splitlines()[1].split()[-1] == "1"


def test_copies_report_what_the_library_computes(cli, classes, small_weights, tmp_path):
    words = ("--data", classes, *QUICK, "--seed", 3, "--pages", 2)
    code, out, err = cli("copies", *words)
    assert code == 0, err
    found = results(tmp_path / "results")
    backbone = dino.load(small_weights, precision="fp32", device="cpu")
    expected = copy_detection(backbone, open_photos(classes), size=64, seed=3, workers=0)
    rows = [row for row in found["rows"] if row["network"] == "weights"]
    assert [row["distortion"] for row in rows] == list(expected.scores)
    for row in rows:
        score = expected.scores[row["distortion"]]
        assert row["map"] == pytest.approx(100 * score.map)
        assert row["first"] == pytest.approx(100 * score.first)
        assert row["num_queries"] == score.num_queries
    assert len(found["rows"]) == 2 * len(rows)
    assert found["settings"]["kept_components"] == expected.components == 3
    assert found["data"]["num_distractors"] == 6
    assert "6 originals, 6 distractors (every other photo of" in out.splitlines()[-1]
    with Image.open(tmp_path / "results" / "copies.png") as sheet:
        assert sheet.width > 7 * 180
    _, again, err = cli("copies", *words)
    assert again == out
    assert err.count("computed before") == 6


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("retrieval",), "expected --data, or else --database and --queries together"),
        (("retrieval", "--data", "photos", "--queries", "photos"), "expected --data, or else"),
        (("retrieval", "--database", "photos"), "expected --data, or else"),
        (("retrieval", "--data", "empty"), "empty holds no photos"),
        (("retrieval", "--data", "photos/class-0"), "in a sub-folder of its own"),
        (("retrieval", "--data", "nowhere"), "nowhere is not a folder"),
        (("retrieval", "--data", "oxford", "--limit", "2"), "--limit belongs to folders with classes"),
        (("copies", "--data", "empty"), "empty holds no photos"),
        (("copies", "--data", "photos", "--distractors", "empty"), "empty holds no photos"),
        (("copies", "--data", "photos", "--distractors", "photos"), "both an original and a distractor"),
        (("copies", "--data", "photos", "--limit", "2"), "expected 4 or more"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_sentence_and_exit_code_2(cli, classes, oxford, tmp_path, words, says):
    (tmp_path / "empty").mkdir()
    code, _, err = cli(*words, *QUICK)
    assert code == 2
    assert says in err
    assert "Traceback" not in err
    assert err.count("error:") == 1


@pytest.mark.parametrize("damage", ["missing", "box", "pickle"])
def test_a_wrong_benchmark_is_one_sentence(cli, oxford, tmp_path, damage):
    document = pickle.loads((oxford / "gnd_small.pkl").read_bytes())
    if damage == "missing":
        (oxford / "jpg" / "query_b.png").unlink()
    if damage == "box":
        document["gnd"][0]["bbx"] = [500.0, 0.0, 600.0, 10.0]
        (oxford / "gnd_small.pkl").write_bytes(pickle.dumps(document))
    if damage == "pickle":
        (oxford / "gnd_small.pkl").write_bytes(b"cos\nsystem\n(S'touch canary'\ntR.")
    code, _, err = cli("retrieval", "--data", oxford, *QUICK)
    assert code == 2
    assert {"missing": "query_b.jpg", "box": "query_a.png: got the box", "pickle": "os.system"}[
        damage
    ] in err
    assert "Traceback" not in err
    assert not (tmp_path / "canary").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [("retrieval",), ("copies", "--seed", "1")],
    ids=["retrieval", "copies"],
)
def test_two_processes_report_what_one_does(words, classes, small_weights, tmp_path):
    (classes / "class-1" / "1-3.png").write_bytes(b"no photo")
    save(pattern(0, 64, 40), classes / "class-0" / "tall.png")
    for processes in (1, 2):
        out = ("--out", tmp_path / f"out-{processes}", "--pages", 1)
        env = {
            "DINO_WEIGHTS": small_weights,
            "DINO_CHECKPOINTS": tmp_path / f"checkpoints-{processes}",
        }
        done = launch(
            *("-m", "dino", "eval", *words, "--data", classes, *QUICK, *out),
            processes=processes,
            cwd=tmp_path,
            env=env,
        )
        assert done.returncode != 0, done.stderr[-3000:]
        assert "1 photo could not be read, left out: " in done.stderr
    compare(results(tmp_path / "out-1")["rows"], results(tmp_path / "out-2")["rows"])
    assert len((tmp_path / "out-2" / "history.jsonl").read_text().splitlines()) == 1


def test_the_table_names_networks_by_their_own_names(cli, classes):
    code, out, _ = cli("retrieval", "--data", classes, *QUICK)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split()[0] == "network"
    named = [line.partition("  ")[0] for line in lines[1:] if line.strip("- |")]
    assert named == ["small", "random weights"]


def test_a_twin_of_the_same_name_is_told_apart():
    names = {"weights": "vit", "twin": "vit", "random weights": "vit"}
    assert own_names(names) == {
        "weights": "vit",
        "twin": "vit (twin)",
        "random weights": "random weights",
    }
