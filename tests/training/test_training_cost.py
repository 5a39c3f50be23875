"""The cost of a step: measured in a process of its own, by the engine's own step."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers.training_cases import TINY

from dino.cli.evaluate.cost import note
from dino.errors import UserError
from dino.evaluation.published import published_figures
from dino.system.distributed import World
from dino.training.cost import StepCost, crops_config, crops_name, measure_apart
from dino.training.methods import DINO, build_method
from dino.training.runs.preflight import draw_noise, time_steps

ROOT = Path(__file__).resolve().parents[2]


def cost_of(*times: float) -> StepCost:
    return StepCost(
        times=times,
        batch_size=6,
        peak_bytes=10,
        base_bytes=4,
        device="cpu",
        device_name="x86_64",
        precision="fp32",
        threads=1,
        torch="2",
    )


def test_the_median_counts_and_the_spread_is_shown():
    found = cost_of(2.0, 1.0, 9.0, 3.0, 2.5)
    assert found.seconds == 2.5
    assert found.spread == pytest.approx((9 - 1) / 2.5)
    assert found.images_per_s == pytest.approx(6 / 2.5)


def test_times_of_a_busy_machine_are_called_so():
    assert "idle" not in note(cost_of(1.0), [{"spread": 0.05}, {"spread": 0.2}])
    assert "measure again when the machine is idle" in note(cost_of(1.0), [{"spread": 0.6}])


def test_configurations_are_named_as_the_paper_does():
    names = [crops_name(crops_config(count)) for count in (0, 2, 6, 10)]
    assert names == ["2×224", "2×224 + 2×96", "2×224 + 6×96", "2×224 + 10×96"]
    assert names == [f.variant for f in published_figures("cost") if f.metric == "hours"]


def test_warm_up_is_left_out_and_every_step_is_a_whole_one(monkeypatch):
    seen = []
    step = DINO.step

    def counted(self, crops, labels, values, options):
        seen.append([tuple(crop.shape) for crop in crops])
        before = next(iter(self.modules["student"].parameters())).clone()
        result = step(self, crops, labels, values, options)
        assert not torch.equal(before, next(iter(self.modules["student"].parameters())))
        return result

    monkeypatch.setattr(DINO, "step", counted)
    cpu = torch.device("cpu")
    method = build_method(TINY, device=cpu, world=World())
    times = time_steps(replace(TINY, precision="fp32"), method, cpu, warmup=2, steps=3)
    assert len(times) == 3
    assert all(time > 0 for time in times)
    assert seen == [[(4, 3, 32, 32)] * 2 + [(4, 3, 16, 16)] * 2] * 5


def test_noise_is_bytes_and_the_same_every_time():
    first, again = (draw_noise(TINY, torch.device("cpu")) for _ in range(2))
    assert [crop.dtype for crop in first] == [torch.uint8] * 4
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert first[0].float().std() > 60


@pytest.mark.slow
def test_a_process_of_its_own_measures_its_own_memory():
    """However much its parent holds."""
    found = measure_apart(TINY, steps=5, device="cpu", threads=1)
    assert len(found.times) == 5
    assert (found.device, found.precision, found.threads) == ("cpu", "fp32", 1)
    assert found.torch == torch.__version__
    assert 0 < found.base_bytes < found.peak_bytes < 2**31
    big = replace(TINY, batch_size=32, global_size=96, local_size=48, num_locals=8)
    larger = measure_apart(big, steps=5, device="cpu", threads=1)
    assert larger.peak_bytes > found.peak_bytes
    assert larger.seconds > found.seconds
    script = "from dino.system.processes import peak_memory; print(peak_memory())"
    holder = (
        "import subprocess, sys\n"
        "ballast = bytearray(b'x') * 1_500_000_000\n"
        f"print(subprocess.run([sys.executable, '-c', {script!r}], capture_output=True, text=True,"
        " check=True).stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-c", holder], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 1_400_000_000


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({"arch": "nope"}, {}, "2×32 .*arch is 'nope'"),
        ({}, {"steps": 4}, "got 4 steps"),
        ({}, {"warmup": 0}, "0 of warm-up"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(change, options, words):
    with pytest.raises(UserError, match=words):
        measure_apart(replace(TINY, **change), **options)


def test_a_process_that_is_killed_is_one_sentence(monkeypatch):
    def killed(*args, **kwargs):
        return subprocess.CompletedProcess(args, -9, "", "")

    monkeypatch.setattr(subprocess, "run", killed)
    with pytest.raises(UserError, match=r"signal 9.*smaller batch"):
        measure_apart(TINY)


@pytest.fixture
def cli(command):
    return partial(command, "eval", "cost")


QUICK = (
    "--arch", "vit_tiny", "--global-size", 32, "--local-size", 16, "--batch-size", 2, "--out-dim", 32,
    "--device", "cpu", "--threads", 1, "--precision", "fp32",
)  # fmt: skip


@pytest.mark.slow
def test_the_command_reports_each_configuration(cli, tmp_path):
    code, out, err = cli(*QUICK, "--crops", "0,2", "--steps", 5)
    assert code == 0, err
    found = json.loads((tmp_path / "results" / "results.json").read_text())
    assert found["task"] == "cost"
    assert found["weights"]["name"] == "vit_tiny/16"
    assert found["weights"]["sha256"] is None
    assert [row["crops"] for row in found["rows"]] == ["2×32", "2×32 + 2×16"]
    assert found["settings"]["torch"] == torch.__version__
    assert (found["threads"], found["device"]) == (1, "cpu")
    for row in found["rows"]:
        assert row["images_per_s"] == pytest.approx(2 / row["step_s"])
    assert out.splitlines()[1].split()[0] == "2×32"
    assert "1 threads" in out
    assert os.path.getsize(tmp_path / "results" / "results.csv") > 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--crops", "two"), "--crops is 'two'"),
        (("--steps", 2), "got 2 steps"),
        (("--local-size", 95), "local_size is 95"),
        (("--crops", "-1"), "num_locals is -1"),
    ],
)
def test_wrong_use_is_one_sentence_and_code_2(cli, tmp_path, words, said):
    code, _, err = cli(*QUICK, *words)
    assert code == 2
    assert err.startswith("error: ")
    assert said in err
    assert not (tmp_path / "results").exists()


def test_torchrun_is_refused(cli, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = cli(*QUICK)
    assert code == 2
    assert "without torchrun" in err
