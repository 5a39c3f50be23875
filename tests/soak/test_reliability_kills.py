"""A run that is killed at any moment goes on, and ends with the weights of the unbroken run."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.crash_cases import Crashes
from helpers.training_cases import TINY, write_photos
from safetensors.torch import load_file

from dino.training.config import TrainConfig
from dino.training.runs import checkpoint
from dino.training.runs.folder import METRICS, PROBES, read_lines, read_run

STEPS, SAVE_EVERY = 200, 4
SEED = 7
# What a run measures of the machine rather than of the training.
_OF_THE_MACHINE = {"images_per_s", "data_wait", "peak_memory"}


@pytest.fixture(scope="module")
def crashes():
    found = Crashes()
    yield found
    found.close()


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), 8)


@pytest.fixture(scope="module")
def config(small_weights) -> str:
    """A network of two blocks, two steps an epoch, with dropped paths."""
    started = replace(TINY, init=str(small_weights), patch_size=8, drop_path=0.2)
    return replace(
        started, epochs=STEPS // 2, save_every=SAVE_EVERY, keep=2, probe_every=25
    ).to_json()


@pytest.fixture(scope="module")
def unbroken(crashes, photos, config, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    assert not crashes.order(run, photos, config)["killed"]
    return run


def assert_same_run(run: Path, unbroken: Path) -> None:
    """The same bits in the checkpoint and the weights, the same lines of metrics, nothing left over."""
    assert read_run(run).state == "finished"
    (left, problems), (right, _) = (
        checkpoint.load_newest(folder / "checkpoints") for folder in (run, unbroken)
    )
    assert problems == []
    assert left.step == right.step == STEPS
    for part in ("student", "teacher", "loss"):
        ours, theirs = getattr(left, part), getattr(right, part)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), part
    for name in ("teacher", "head"):
        ours, theirs = (load_file(at / "weights" / f"{name}.safetensors") for at in (run, unbroken))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name
    for name in (METRICS, PROBES):
        assert lines(run / name) == lines(unbroken / name)
    left_over = [path for path in run.rglob(".*") if path.is_file()]
    digests = {path.stem for path in run.glob("checkpoints/*.sha256")}
    assert left_over == []
    assert digests == {path.stem for path in run.glob("checkpoints/*.pt")}


def lines(path: Path) -> list[dict]:
    return [
        {k: v for k, v in line.items() if k not in _OF_THE_MACHINE}
        for line in read_lines(path).lines
    ]


def killed_before_each(crashes, run, photos, config, *, until) -> list[str]:
    """Kill a child before its first file operation, the next before its second, and so on, until one
    `until` which holds, or one that ends by itself; the operations."""
    seen = []
    for number in range(200):
        answer = crashes.order(run, photos, config, at_operation=number)
        if not answer["killed"]:
            return seen
        seen.append(answer["before"])
        if until(answer["operations"]):
            return seen
    raise AssertionError("no end of file operations")


@pytest.mark.soak
def test_a_run_killed_before_every_file_operation_goes_on(
    crashes, photos, config, unbroken, tmp_path, figure
):
    """Of its start, of a save in the middle, and of its end, in one run."""
    run = tmp_path / "run"
    start = killed_before_each(
        crashes, run, photos, config, until=lambda met: met[-1] == f"open {METRICS}"
    )
    middle = killed_before_each(
        crashes,
        run,
        photos,
        config,
        until=lambda met: (
            any("remove" in name and ".pt" in name for name in met[:-1])
            and met[-1] == f"open {METRICS}"
        ),
    )
    crashes.order(run, photos, config, at_step=STEPS - 1, delay_s=0)
    end = killed_before_each(crashes, run, photos, config, until=lambda met: False)
    assert_same_run(run, unbroken)
    for kind in ("write 1 of", "write 100 of", "fsync", "rename", "remove"):
        assert any(name.startswith(kind) and "checkpoints" in name for name in middle), kind
    assert any(name.startswith("rename weights/") for name in end)
    kinds = Counter(name.split()[0] for name in start + middle + end)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    figure(
        7,
        f"kill -9 before every file operation of a start, a save and an end ({STEPS} steps)",
        f"{sum(kinds.values())} kills ({told}), each resumed; final weights bit-identical",
    )


@pytest.mark.soak
def test_a_run_killed_at_fifty_random_moments_goes_on(
    crashes, photos, config, unbroken, tmp_path, figure
):
    rng = random.Random(SEED)
    run, killed, lost = tmp_path / "run", 0, []
    for step in sorted(rng.sample(range(1, STEPS), 50)):
        answer = crashes.order(run, photos, config, at_step=step, delay_s=rng.uniform(0, 0.05))
        killed += answer["killed"]
        whole = checkpoint.list_checkpoints(run / "checkpoints")
        at = int(whole[0].stem.removeprefix("step-")) if whole else 0
        lost.append(max(line["step"] for line in read_lines(run / METRICS).lines) - at)
    assert killed == 50
    assert max(lost) <= SAVE_EVERY
    crashes.order(run, photos, config)
    assert_same_run(run, unbroken)
    figure(
        7,
        f"50 × kill -9 at random moments (seed {SEED}), {STEPS} steps, a checkpoint every {SAVE_EVERY}",
        f"50 of 50 resumed, at most {max(lost)} steps to do again; final weights bit-identical",
    )


def test_the_lines_that_are_compared_are_those_of_the_training(unbroken):
    first = json.loads((unbroken / METRICS).read_text().splitlines()[0])
    assert first.keys() >= _OF_THE_MACHINE | {"step", "loss", "lr"}
    assert TrainConfig.from_json((unbroken / "config.json").read_text()).drop_path == 0.2
