"""The training loop: `fit` starts or resumes a run and leaves a folder that tells all of it."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dino.errors import UserError
from dino.precision import choose_device, choose_precision, dtype_of
from dino.training import checkpoint
from dino.training.build import Schedules, build_crops, build_schedules
from dino.training.config import TrainConfig
from dino.training.data import Batch, Photos, StepSampler, loader, normalize, open_photos
from dino.training.distributed import World, any_process, joined, wait_for_all
from dino.training.methods import Method, build_method
from dino.training.report import Reporter
from dino.training.runs import Inputs, RunFolder, environment, read_inputs
from dino.training.step import NonFiniteLossError, StepOptions, StepResult

Say = Callable[[str], None]


@dataclass
class Training:
    """What changes while a run runs."""

    config: TrainConfig
    method: Method
    schedules: Schedules
    device: torch.device
    world: World
    options: StepOptions
    step: int = 0
    broken: torch.Tensor = field(default_factory=lambda: torch.zeros(()))

    @property
    def end(self) -> int:
        """The step the run ends at."""
        return min(self.schedules.total, self.config.max_steps or self.schedules.total)

    def snapshot(self) -> checkpoint.Checkpoint:
        """Everything a resume needs."""
        states = {name: module.state_dict() for name, module in self.method.modules.items()}
        mean, std = map(list, self.method.scale)
        return checkpoint.Checkpoint(
            **states,
            optimizer=self.method.optimizer.state_dict(),
            step=self.step,
            config=self.config,
            rng=checkpoint.random_state(),
            preprocessing={"mean": mean, "std": std},
        )

    def restore(self, saved: checkpoint.Checkpoint) -> None:
        """Go on where a snapshot was taken."""
        for name, module in self.method.modules.items():
            module.load_state_dict(getattr(saved, name))
        self.method.optimizer.load_state_dict(dict(saved.optimizer))
        checkpoint.restore_random_state(saved.rng)
        self.step = saved.step


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
        UserError: no photos, a folder in use, nothing to resume, or a loss that is not finite.
    """
    inputs = Inputs(
        data=str(data),
        knn=None if knn is None else str(knn),
        film=tuple(map(str, film)),
        masks=None if masks is None else str(masks),
    )
    photos, run_folder = open_photos(data), RunFolder(Path(run))
    with joined(device) as world, _stop_on_signal() as stop:
        training = prepare(config, photos, device, world)
        reporter = Reporter(run_folder, config, inputs, world=world, say=say)
        if resume:
            saved, problems = checkpoint.load_newest(run_folder.checkpoints)
            training.restore(saved)
            reporter.resumed(training.step, problems)
        elif world.leads:
            run_folder.create(config, inputs, environment())
        wait_for_all()
        _guarded(training, photos, reporter, workers=workers, stop=stop)
    return run_folder.folder


def resume_run(run: str | Path, **options: Any) -> Path:
    """Go on with the run in a folder, on the photos it was started with; options as `fit`'s.

    Raises:
        UserError: not a run.
    """
    from dino.training.runs import read_run

    told = read_run(Path(run))
    inputs = read_inputs(Path(run))
    looks: dict[str, Any] = {"knn": inputs.knn, "film": inputs.film, "masks": inputs.masks}
    return fit(told.config, inputs.data, run, resume=True, **looks, **options)


def prepare(config: TrainConfig, photos: Photos, device: str, world: World) -> Training:
    """Networks, loss, optimizer and schedules of a run, on their device."""
    chosen = choose_device(device)
    if world.size > 1 and chosen.type == "cuda":
        chosen = torch.device("cuda", world.local_rank)
    precision = choose_precision(config.precision, chosen)
    low = precision != "fp32"
    return Training(
        config=config,
        method=build_method(
            config,
            device=chosen,
            world=world,
            num_classes=len(photos.classes),
            plain=low and chosen.type == "cpu",
        ),
        schedules=build_schedules(config, len(photos)),
        device=chosen,
        world=world,
        options=StepOptions(
            clip_grad=config.clip_grad,
            freeze_last_layer=config.freeze_last_layer,
            autocast=dtype_of(precision) if low else None,
        ),
        broken=torch.zeros((), device=chosen),
    )


