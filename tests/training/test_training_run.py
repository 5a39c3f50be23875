"""A whole run on a few photos: what it writes, and that stopping and resuming changes nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.training_cases import TINY, write_photos

import dino
from dino.errors import UserError, WeightsError
from dino.media.crops import MultiCrop, random_box
from dino.media.photo_folders import open_folder
from dino.system.processes import process_start_time
from dino.training.config import TrainConfig
from dino.training.data import StepSampler, collate, read_batches
from dino.training.loop import fit, resume_run
from dino.training.metrics import collapse
from dino.training.runs import checkpoint
from dino.training.runs.exports import export_weights
from dino.training.runs.folder import METRICS, Lines, read_lines, read_run
from dino.training.runs.reporter import progress_line
from dino.weights import info

ROOT = Path(__file__).resolve().parents[2]
SMALL = replace(TINY, save_every=2, keep=3)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Nine photos of two classes; one of them cannot be read."""
    root = write_photos(tmp_path_factory.mktemp("photos"), 8)
    (root / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return root


def final_state(run: Path) -> dict[str, torch.Tensor]:
    saved, problems = checkpoint.load_newest(run / "checkpoints")
    assert problems == []
    return {
        **{f"student.{k}": v for k, v in saved.student.items()},
        **{f"teacher.{k}": v for k, v in saved.teacher.items()},
        "center": saved.loss["center"],
    }


def started(config: TrainConfig, photos: Path, run: Path, *, workers: int) -> subprocess.Popen:
    """A run in a process of its own, to be sent signals."""
    script = (
        "import sys; from dino.training.config import TrainConfig; from dino.training.loop import fit; "
        "fit(TrainConfig.from_json(sys.argv[1]), sys.argv[2], sys.argv[3], workers=int(sys.argv[4]))"
    )
    words = [sys.executable, "-c", script, config.to_json(), str(photos), str(run), str(workers)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)


def assert_equal_bits(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name


def test_a_run_writes_its_folder_and_its_teacher_opens(photos, tmp_path):
    lines: list[str] = []
    run = fit(SMALL, photos, tmp_path / "run", workers=0, say=lines.append)
    assert TrainConfig.from_json((run / "config.json").read_text()) == SMALL
    assert read_run(run).state == "finished"
    steps = read_run(run).metrics
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert all(np.isfinite(line["loss"]) for line in steps)
    assert sum(line["skipped"] for line in steps[-1:]) >= 1  # the broken photo, counted
    for line in steps:
        assert line["kl"] == pytest.approx(line["loss"] - line["teacher_entropy"], abs=1e-5)
    assert len([line for line in lines if line.startswith("step")]) == 4
    assert len([line for line in lines if "broken.jpg cannot be read" in line]) == 1
    backbone = dino.load(run / "weights" / "teacher.safetensors", precision="fp32")
    assert (backbone.patch_size, backbone.embed_dim, backbone.num_heads) == (16, 192, 3)
    assert backbone.attention(torch.zeros(1, 3, 32, 32)).weights.shape == (1, 1, 1, 3, 2, 2)
    again = dino.load(checkpoint.list_checkpoints(run / "checkpoints")[0], key="student")
    assert again.embed_dim == 192


def test_the_same_seed_gives_the_same_run_whatever_the_workers(photos, tmp_path):
    first = fit(SMALL, photos, tmp_path / "first", workers=0, say=lambda line: None)
    second = fit(SMALL, photos, tmp_path / "second", workers=2, say=lambda line: None)
    assert_equal_bits(final_state(first), final_state(second))
    other = fit(
        replace(SMALL, seed=1), photos, tmp_path / "other", workers=0, say=lambda line: None
    )
    assert not torch.equal(final_state(first)["center"], final_state(other)["center"])


@pytest.mark.parametrize(
    "stop",
    [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)],
    ids=lambda stop: f"after-{stop}",
)
def test_two_steps_and_two_more_are_four(photos, tmp_path, stop):
    """Two steps an epoch: also in the middle of one, with dropped paths and k-NN on the way."""
    config = replace(SMALL, drop_path=0.5, probe_size=32)
    options = {"knn": photos, "workers": 0, "say": lambda line: None}
    whole = fit(config, photos, tmp_path / "whole", **options)
    part = tmp_path / "part"
    fit(replace(config, max_steps=stop), photos, part, **options)
    fit(config, photos, part, resume=True, **options)
    assert_equal_bits(final_state(whole), final_state(part))
    losses = [[line["loss"] for line in read_run(run).metrics] for run in (whole, part)]
    assert losses[0] == losses[1]


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(photos, tmp_path):
    run = fit(SMALL, photos, tmp_path / "run", workers=0, say=lambda line: None)
    whole = final_state(run)
    newest = checkpoint.list_checkpoints(run / "checkpoints")[0]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    said: list[str] = []
    fit(SMALL, photos, run, resume=True, workers=0, say=said.append)
    assert "step-00000004.pt is damaged" in said[0]
    assert_equal_bits(final_state(run), whole)


def test_kill_minus_9_and_resume_end_where_the_unbroken_run_does(photos, tmp_path):
    config = replace(SMALL, epochs=4)
    whole = fit(config, photos, tmp_path / "whole", workers=0, say=lambda line: None)
    run = tmp_path / "killed"
    process = started(config, photos, run, workers=0)
    deadline = time.monotonic() + 60
    while not list(run.glob("checkpoints/step-*.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert read_run(run).state == "failed"
    fit(config, photos, run, resume=True, workers=0, say=lambda line: None)
    assert read_run(run).state == "finished"
    assert_equal_bits(final_state(whole), final_state(run))


def test_a_run_is_never_overwritten_and_nothing_is_resumed_from_nothing(photos, tmp_path):
    fit(replace(SMALL, max_steps=1), photos, tmp_path / "run", workers=0, say=lambda line: None)
    with pytest.raises(UserError, match="holds a run already"):
        fit(SMALL, photos, tmp_path / "run", workers=0)
    with pytest.raises(WeightsError, match="start the run anew"):
        fit(SMALL, photos, tmp_path / "nowhere", resume=True, workers=0)
    with pytest.raises(UserError, match="cannot be made"):
        fit(SMALL, photos, tmp_path / "run" / "config.json" / "x", workers=0)
    with pytest.raises(UserError, match="cannot fill one batch"):
        fit(replace(SMALL, batch_size=64), photos, tmp_path / "other", workers=0)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(photos, tmp_path):
    config = replace(SMALL, base_lr=1e30, clip_grad=None, epochs=4, save_every=1)
    run = tmp_path / "run"
    with pytest.raises(UserError, match="not finite at step"):
        fit(config, photos, run, workers=0, say=lambda line: None)
    failed = read_run(run)
    assert failed.state == "failed"
    assert "lower base_lr in the run" in failed.reason
    assert checkpoint.list_checkpoints(run / "checkpoints")


def test_both_collapses_are_named():
    healthy = {"teacher_entropy": 1.0, "batch_mean_entropy": 3.0}
    assert collapse(healthy, 64) is None
    assert "uniform" in (collapse({**healthy, "teacher_entropy": np.log(64)}, 64) or "")
    assert "one-dimensional" in (collapse({**healthy, "batch_mean_entropy": 0.0}, 64) or "")
    # Not sharp, and yet the same for all: the mean of equal outputs is as sharp as each.
    assert "one-dimensional" in (collapse({**healthy, "batch_mean_entropy": 1.0001}, 64) or "")
    assert collapse({**healthy, "batch_mean_entropy": 1.01}, 64) is None


def test_people_read_entropies_in_bits():
    flat = {"teacher_entropy": np.log(64), "batch_mean_entropy": np.log(64)}
    assert "(entropy 6.00 of log₂ K = 6.00 bits)" in (collapse(flat, 64) or "")
    alike = {"teacher_entropy": np.log(2), "batch_mean_entropy": np.log(2)}
    assert "mean 1.000 bits, of single outputs 1.000)" in (collapse(alike, 64) or "")
    step = {"step": 5, "loss": 2.5, "batch_size": 4, "images_per_s": 2.0, "kl": np.log(2)}
    assert progress_line({**step, **flat}, 65) == (
        "step 5/65  loss 2.500  entropy 6.00 bits (batch mean 6.00)  kl 1.000 bits  2.0 images/s  "
        "2 min left"
    )


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"global_size": 100}, "multiple of the patch"),
        ({"momentum": 1.5}, "expected 0 to 1"),
        ({"targets": "magic"}, "expected one of"),
        ({"warmup_epochs": 3}, "longer than epochs"),
        ({"out_dim": 0}, "at least 1"),
    ],
)
def test_a_config_checks_itself(wrong, says):
    with pytest.raises(UserError, match=says):
        replace(SMALL, **wrong)


