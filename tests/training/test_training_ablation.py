"""Ablations: equal but for one part, resumed and not repeated, and judged by what the engine logs."""

import json
import math
import os
import subprocess
import sys
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest
from helpers.torchrun_cases import launch_well
from helpers.training_cases import TINY, write_photos

from dino.errors import UserError
from dino.evaluation.published import published_figures
from dino.training.ablation import (
    VARIANTS,
    chosen_variants,
    collapse_since,
    curve_rows,
    end_row,
    run_variant,
    variant_configs,
)
from dino.training.build import build_loss
from dino.training.runs.folder import Inputs, Run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), 10, brighter=100)


def quiet(line: str) -> None:
    pass


def test_variants_differ_from_the_whole_in_one_setting():
    base = replace(TINY, targets="sinkhorn", predictor=True)  # as a preset might have it
    configs = variant_configs(base, VARIANTS)
    whole = configs["full"]
    assert (whole.targets, whole.predictor, whole.centering) == ("softmax", False, True)
    for name, config in configs.items():
        changed = {
            f.name for f in fields(config) if getattr(config, f.name) != getattr(whole, f.name)
        }
        assert changed == set(VARIANTS[name]), name
        build_loss(config)
    assert {f.variant for f in published_figures("ablation")} <= set(VARIANTS)


def test_names_are_put_in_order_and_unknown_ones_refused():
    assert chosen_variants(["mse", "full", "mse"]) == ["full", "mse"]
    with pytest.raises(UserError, match=r"unknown variant 'sinkorn'; expected some of full, "):
        chosen_variants(["full", "sinkorn"])
    with pytest.raises(UserError, match="no variant"):
        chosen_variants([])


@pytest.mark.parametrize(
    ("change", "words"),
    [({"method": "supervised"}, "needs 'dino'"), ({"num_locals": 0}, "raise it")],
)
def test_a_base_that_makes_no_sense_is_refused(change, words):
    with pytest.raises(UserError, match=words):
        variant_configs(replace(TINY, **change), ["full", "no-multi-crop"])


def line(step: int, entropy: float, mean: float, **more: float) -> dict:
    common = {"step": step, "images_seen": 4 * step, "images_per_s": 2.0, "loss": 1.0}
    return {**common, "teacher_entropy": entropy, "batch_mean_entropy": mean, "kl": 0.5, **more}


def run_of(metrics: list[dict], probes: list[dict], state: str = "finished") -> Run:
    return Run(Path("run"), TINY, Inputs("photos"), metrics, probes, state, "")


def test_the_end_is_the_mean_of_the_last_tenth():
    metrics = [line(step, 2.0, 3.0) for step in range(1, 19)]
    metrics += [line(19, 1.0, 2.0), line(20, 0.5, 1.0)]
    row = end_row("full", run_of(metrics, [{"step": 0, "knn": 10.0}, {"step": 20, "knn": 30.0}]))
    assert (row["teacher_entropy"], row["batch_mean_entropy"], row["kl"]) == (0.75, 1.5, 0.5)
    assert (row["knn_start"], row["knn"], row["steps"]) == (10.0, 30.0, 20)
    assert row["max_entropy"] == pytest.approx(math.log(32))
    assert row["train_s"] == 40.0  # 80 images at 2 a second
    assert row["collapse"] is None


def test_k_nn_of_a_run_that_broke_off_is_no_result():
    run = run_of([line(1, 1.0, 2.0)], [{"step": 0, "knn": 10.0}], state="failed")
    assert end_row("full", run)["knn"] is None


def test_a_collapse_is_named_from_the_step_it_stays():
    most = math.log(TINY.out_dim)
    flat, sharp, constant = (most, most), (1.0, 3.0), (0.0, 0.0)
    steps = [flat, sharp, flat, flat]
    run = run_of([line(n + 1, *at) for n, at in enumerate(steps)], [])
    assert collapse_since(run) == ("uniform collapse", 3)
    run = run_of([line(1, *flat), line(2, *constant)], [])
    assert collapse_since(run) == ("one-dimensional collapse", 2)
    assert collapse_since(run_of([line(1, *flat), line(2, *sharp)], [])) == (None, None)
    assert collapse_since(run_of([], [])) == (None, None)


def test_curves_keep_ends_and_every_look_at_k_nn():
    metrics = [line(step, 1.0, 2.0) for step in range(1, 301)]
    probes = [{"step": step, "knn": float(step)} for step in (0, 150, 300)]
    rows = curve_rows("full", run_of(metrics, probes))
    steps = [row["step"] for row in rows]
    assert steps == sorted(steps)
    assert len(steps) <= 43
    assert {0, 1, 150, 300} <= set(steps)
    assert [row["knn"] for row in rows if row.get("knn") is not None] == [0.0, 150.0, 300.0]


def test_a_finished_run_is_kept_and_another_one_refused(photos, tmp_path):
    config = replace(TINY, probe_size=32)
    run_variant(config, photos, tmp_path / "full", knn=photos, workers=0, say=quiet)
    before = (tmp_path / "full" / "metrics.jsonl").stat().st_mtime_ns

    def never(line: str) -> None:
        raise AssertionError("a finished run was trained again")

    again = run_variant(config, photos, tmp_path / "full", knn=photos, workers=0, say=never)
    assert again.state == "finished"
    assert (tmp_path / "full" / "metrics.jsonl").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="other settings"):
        run_variant(replace(config, seed=1), photos, tmp_path / "full", knn=photos)
    with pytest.raises(UserError, match="measured on"):
        run_variant(config, photos, tmp_path / "full", knn=None)


