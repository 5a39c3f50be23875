"""Evaluations shared out by torchrun give every process the figures of one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.report_cases import results
from helpers.torchrun_cases import compare, launch, launch_well
from PIL import Image

from dino.system.distributed import World, joined

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--size", "32", "--precision", "fp32", "--threads", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two classes, an odd number of photos, one of them not readable; outlined/ for masks."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for part, num in (("train", 7), ("val", 5)):
        for name, red in (("dark", 60), ("light", 160)):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(num):
                noise = np.clip(red + rng.normal(0, 60, (40, 48, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(noise).save(folder / f"{number}.png")
    (root / "train" / "dark" / "broken.png").write_bytes(b"no photo")
    for name in ("images", "masks"):
        (root / "outlined" / name).mkdir(parents=True)
    for number in range(3):
        noise = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        mask = np.zeros((64, 64), dtype=np.uint8)
        mask[number * 8 : 40, 10:50] = 255
        Image.fromarray(noise).save(root / "outlined" / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "outlined" / "masks" / f"{number}.png")
    return root


@pytest.mark.parametrize(
    "words",
    [
        ("knn", "--train", "{}/train", "--val", "{}/val", "--k", "1,3", "--workers", "0"),
        pytest.param(
            ("linear", "--train", "{}/train", "--val", "{}/val", "--epochs", "3", "--batch-size", "5",
             "--workers", "1", "--held-out", "0.2"),
            marks=pytest.mark.slow,
        ),
        pytest.param(("segmentation", "--data", "{}/outlined"), marks=pytest.mark.slow),
    ],
    ids=["knn", "linear", "segmentation"],
)  # fmt: skip
def test_two_processes_report_what_one_does(words, photos, small_weights, tmp_path):
    words = [word.format(photos) for word in words]
    for processes in (1, 2):
        env = {
            "DINO_WEIGHTS": small_weights,
            "DINO_CHECKPOINTS": tmp_path / f"checkpoints-{processes}",
        }
        command = ("-m", "dino", "eval", *words, *QUICK, "--out", tmp_path / f"out-{processes}")
        done = launch(*command, processes=processes, cwd=tmp_path, env=env)
        # An unreadable photo ends in code 1, which torchrun reports in words of its own.
        assert (done.returncode != 0) == (words[0] != "segmentation"), done.stderr[-3000:]
        assert ("could not be read" in done.stderr) == (words[0] != "segmentation")
    compare(results(tmp_path / "out-1")["rows"], results(tmp_path / "out-2")["rows"])
    if words[0] == "segmentation":
        methods = {row["method"] for row in results(tmp_path / "out-2")["rows"]}
        assert methods == {"attention", "lost", "tokencut", "maskcut", "all foreground"}
    # One report, one table, however many processes.
    assert len((tmp_path / "out-2" / "history.jsonl").read_text().splitlines()) == 1


def test_alone_everything_is_ones_own():
    world = World()
    assert list(world.rows(3)) == [0, 1, 2]
    assert list(world.gathered({2: "b", 0: "a"}).items()) == [(0, "a"), (2, "b")]
    rows, values = world.gathered_rows([1, 0], torch.tensor([1.0, 0.0]))
    assert rows == [1, 0]
    assert values.tolist() == [1, 0]


def test_shares_have_every_row_once():
    rows = [row for rank in range(3) for row in World(rank, 3).rows(8)]
    assert sorted(rows) == list(range(8))


_GATHER = """
import json, sys, torch
from dino.system.distributed import joined
with joined("cpu", exchange_on="cpu") as world:
    rows = list(world.rows(5)) if "empty" not in sys.argv or world.leads else []
    values = torch.tensor([[10.0 * row, 1.0] for row in rows]) if rows else None
    found = world.gathered_rows(rows, values)
    words = world.gathered({row: str(row) for row in rows})
    nothing = world.gathered_rows([], None)
    if not world.leads:
        print(json.dumps([found[0], found[1].tolist(), list(words), nothing]))
"""


@pytest.mark.parametrize(
    ("extra", "rows"),
    [pytest.param((), [0, 1, 2, 3, 4], marks=pytest.mark.slow), (("empty",), [0, 2, 4])],
)
def test_what_processes_found_comes_in_the_order_of_rows(extra, rows, tmp_path):
    script = tmp_path / "gather.py"
    script.write_text(_GATHER)
    done = launch_well(script, *extra, cwd=tmp_path)
    found, values, words, nothing = json.loads(done.stdout)
    assert found == words == rows
    assert values == [[10.0 * row, 1.0] for row in rows]
    assert nothing == [[], None]


def test_without_torchrun_one_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as world:
        assert world == World(0, 1, 0)
        assert world.leads