def test_a_config_survives_json_and_names_unknown_settings():
    assert TrainConfig.from_json(SMALL.to_json()) == SMALL
    with pytest.raises(UserError, match="unknown settings colour"):
        TrainConfig.from_json(json.dumps({"colour": 1}))


def test_crops_have_their_sizes_and_areas():
    rgb = np.random.default_rng(0).integers(0, 256, (100, 140, 3), np.uint8)
    crops = MultiCrop(64, 32, 3)(rgb, np.random.default_rng(1))
    assert [crop.shape for crop in crops] == [(64, 64, 3)] * 2 + [(32, 32, 3)] * 3
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(300):
        top, left, height, width = random_box((100, 140), (0.4, 1.0), rng)
        assert top >= 0 <= left
        assert top + height <= 100
        assert left + width <= 140
        assert 3 / 4 * 0.97 < width / height < 4 / 3 * 1.03
        shares.append(height * width / 14_000)
    assert 0.38 < min(shares) < 0.45
    assert max(shares) > 0.9


def test_no_crop_of_a_photo_just_large_enough_is_enlarged():
    crops = MultiCrop(64, 32, 1, (0.25, 1.0), (0.05, 0.4))
    assert crops.short_side == 166  # 32 / sqrt(0.05 · 3/4) = 165.2; the global crop asks 147.8
    rng = np.random.default_rng(0)
    for _ in range(2000):
        *_, height, width = random_box((166, 166), (0.05, 0.4), rng)
        assert min(height, width) >= 31  # 32 but for rounding