@pytest.mark.slow
def test_an_interrupted_run_ends_as_if_unbroken(photos, tmp_path):
    config = replace(TINY, save_every=1)
    whole = run_variant(config, photos, tmp_path / "whole", knn=None, workers=0, say=quiet)
    halted = tmp_path / "halted"
    script = (
        "import os, signal, sys; from dino.training.config import TrainConfig; "
        "from dino.training.ablation import run_variant; from pathlib import Path\n"
        "def say(line):\n    if line.startswith('step 2'): os.kill(os.getpid(), signal.SIGTERM)\n"
        "run = run_variant(TrainConfig.from_json(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), knn=None,"
        " workers=0, say=say); print(run.state)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, config.to_json(), str(photos), str(halted)],
        cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ,
    )  # fmt: skip
    assert done.stdout.strip() == "stopped"
    resumed = run_variant(config, photos, halted, knn=None, workers=0, say=quiet)
    assert resumed.state == "finished"
    losses = [[line["loss"] for line in run.metrics] for run in (whole, resumed)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4


def test_a_run_killed_before_its_first_step_starts_again(photos, tmp_path):
    (tmp_path / "full" / "checkpoints").mkdir(parents=True)
    (tmp_path / "full" / "config.json").write_text(TINY.to_json())
    run = run_variant(TINY, photos, tmp_path / "full", knn=None, workers=0, say=quiet)
    assert run.state == "finished"
    assert len(run.metrics) == 4


@pytest.fixture
def cli(command):
    return partial(command, "eval", "ablation")


SMALL = (
    "--set", "global_size=32", "--set", "local_size=16", "--set", "num_locals=1", "--set", "out_dim=32",
    "--set", "hidden_dim=16", "--set", "bottleneck_dim=8", "--set", "batch_size=4", "--set", "precision=fp32",
    "--workers", 0, "--device", "cpu", "--threads", 1,
)  # fmt: skip


def test_two_variants_on_the_command_line(cli, photos, tmp_path):
    words = ("--data", photos, "--knn", photos, "--only", "sinkhorn,full", "--steps", 3, *SMALL)
    code, out, err = cli(*words)
    assert code == 0, err
    found = json.loads((tmp_path / "results" / "results.json").read_text())
    ends = [row for row in found["rows"] if row["part"] == "end"]
    assert [row["variant"] for row in ends] == ["full", "sinkhorn"]
    assert [row["steps"] for row in ends] == [3, 3]
    for row in ends:
        folder = tmp_path / "results" / "runs" / row["variant"]
        last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
        assert row["kl"] == pytest.approx(last["kl"])
        probe = json.loads((folder / "probes.jsonl").read_text().splitlines()[-1])
        assert (row["knn"], probe["step"]) == (probe["knn"], 3)
    assert found["data"] == {"path": str(photos), "num_images": 10, "knn_path": str(photos)}
    assert found["settings"]["variants"] == ["full", "sinkhorn"]
    assert found["settings"]["max_steps"] == 3
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["variant", "full", "sinkhorn"]
    # Shown in bits; files hold nats.
    assert "entropy, bits" in out
    assert f" {ends[0]['kl'] / math.log(2):.3f}" in out.splitlines()[1]
    svg = ElementTree.parse(tmp_path / "results" / "ablation.svg").getroot()
    assert "sinkhorn" in svg.get("aria-label")
    html = (tmp_path / "results" / "ablation.html").read_text()
    assert "sinkhorn" in html
    assert '<script src="http' not in html
    # Again: nothing is trained, and the figures are the same.
    code, again, err = cli(*words)
    assert (code, again) == (0, out)
    assert "epoch" not in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "full,sinkorn"), "unknown variant 'sinkorn'"),
        (("--only", ","), "no variant"),
        (("--steps", 3, "--epochs", 1), "--steps and --epochs"),
        (("--set", "colour=red"), "--set colour=red"),
        (("--preset", "supervised", "--epochs", 1), "needs 'dino'"),
        (("--set", "batch_size=64"), "10 photos cannot fill one batch of 64"),
    ],
)
def test_wrong_use_is_one_sentence_and_code_2(cli, photos, words, said):
    code, _, err = cli("--data", photos, *SMALL, *words)
    assert code == 2
    assert err.startswith("error: ")
    assert said in err


@pytest.mark.slow
def test_two_processes_run_the_variants_together(photos, tmp_path):
    words = ["--data", photos, "--only", "full,mse", "--steps", "2", *SMALL]
    for _ in range(2):
        launch_well(
            *("-m", "dino", "eval", "ablation", *words), cwd=tmp_path, env={"OMP_NUM_THREADS": 1}
        )
    lines = (tmp_path / "results" / "history.jsonl").read_text().splitlines()
    assert len(lines) == 2
    rows = [json.loads(line)["rows"] for line in lines]
    assert rows[0] == rows[1]
    assert [row["state"] for row in rows[0] if row["part"] == "end"] == ["finished", "finished"]