def _guarded(
    training: Training, photos: Photos, reporter: Reporter, *, workers: int, stop: list[bool]
) -> None:
    """The run, and in the end its state, however it ends."""
    reporter.state("running")
    try:
        finished = _run(training, photos, reporter, workers=workers, stop=stop)
    except UserError as error:
        reporter.state("failed", str(error))
        raise
    except (RuntimeError, OSError) as error:  # out of memory, a full disk, a lost worker
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        reporter.state("failed", reason)
        reporter.trace(error)
        raise UserError(
            f"the run broke off at step {training.step} ({reason}); mend that and resume it"
        ) from error
    reporter.state("finished" if finished else "stopped")


def _run(
    training: Training, photos: Photos, reporter: Reporter, *, workers: int, stop: list[bool]
) -> bool:
    """Steps until the end (True) or a signal (False); saves on the way and at the end."""
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
        asked = _asked_to_stop(training, stop, logs)
        if last or asked or _due(step, config.save_every) or _due(step, milestone):
            _check_finite(training)
            reporter.save(training.snapshot(), milestone=milestone)
        looks = last or _due(step, config.probe_every * per_epoch)
        if looks or asked:
            reporter.export(training.method, step)
        if looks:
            reporter.probe(training.method, step, epoch=step // per_epoch)
        if asked and not last:
            return False
    return True


def _due(step: int, period: int) -> bool:
    return period > 0 and step % period == 0


def _asked_to_stop(training: Training, stop: list[bool], logs: bool) -> bool:
    """Several processes may get a signal at different steps; they agree where they meet to log."""
    if training.world.size == 1:
        return stop[0]
    return logs and any_process(stop[0], training.device)


def _step(training: Training, batch: Batch) -> StepResult:
    crops = [crop.to(training.device, non_blocking=True) for crop in batch.crops]
    labels = batch.labels.to(training.device, non_blocking=True)
    mean, std = (
        torch.tensor(v, device=training.device).view(3, 1, 1) for v in training.method.scale
    )
    try:
        result = training.method.step(
            normalize(crops, mean, std),
            labels,
            training.schedules.at(training.step),
            training.options,
        )
    except NonFiniteLossError as error:
        raise UserError(_not_finite(training.step)) from error
    training.broken += ~torch.isfinite(result.loss)  # on the device; read where it is logged
    return result


def _check_finite(training: Training) -> None:
    if float(training.broken) > 0:
        raise UserError(_not_finite(training.step))


def _not_finite(step: int) -> str:
    return (
        f"the loss was not finite at step {step} or just before; the last checkpoint is kept, so "
        "resume from it with a lower learning rate or in fp32"
    )


def _batches(training: Training, photos: Photos, workers: int) -> Iterator[tuple[Batch, float]]:
    """Batches from the training's step to its end, and the seconds each was waited for."""
    config, per_epoch = training.config, training.schedules.steps_per_epoch
    world = training.world
    sampler = StepSampler(
        len(photos), config.batch_size, seed=config.seed, rank=world.rank, world=world.size
    )
    crops = build_crops(config)
    while training.step < training.end:
        sampler.epoch, sampler.start = divmod(training.step, per_epoch)
        before = time.perf_counter()
        for batch in loader(photos, crops, sampler, seed=config.seed, workers=workers):
            if not batch.crops:
                raise UserError("none of a whole batch's photos could be read; check the folder")
            yield batch, time.perf_counter() - before
            before = time.perf_counter()
            if training.step >= training.end:
                return


@contextmanager
def _stop_on_signal() -> Iterator[list[bool]]:
    """A flag that SIGTERM or Ctrl-C sets; the run then saves after its step and ends in order.

    A second Ctrl-C ends it at once. Outside the main thread, where Python takes no signals, nothing.
    """
    flag = [False]

    def request(signum: int, frame: Any) -> None:
        if flag[0] and signum == signal.SIGINT:
            raise KeyboardInterrupt
        flag[0] = True

    watched = [signal.SIGTERM, signal.SIGINT]
    if threading.current_thread() is not threading.main_thread():
        watched = []
    previous = {number: signal.signal(number, request) for number in watched}
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