def test_every_process_takes_its_share_of_each_batch():
    run = {"seed": 0, "start": 0, "end": 4}
    samplers = [StepSampler(10, 4, **run, rank=rank, world=2) for rank in (0, 1)]
    alone = list(StepSampler(10, 4, **run))
    assert [sorted(a + b) for a, b in zip(*samplers, strict=True)] == [sorted(b) for b in alone]
    assert [{epoch for epoch, _ in batch} for batch in alone] == [{0}, {0}, {1}, {1}]
    epochs = [{index for batch in alone[i : i + 2] for _, index in batch} for i in (0, 2)]
    assert [len(seen) for seen in epochs] == [8, 8]
    assert [i for _, i in alone[0]] != [i for _, i in alone[2]]  # each epoch in an order of its own
    assert list(StepSampler(10, 4, seed=0, start=3, end=4)) == alone[3:]


def test_classes_come_from_sub_folders(photos):
    folder = open_folder(photos)
    assert folder.classes == ("a", "b")
    assert {path.parent.name for path, y in zip(folder.paths, folder.labels, strict=True) if y} == {
        "b"
    }
    assert collate([3, 5]).unreadable == (3, 5)


def test_a_run_starts_from_weights_and_says_when_their_patch_differs(
    photos, tmp_path, small_weights
):
    options = {"init": str(small_weights), "patch_size": 8, "max_steps": 1}
    run = fit(replace(SMALL, **options), photos, tmp_path / "run", workers=0, say=lambda line: None)
    assert dino.load(run / "weights" / "teacher.safetensors").num_heads == 3
    with pytest.raises(UserError, match="has patches of 8 px"):
        fit(replace(SMALL, init=str(small_weights)), photos, tmp_path / "other", workers=0)


def test_a_full_disk_is_not_mistaken_for_weights_too_large_for_fp16(tmp_path, monkeypatch):
    from timm.models.vision_transformer import VisionTransformer

    backbone = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=96, depth=1, num_heads=2, num_classes=0
    )
    tries = []

    def full(descriptor: int) -> None:
        tries.append(os.fstat(descriptor).st_size)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="No space left on device") as caught:
            export_weights(backbone, tmp_path / "odd.safetensors", name="odd")
    assert not isinstance(caught.value, WeightsError)
    assert len(tries) == 1
    assert list(tmp_path.iterdir()) == []
    backbone.norm.bias.data.fill_(1e6)  # which fp16 cannot hold
    export_weights(backbone, tmp_path / "odd.safetensors", name="odd")
    assert (tmp_path / "odd.safetensors").stat().st_size > 1.9 * tries[0]


def test_a_checkpoint_names_heads_and_grid_that_its_tensors_do_not_show(photos, tmp_path):
    from timm.models.vision_transformer import VisionTransformer

    odd = VisionTransformer(
        img_size=(16, 24), patch_size=8, embed_dim=96, depth=2, num_heads=2, num_classes=0
    )
    start = export_weights(odd, tmp_path / "odd.safetensors", name="odd")
    options = {"init": str(start), "patch_size": 8, "max_steps": 1}
    run = fit(replace(SMALL, **options), photos, tmp_path / "run", workers=0, say=lambda line: None)
    newest = checkpoint.list_checkpoints(run / "checkpoints")[0]
    facts = info(newest)
    assert (facts["embed_dim"], facts["num_heads"], facts["grid"]) == (96, 2, (2, 3))


