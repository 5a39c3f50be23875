"""How a run dies, and that it says so: numbers that are not finite, and a teacher that says one thing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.training_cases import TINY, write_photos

from dino.errors import UserError
from dino.training import loop
from dino.training.config import TrainConfig
from dino.training.loop import fit
from dino.training.runs import checkpoint
from dino.training.runs.folder import read_run

pytestmark = pytest.mark.reliability

BROKEN_STEP, STEPS, SAVE_EVERY = 37, 40, 5
SOON = 50


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), 8)


@pytest.fixture(scope="module")
def config(small_weights) -> TrainConfig:
    """Two steps an epoch of a network of two blocks."""
    started = replace(TINY, init=str(small_weights), patch_size=8, probe_every=0)
    return replace(started, epochs=STEPS // 2, save_every=SAVE_EVERY)


def tensors(states: dict) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": value.clone()
        for part, state in states.items()
        for name, value in state.items()
    }


def watch(monkeypatch, *, at: int | None) -> dict:
    """The training that the next run makes, and its networks before the step `at`, in which a pixel of
    the first crop is not a number."""
    seen: dict = {"calls": 0}
    real_prepare, real_normalize = loop.prepare, loop.normalize

    def prepare(*arguments, **options):
        seen["training"] = real_prepare(*arguments, **options)
        return seen["training"]

    def normalize(crops, *scale):
        seen["calls"] += 1
        made = real_normalize(crops, *scale)
        if seen["calls"] == at:
            modules = seen["training"].method.modules
            seen["before"] = tensors(
                {name: modules[name].state_dict() for name in ("student", "teacher")}
            )
            made[0][0, 0, 0, 0] = torch.nan
        return made

    monkeypatch.setattr(loop, "prepare", prepare)
    monkeypatch.setattr(loop, "normalize", normalize)
    return seen


def test_a_number_that_is_none_stops_the_run_before_it_changes_anything(
    photos, config, tmp_path, monkeypatch, figure
):
    quiet = {"workers": 0, "say": lambda line: None}
    whole, run = tmp_path / "whole", tmp_path / "run"
    fit(config, photos, whole, **quiet)
    with monkeypatch.context() as patched:
        seen = watch(patched, at=BROKEN_STEP)
        with pytest.raises(UserError, match=f"not finite at step {BROKEN_STEP} "):
            fit(config, photos, run, **quiet)
    modules = seen["training"].method.modules
    after = tensors({name: modules[name].state_dict() for name in ("student", "teacher")})
    assert all(torch.equal(after[name], value) for name, value in seen["before"].items())
    assert all(value.isfinite().all() for value in after.values())
    told = read_run(run)
    assert told.state == "failed"
    assert f"not finite at step {BROKEN_STEP} " in told.reason
    assert "lower base_lr" in told.reason
    assert [line["step"] for line in told.metrics] == list(range(1, BROKEN_STEP))
    kept, problems = checkpoint.load_newest(run / "checkpoints")
    assert problems == []
    assert kept.step == BROKEN_STEP - BROKEN_STEP % SAVE_EVERY
    fit(config, photos, run, resume=True, **quiet)
    ours, theirs = (checkpoint.load_newest(at / "checkpoints")[0] for at in (run, whole))
    for part in ("student", "teacher", "loss"):
        for name, value in getattr(theirs, part).items():
            assert torch.equal(getattr(ours, part)[name], value), name
    figure(
        9,
        f"NaN in a pixel at step {BROKEN_STEP} of {STEPS}",
        f"stopped before the update, reason with its step in state.json, checkpoint of step "
        f"{kept.step} kept; resumed, it ends as the unbroken run",
    )


@pytest.mark.parametrize("centering", [True, False])
def test_a_teacher_that_says_one_thing_is_named(
    photos, config, tmp_path, monkeypatch, figure, centering
):
    """Centred, its outputs end flat; not centred, they are sharp and alike."""
    said: list[str] = []
    real = loop.prepare

    def prepare(*arguments, **options):
        training = real(*arguments, **options)
        norm = training.method.teacher.backbone.norm
        with torch.no_grad():
            norm.weight.zero_()  # whatever the photo, the same features
            norm.bias.fill_(0.5)
        return training

    monkeypatch.setattr(loop, "prepare", prepare)
    still = replace(config, momentum=1.0, momentum_end=1.0, epochs=SOON // 2, centering=centering)
    run = fit(still, photos, tmp_path / "run", workers=0, say=said.append)
    named = [number for number, line in enumerate(said) if "collapse: " in line]
    assert named, said[-3:]
    step = sum(line.startswith("step ") for line in said[: named[0]])
    assert step <= SOON
    kind = said[named[0]].partition(":")[0]
    assert kind in (run / "log.txt").read_text()
    figure(
        9,
        f"constant teacher, {'centred' if centering else 'not centred'}",
        f"{kind} named at step {step}",
    )
