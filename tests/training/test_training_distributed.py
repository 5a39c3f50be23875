"""Two processes with half the batch each end where one process does."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.torchrun_cases import launch, launch_well
from helpers.training_cases import TINY, write_photos

from dino.training.config import TrainConfig
from dino.training.loop import fit
from dino.training.runs import checkpoint
from dino.training.runs.folder import read_run

ROOT = Path(__file__).resolve().parents[2]
CONFIG = replace(TINY, drop_path=0.0, batch_size=8, epochs=3, freeze_last_layer=0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), 16)


def torchrun(config: TrainConfig, photos: Path, run: Path) -> None:
    file = run.with_suffix(".json")
    file.write_text(config.to_json())
    words = ("--config", file, "--data", photos, "--out", run, "--workers", 0, "--threads", 1)
    launch_well("-m", "dino", "train", *words, "--device", "cpu", cwd=ROOT)


def states(run: Path) -> dict[str, np.ndarray]:
    saved, problems = checkpoint.load_newest(run / "checkpoints")
    assert not problems
    found = {f"student.{k}": v for k, v in saved.student.items()}
    found |= {f"teacher.{k}": v for k, v in saved.teacher.items()} | {
        "center": saved.loss["center"]
    }
    return {name: value.numpy() for name, value in found.items()}


@pytest.mark.parametrize("targets", ["softmax", pytest.param("sinkhorn", marks=pytest.mark.slow)])
def test_two_processes_equal_one(photos, tmp_path, targets):
    # SGD, whose steps are as small as the differences of rounding; Adam divides those by themselves
    # where a gradient is truly zero.
    config = replace(CONFIG, targets=targets, optimizer="sgd", base_lr=1.0)
    alone = fit(config, photos, tmp_path / "alone", workers=0, say=lambda line: None)
    torchrun(config, photos, tmp_path / "two")
    one, two = states(alone), states(tmp_path / "two")
    assert one.keys() == two.keys()
    start = fit(
        replace(config, max_steps=1, base_lr=1e-12), photos, tmp_path / "start", workers=0, say=str
    )
    moved = max(np.abs(one[name] - value).max() for name, value in states(start).items())
    assert moved > 1e-3  # so that agreeing to 1e-5 means something
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-5, err_msg=name)
    metrics = [read_run(run).metrics for run in (alone, tmp_path / "two")]
    assert len(metrics[0]) == len(metrics[1]) == 6
    for ours, theirs in zip(*metrics, strict=True):
        for name in ("loss", "teacher_entropy", "batch_mean_entropy", "kl", "center_norm"):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-4), name


@pytest.mark.slow
def test_adamw_over_two_processes_equals_one(photos, tmp_path):
    alone = fit(CONFIG, photos, tmp_path / "alone", workers=0, say=str)
    torchrun(CONFIG, photos, tmp_path / "two")
    one, two = states(alone), states(tmp_path / "two")
    for name in one:
        pair = [one[name], two[name]]
        if name.endswith("attn.qkv.bias"):  # the key third has no true gradient
            pair = [np.delete(value, slice(192, 384)) for value in pair]
        # Adam divides a gradient by its own size: where that is next to nothing, rounding, which
        # differs between CPUs, may move one weight in thousands a little further.
        difference = np.abs(np.subtract(*pair))
        assert (difference > 1e-5).mean() <= 1e-4, name
        assert difference.max() < 1e-4, name


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_refused(photos, tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(CONFIG.to_json()), "batch_size": 7}))
    words = ("--data", photos, "--out", tmp_path / "run", "--workers", 0, "--threads", 1)
    done = launch("-m", "dino", "train", "--config", file, *words, cwd=ROOT)
    assert done.returncode != 0
    assert "cannot be shared by 2 processes evenly" in done.stderr


def test_the_mean_over_one_process_is_the_value_itself():
    from dino.system.distributed import any_process, mean_over_processes

    value = torch.tensor([1.0, 2.0])
    assert mean_over_processes(value) is value
    assert any_process(True, torch.device("cpu"))
    assert not any_process(False, torch.device("cpu"))
