"""The paper's ablation (Table 7, Fig. 7) as short runs of the engine, each with one part taken away.

configs = variant_configs(base, ["full", "no-momentum"])
for name, config in configs.items():
    run = run_variant(config, "photos/", "runs" / name, knn="labelled/")
    rows += [end_row(name, run), *curve_rows(name, run)]

Everything else is equal: photos, crops, seed, schedules. A run that is finished is not repeated, one that
was interrupted goes on.
"""

import math
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dino.errors import UserError
from dino.system.distributed import from_first_process, joined, wait_for_all
from dino.training.config import TrainConfig
from dino.training.data import evenly_spread
from dino.training.loop import fit
from dino.training.metrics import collapse
from dino.training.runs.folder import Run, read_run

Row = dict[str, Any]

_NEW, _UNFINISHED, _FINISHED = "new", "unfinished", "finished"
# The settings of all of DINO; each variant changes one of them.
_WHOLE: dict[str, Any] = {
    "targets": "softmax",
    "criterion": "cross-entropy",
    "centering": True,
    "sharpening": True,
    "momentum_teacher": True,
    "predictor": False,
}
_CURVES = ("loss", "teacher_entropy", "batch_mean_entropy", "kl")
# Points of a curve in the results; all of them stay in the run's metrics.jsonl.
_MAX_POINTS = 40
# The end of a run is the mean over this share of its last lines: one batch alone is noisy.
_END_SHARE = 0.1


# The method with one part taken away or put in another's place: the settings that change.
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "no-momentum": {"momentum_teacher": False},  # the teacher is a copy of the student
    "no-centering": {"centering": False},  # nothing is subtracted from the teacher
    "no-sharpening": {"sharpening": False},  # the teacher's temperature is 1
    "no-multi-crop": {"num_locals": 0},  # two global crops alone
    "sinkhorn": {"targets": "sinkhorn"},  # Sinkhorn–Knopp in place of the centre
    "predictor": {"predictor": True},  # an MLP after the student's head
    "mse": {"criterion": "mse"},  # mean squared error in place of cross-entropy
}


def chosen_variants(names: Sequence[str]) -> list[str]:
    """Sort names into the order of `VARIANTS`, each once.

    Raises:
        UserError: none, or one that is unknown.
    """
    unknown = [name for name in names if name not in VARIANTS]
    if unknown or not names:
        what = f"unknown variant {', '.join(map(repr, unknown))}" if unknown else "no variant"
        raise UserError(f"{what}; expected some of {', '.join(VARIANTS)}")
    return [name for name in VARIANTS if name in names]


def variant_configs(base: TrainConfig, names: Iterable[str]) -> dict[str, TrainConfig]:
    """Make the settings of each variant: the base's with every part of DINO in its place, less one.

    Raises:
        UserError: a base that trains with labels, or without local crops where those are left out.
    """
    if base.method != "dino":
        raise UserError(f"method is {base.method!r}; an ablation of DINO needs 'dino'")
    whole = replace(base, **_WHOLE)
    configs = {name: replace(whole, **VARIANTS[name]) for name in names}
    if "no-multi-crop" in configs and base.num_locals == 0:
        raise UserError(
            "num_locals is 0, so that leaving out local crops changes nothing; raise it, or leave "
            "no-multi-crop out"
        )
    return configs


def run_variant(
    config: TrainConfig,
    data: str | Path,
    folder: Path,
    *,
    knn: str | Path | None,
    device: str = "auto",
    workers: int = 2,
    say: Callable[[str], None] = print,
) -> Run:
    """Train one variant, or go on with it; what is finished stays as it is.

    Returns:
        The run as its folder shows it: finished, stopped by a signal, or failed with a reason.
    Raises:
        UserError: the folder holds a run of other settings or photos, is in use, or there is
            nothing to train on. What breaks off a run under way is no error here, but its state.
    """
    with joined(device) as world:
        # What the first process sees counts for all, whoever of them comes later.
        state = from_first_process(_state(config, data, knn, folder) if world.leads else "")
        if state not in (_NEW, _UNFINISHED, _FINISHED):
            raise UserError(state)
        if state != _FINISHED:
            try:
                fit(
                    config,
                    data,
                    folder,
                    knn=knn,
                    resume=state == _UNFINISHED,
                    device=device,
                    workers=workers,
                    say=say,
                )
            except UserError:
                if not (folder / "state.json").exists() or read_run(folder).state != "failed":
                    raise  # it never got under way
        wait_for_all()  # the first process has written how it ended
        return read_run(folder)


