"""The training loop: `fit` starts or resumes a run and leaves a folder that shows all of it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dino.errors import UserError
from dino.model.device import choose_device, choose_precision
from dino.system.distributed import any_process, from_first_process, joined, wait_for_all
from dino.system.signals import stop_on_signal
from dino.training.build import build_crops
from dino.training.config import TrainConfig
from dino.training.data import (
    Batch,
    Photos,
    StepSampler,
    normalize,
    open_photos,
    read_batches,
)
from dino.training.runs import checkpoint
from dino.training.runs.folder import Inputs, RunFolder, environment, read_environment, read_run
from dino.training.runs.reporter import RunReporter
from dino.training.state import Training, prepare
from dino.training.step import NonFiniteLossError, StepResult

Say = Callable[[str], None]


def fit(
    config: TrainConfig,
    data: str | Path,
    run: str | Path,
    *,
    knn: str | Path | None = None,
    film: tuple[str | Path, ...] = (),
    masks: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    workers: int = 2,
    say: Say = print,
) -> Path:
    """Train on photos.

    Args:
        data: a folder of photos, or WebDataset shards (see `data.open_photos`).
        run: folder of the run; must not hold one, unless `resume`.
        knn: a labelled folder; k-NN on it every `probe_every` epochs.
        film: photos whose attention is drawn as often.
        masks: photos with masks (as `dino eval segmentation` reads them), for J as often.
        workers: processes that read and augment photos; the result does not depend on it.
        say: gets a line at every logging step.
    Returns:
        The run's folder.
    Raises:
        UserError: no photos, a folder in use, nothing to resume, a loss that is not finite, or a run that
            broke off: out of memory, a full disk, a reading process that died.
    """
    # By paths that hold wherever the run is resumed from.
    knn, masks = (None if path is None else os.path.abspath(path) for path in (knn, masks))
    inputs = Inputs(os.path.abspath(data), knn, tuple(map(os.path.abspath, film)), masks)
    run_folder = RunFolder(Path(run))
    with joined(device) as world, stop_on_signal() as stop:
        if world.leads:
            run_folder.check_free(resume=resume)
        precision = _precision(config, device, run_folder.folder if resume else None)
        photos = open_photos(data)
        training = prepare(config, photos, world=world, device=device, precision=precision)
        reporter = RunReporter(run_folder, config, inputs, world=world, say=say)
        try:
            if resume:
                _restore(training, run_folder, reporter)
            elif world.leads:
                run_folder.create(config, inputs, len(photos), environment(precision))
        except OSError as error:
            raise UserError(
                f"{run_folder.folder} cannot be written ({error.strerror or error}); free space or "
                "choose another folder"
            ) from error
        wait_for_all()
        _run_and_record_end(training, photos, reporter, workers=workers, stop=stop)
    return run_folder.folder


def _precision(config: TrainConfig, device: str, run: Path | None) -> str:
    """Choose one precision for a whole run and all its processes, whatever "auto" would measure next time."""
    recorded = read_environment(run) if run and config.precision == "auto" else {}
    chosen = recorded.get("precision") or choose_precision(config.precision, choose_device(device))
    return from_first_process(str(chosen))


def _restore(training: Training, run: RunFolder, reporter: RunReporter) -> None:
    """Go on from the newest whole checkpoint; from the start where none was written yet.

    Raises:
        WeightsError: all are damaged, or there is no run.
    """
    if not checkpoint.list_checkpoints(run.checkpoints) and (run.folder / "config.json").exists():
        reporter.resumed(0, [])
        return
    saved, problems = checkpoint.load_newest(run.checkpoints)
    training.restore(saved)
    reporter.resumed(training.step, problems)


def resume_run(run: str | Path, **options: Any) -> Path:
    """Go on with the run in a folder, on the photos it was started with; options as `fit`'s.

    Raises:
        UserError: not a run.
    """
    before = read_run(Path(run))
    return fit(before.config, run=run, resume=True, **asdict(before.inputs), **options)


def _run_and_record_end(
    training: Training, photos: Photos, reporter: RunReporter, *, workers: int, stop: list[bool]
) -> None:
    """Run, and write in the end how it ended."""
    try:
        reporter.state("running")
        finished = _run(training, photos, reporter, workers=workers, stop=stop)
    except BaseException as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        with suppress(OSError):  # the disk may be what failed
            reporter.state("failed", reason)
            if not isinstance(error, UserError):
                reporter.log_error(error)
        if not isinstance(error, RuntimeError | OSError):
            raise
        # Out of memory, a full disk, a lost worker.
        raise UserError(
            f"the run broke off at step {training.step} ({reason}); mend that and resume it"
        ) from error
    reporter.state("finished" if finished else "stopped")


def _run(
    training: Training, photos: Photos, reporter: RunReporter, *, workers: int, stop: list[bool]
) -> bool:
    """Take steps until the end (True) or a signal (False); save on the way and at the end."""
    config, per_epoch = training.config, training.schedules.steps_per_epoch
    milestone = config.keep_every * per_epoch
    if training.step == 0:
        reporter.probe(training.method, 0, epoch=0)
    for batch, waited in _batches(training, photos, workers):
        result = _step(training, batch)
        training.step += 1
        step, last = training.step, training.step == training.end
        reporter.count(batch, photos, waited)
        logs = last or _due(step, config.log_every)
        if logs:
            _check_finite(training)
            reporter.log(training, result)
        asked = _asked_to_stop(training, stop)
        probes = last or _due(step, config.probe_every * per_epoch)
        # Measured before it is saved: what a crash loses between the two is done again.
        if probes or asked:
            reporter.export(training.method, step)
        if probes:
            reporter.probe(training.method, step, epoch=-(-step // per_epoch))
        if last or asked or _due(step, config.save_every) or _due(step, milestone):
            _check_finite(training)
            reporter.save(training.snapshot(), milestone=milestone)
        if asked and not last:
            return False
    return True


def _due(step: int, period: int) -> bool:
    return period > 0 and step % period == 0


def _asked_to_stop(training: Training, stop: list[bool]) -> bool:
    """Ask whether to stop: several processes may get a signal at different steps, and agree every few.

    Often on CPUs, where asking costs little; a GPU would have to wait for each answer.
    """
    if training.world.size == 1:
        return stop[0]
    every = 1 if training.device.type == "cpu" else 10
    return training.step % every == 0 and any_process(stop[0], training.device)


def _step(training: Training, batch: Batch) -> StepResult:
    crops = [crop.to(training.device, non_blocking=True) for crop in batch.crops]
    labels = batch.labels.to(training.device, non_blocking=True)
    try:
        result = training.method.step(
            normalize(crops, *training.scale),
            labels,
            training.schedules.at(training.step),
            training.options,
        )
    except NonFiniteLossError as error:
        raise UserError(_not_finite(training.step + 1)) from error
    training.broken += ~result.finite  # on the device; read where it is logged
    return result


def _check_finite(training: Training) -> None:
    if float(training.broken) > 0:
        raise UserError(_not_finite(training.step))


def _not_finite(step: int) -> str:
    return (
        f"the loss was not finite at step {step} or just before; the last checkpoint is kept, so "
        "lower base_lr in the run's config.json, or set its precision to fp32, and resume"
    )


def _batches(training: Training, photos: Photos, workers: int) -> Iterator[tuple[Batch, float]]:
    """Yield batches from the training's step to its end, and the seconds each was waited for."""
    config, world = training.config, training.world
    sampler = StepSampler(
        len(photos),
        config.batch_size,
        seed=config.seed,
        start=training.step,
        end=training.end,
        rank=world.rank,
        world=world.size,
    )
    batches = read_batches(
        photos,
        build_crops(config),
        sampler,
        seed=config.seed,
        workers=workers,
        pin=training.device.type == "cuda",
    )
    before = time.perf_counter()
    for batch in batches:
        if not batch.crops:
            raise UserError("none of a whole batch's photos could be read; check the folder")
        yield batch, time.perf_counter() - before
        before = time.perf_counter()