def test_the_command_line_trains_stops_resumes_and_lists(photos, tmp_path, command):
    def call(*words: object) -> tuple[int, str]:
        code, out, err = command(*words)
        return code, out + err

    sizes = ["global_size=32", "local_size=16", "num_locals=2", "out_dim=32", "hidden_dim=16"]
    sizes += ["batch_size=4", "epochs=2", "warmup_epochs=0", "save_every=1", "log_every=1"]
    sizes += ["precision=fp32"]
    settings = [word for item in sizes for word in ("--set", item)]
    train = ["train", "--data", photos, "--out", tmp_path / "runs" / "one", "--workers", 0]
    code, said = call(*train, *settings, "--dry-run")
    assert code == 0
    assert "photos   9 (50×40 px)" in said
    assert "steps    4, 2 an epoch" in said
    assert "time     about" in said
    assert not (tmp_path / "runs").exists()
    code, said = call(*train, *settings, "--set", "max_steps=2")
    assert code == 0, said
    assert "step 2/2" in said
    code, said = call("runs", tmp_path / "runs")
    assert "finished, step 2" in said
    code, said = call("resume", tmp_path / "runs" / "one", "--workers", 0)
    assert code == 0, said
    code, said = call(*train, *settings)
    assert code == 2
    assert "holds a run already" in said
    code, said = call(*train, "--set", "colour=red")
    assert code == 2
    assert "expected name=value" in said


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_saves_and_ends_in_order(photos, tmp_path, number):
    run = tmp_path / "run"
    config = replace(SMALL, epochs=500, save_every=10_000)
    process = started(config, photos, run, workers=2)
    deadline = time.monotonic() + 60
    while not read_lines(run / METRICS).lines and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, number)  # the workers get it too, as from a terminal or from torchrun
    assert process.wait(timeout=60) == 0
    stopped = read_run(run)
    assert stopped.state == "stopped"
    saved, _ = checkpoint.load_newest(run / "checkpoints")
    assert saved.step == stopped.metrics[-1]["step"] > 0
    assert stopped.weights is not None


def test_a_full_disk_is_one_sentence_and_keeps_what_was_saved(photos, tmp_path, monkeypatch):
    run = tmp_path / "run"
    config = replace(SMALL, save_every=1)
    real, calls = torch.save, []

    def save(state, file):
        calls.append(1)
        if len(calls) == 3:
            file.write(b"half")
            raise OSError(28, "No space left on device")
        real(state, file)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(UserError, match=r"broke off at step 3 .*No space left.* resume it"):
        fit(config, photos, run, workers=0, say=lambda line: None)
    assert read_run(run).state == "failed"
    assert "Traceback" in (run / "log.txt").read_text()
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert [name for name in names if not name.endswith(".sha256")] == [
        "step-00000001.pt",
        "step-00000002.pt",
    ]
    monkeypatch.setattr(torch, "save", real)
    fit(config, photos, run, resume=True, workers=0, say=lambda line: None)
    assert read_run(run).state == "finished"


def test_the_newest_checkpoint_outlives_damaged_ones_of_later_steps(photos, tmp_path):
    config = replace(SMALL, save_every=1, keep=1, epochs=3)
    run = fit(replace(config, keep=3), photos, tmp_path / "run", workers=0, say=lambda line: None)
    for path in checkpoint.list_checkpoints(run / "checkpoints")[:2]:
        path.write_bytes(b"damaged")
    fit(replace(config, max_steps=5), photos, run, resume=True, workers=0, say=lambda line: None)
    names = [path.name for path in checkpoint.list_checkpoints(run / "checkpoints")]
    assert names == ["step-00000005.pt"]
    assert checkpoint.load_newest(run / "checkpoints")[0].step == 5


def test_an_empty_digest_condemns_nothing(photos, tmp_path):
    run = fit(SMALL, photos, tmp_path / "run", workers=0, say=lambda line: None)
    newest = checkpoint.list_checkpoints(run / "checkpoints")[0]
    newest.with_suffix(".sha256").write_text("")
    assert checkpoint.load(newest).step == 4
    newest.with_suffix(".sha256").write_bytes(b"\xff\xfe")
    with pytest.raises(WeightsError, match="is damaged"):
        checkpoint.load(newest)