def _state(config: TrainConfig, data: str | Path, knn: str | Path | None, folder: Path) -> str:
    """Find whether the folder's run is new, unfinished or finished, or why it is none of them.

    That is a sentence and no error, since one process finds it and all must end of it.
    """
    if not (folder / "config.json").exists():
        return _NEW
    other = "choose another --runs or delete that folder"
    try:
        if TrainConfig.from_json((folder / "config.json").read_text()) != config:
            return f"{folder} holds a run with other settings; {other}"
        if not (folder / "state.json").exists():  # it ended while it was being made
            (folder / "config.json").unlink()
            return _NEW
        run = read_run(folder)
    except UserError as error:
        return str(error)
    wanted = (os.path.abspath(data), None if knn is None else os.path.abspath(knn))
    if (run.inputs.data, run.inputs.knn) != wanted:
        measured = f"a run on {run.inputs.data}, measured on {run.inputs.knn}"
        return f"{folder} holds {measured}; {other}"
    return _FINISHED if run.state == _FINISHED else _UNFINISHED


def end_row(name: str, run: Run) -> Row:
    """Collect how a variant ended.

    Returns:
        `knn` and `knn_start` in percent; at the end `teacher_entropy`, `batch_mean_entropy` and `kl`
        in nats (means over the last tenth of the logged steps) and `max_entropy`, ln K; `collapse`,
        the kind the engine names at the last step, and the step since when; `train_s`, the seconds
        spent on its steps; `state` and `reason`.
    """
    tail = run.metrics[-max(1, round(_END_SHARE * len(run.metrics))) :]
    knn = [probe["knn"] for probe in run.probes if probe.get("knn") is not None]
    kind, since = collapse_since(run)
    return {
        "part": "end",
        "variant": name,
        "knn": knn[-1] if len(knn) > 1 and run.state == _FINISHED else None,
        "knn_start": knn[0] if knn else None,
        **{key: _mean(tail, key) for key in _CURVES[1:]},
        "max_entropy": math.log(run.config.out_dim),
        "collapse": kind,
        "collapse_step": since,
        "steps": run.metrics[-1]["step"] if run.metrics else 0,
        "train_s": _training_seconds(run.metrics),
        "state": run.state,
        "reason": run.reason or None,
    }


def collapse_since(run: Run) -> tuple[str | None, int | None]:
    """Find the collapse the engine names at the last logged step, and the step since when."""
    kind, since = None, None
    for line in reversed(run.metrics):
        problem = collapse(line, run.config.out_dim)
        here = problem.partition(":")[0] if problem else None
        if since is None:
            kind = here
        if here is None or here != kind:
            break
        since = line["step"]
    return kind, since


def curve_rows(name: str, run: Run) -> list[Row]:
    """Collect the run on its way, at 40 steps at most and wherever k-NN was measured."""
    found: dict[int, Row] = {}
    for index in evenly_spread(len(run.metrics), _MAX_POINTS):
        line = run.metrics[index]
        found[line["step"]] = {key: line.get(key) for key in _CURVES}
    for probe in run.probes:
        if probe.get("knn") is not None:
            found.setdefault(probe["step"], dict.fromkeys(_CURVES))["knn"] = probe["knn"]
    return [
        {"part": "curve", "variant": name, "step": step, **found[step]} for step in sorted(found)
    ]


def _mean(lines: Sequence[Row], key: str) -> float | None:
    values = [line[key] for line in lines if line.get(key) is not None]
    return statistics.fmean(values) if values else None


def _training_seconds(lines: Sequence[Row]) -> float:
    """Add up the seconds between the logged steps, of which each line has the speed since the one before."""
    seen, seconds = 0, 0.0
    for line in lines:
        seconds += (line["images_seen"] - seen) / line["images_per_s"]
        seen = line["images_seen"]
    return round(seconds, 3)