def test_a_run_that_died_before_its_first_checkpoint_starts_again(photos, tmp_path):
    whole = fit(SMALL, photos, tmp_path / "whole", workers=0, say=lambda line: None)
    run = fit(SMALL, photos, tmp_path / "run", workers=0, say=lambda line: None)
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    fit(SMALL, photos, run, resume=True, workers=0, say=lambda line: None)
    assert_equal_bits(final_state(whole), final_state(run))
    assert [line["step"] for line in read_run(run).metrics] == [1, 2, 3, 4]


def test_what_a_crash_lost_at_the_end_is_made_again(photos, tmp_path):
    run = fit(SMALL, photos, tmp_path / "run", workers=0, say=lambda line: None)
    checkpoint.list_checkpoints(run / "checkpoints")[
        0
    ].unlink()  # as if killed before the last save
    (run / "weights" / "teacher.safetensors").unlink()
    fit(SMALL, photos, run, resume=True, workers=0, say=lambda line: None)
    assert read_run(run).weights is not None


def test_one_process_at_a_time_runs_a_folder(photos, tmp_path):
    run = fit(replace(SMALL, max_steps=2), photos, tmp_path / "run", workers=0, say=str)
    state = json.loads((run / "state.json").read_text())
    parent = os.getppid()
    state |= {"status": "running", "pid": parent, "start_time": process_start_time(parent)}
    (run / "state.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match=f"is being run by process {parent}"):
        fit(SMALL, photos, run, resume=True, workers=0)


@pytest.mark.parametrize("name", ["state.json", "data.json", "config.json"])
@pytest.mark.parametrize("text", ["{}", "[]", "3", "null", "{", "\xff"])
def test_a_folder_with_damaged_json_is_named(photos, tmp_path, name, text):
    if (name, text) == ("config.json", "{}"):
        return  # the paper's settings, all of them
    run = fit(replace(SMALL, max_steps=1), photos, tmp_path / "run", workers=0, say=str)
    (run / name).write_text(text)
    with pytest.raises(UserError):
        read_run(run)


def test_damaged_lines_of_metrics_are_skipped(tmp_path):
    path = tmp_path / METRICS
    path.write_bytes(b'{"step": 1, "loss": 2.0}\n{"step": "x"}\n[1]\n\xff\xfe\n{"step": 2')
    assert read_lines(path) == Lines([{"step": 1, "loss": 2.0}], damaged=4)


def test_a_run_is_resumed_from_anywhere(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos.parent)
    run = tmp_path / "run"
    fit(replace(SMALL, max_steps=2), photos.name, run, workers=0, say=lambda line: None)
    (run / "config.json").write_text(SMALL.to_json())
    monkeypatch.chdir(tmp_path)
    resume_run(run, workers=0, say=lambda line: None)
    assert read_run(run).state == "finished"


def test_a_checkpoint_of_other_sizes_is_named(photos, tmp_path):
    run = fit(replace(SMALL, max_steps=1), photos, tmp_path / "run", workers=0, say=str)
    with pytest.raises(UserError, match=r"does not fit config\.json"):
        fit(replace(SMALL, out_dim=16), photos, run, resume=True, workers=0)


def test_an_unforeseen_error_leaves_the_state_failed(photos, tmp_path, monkeypatch):
    def broken(*_):
        raise KeyError("surprise")

    monkeypatch.setattr("dino.training.runs.reporter.RunReporter.log", broken)
    with pytest.raises(KeyError):
        fit(SMALL, photos, tmp_path / "run", workers=0, say=str)
    assert read_run(tmp_path / "run").state == "failed"
    assert "KeyError" in (tmp_path / "run" / "log.txt").read_text()


class _Threads:
    """A photo whose pixels tell how many threads OpenCV had in the process that read it."""

    labels, classes = (), ()

    def __len__(self) -> int:
        return 4

    def read(self, index, *, short_side=None):
        import cv2

        return np.full((32, 32, 3), cv2.getNumThreads(), np.uint8)

    def name(self, index):
        return str(index)


def test_workers_share_the_cores_and_the_run_keeps_its_threads():
    import cv2

    def as_read(rgb, rng):
        return [rgb]

    as_read.short_side = None
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        for workers, expected in ((0, 3), (1, 1)):
            sampler = StepSampler(4, 2, seed=0, start=0, end=2)
            batches = read_batches(_Threads(), as_read, sampler, seed=0, workers=workers)
            assert [int(batch.crops[0].max()) for batch in batches] == [expected, expected]
            assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)
