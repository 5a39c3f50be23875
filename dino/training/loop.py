"""The training loop: `fit` starts or resumes a run and leaves a folder that tells all of it."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dino.errors import UserError
from dino.folders import PhotoFolder, open_folder
from dino.precision import choose_device, choose_precision, dtype_of
from dino.training import checkpoint, metrics
from dino.training.build import (
    Schedules,
    build_loss,
    build_networks,
    build_optimizer,
    build_schedules,
)
from dino.training.config import TrainConfig
from dino.training.crops import MultiCrop
from dino.training.data import Batch, StepSampler, loader, normalize
from dino.training.loss import DINOLoss
from dino.training.network import Network, prefer_plain_attention
from dino.training.runs import RunFolder, environment
from dino.training.step import NonFiniteLossError, train_step
from dino.weights.zoo import IMAGENET_MEAN, IMAGENET_STD

Say = Callable[[str], None]


@dataclass
class Training:
    """What changes while a run runs."""

    config: TrainConfig
    student: Network
    teacher: Network
    loss: DINOLoss
    optimizer: torch.optim.Optimizer
    schedules: Schedules
    device: torch.device
    autocast: torch.dtype | None
    step: int = 0

    def snapshot(self) -> checkpoint.Checkpoint:
        """Everything a resume needs."""
        return checkpoint.Checkpoint(
            student=self.student.state_dict(),
            teacher=self.teacher.state_dict(),
            loss=self.loss.state_dict(),
            optimizer=self.optimizer.state_dict(),
            step=self.step,
            config=self.config,
            rng=checkpoint.random_state(),
        )

    def restore(self, saved: checkpoint.Checkpoint) -> None:
        """Go on where a snapshot was taken."""
        self.student.load_state_dict(saved.student)
        self.teacher.load_state_dict(saved.teacher)
        self.loss.load_state_dict(saved.loss)
        self.optimizer.load_state_dict(dict(saved.optimizer))
        checkpoint.restore_random_state(saved.rng)
        self.step = saved.step


def fit(
    config: TrainConfig,
    data: str | Path,
    run: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    workers: int = 2,
    say: Say = print,
) -> Path:
    """Train on a folder of photos.

    Args:
        run: folder of the run; must not hold one, unless `resume`.
        workers: processes that read and augment photos; the result does not depend on it.
        say: gets a line at every logging step.
    Returns:
        The run's folder.
    Raises:
        UserError: no photos, a folder in use, nothing to resume, or a loss that is not finite.
    """
    folder, run_folder = open_folder(data), RunFolder(Path(run))
    training = prepare(config, len(folder.paths), device)
    if resume:
        saved, problems = checkpoint.load_newest(run_folder.checkpoints)
        for problem in problems:
            run_folder.say(problem)
            say(problem)
        training.restore(saved)
        run_folder.truncate_metrics(training.step)
    else:
        run_folder.create(config, environment())
    run_folder.set_state("running")
    try:
        with _stop_on_sigterm() as stop:
            finished = _run(training, folder, run_folder, workers=workers, say=say, stop=stop)
    except UserError as error:
        run_folder.set_state("failed", str(error))
        raise
    run_folder.set_state("finished" if finished else "stopped")
    return run_folder.folder


def prepare(config: TrainConfig, num_photos: int, device: str) -> Training:
    """Networks, loss, optimizer and schedules of a run, on their device."""
    chosen = choose_device(device)
    precision = choose_precision(config.precision, chosen)
    student, teacher = build_networks(config)
    student.to(chosen), teacher.to(chosen)
    if precision == "bf16" and chosen.type == "cpu":
        for network in (student, teacher):
            prefer_plain_attention(network)
    return Training(
        config=config,
        student=student.train(),
        teacher=teacher.train(),
        loss=build_loss(config).to(chosen),
        optimizer=build_optimizer(config, student),
        schedules=build_schedules(config, num_photos),
        device=chosen,
        autocast=None if precision == "fp32" else dtype_of(precision),
    )


def _run(
    training: Training,
    folder: PhotoFolder,
    run: RunFolder,
    *,
    workers: int,
    say: Say,
    stop: list[bool],
) -> bool:
    """Steps until the end (True) or a signal (False); saves on the way and at the end."""
    config = training.config
    end = min(training.schedules.total, config.max_steps or training.schedules.total)
    skipped, waited, started = 0, 0.0, time.perf_counter()
    for batch, wait in _batches(training, folder, end, workers):
        skipped, waited = skipped + batch.skipped, waited + wait
        result = _step(training, batch)
        training.step += 1
        if training.step % config.log_every == 0 or training.step == end:
            seconds = time.perf_counter() - started
            values = _measure(training, result, seconds, waited, skipped)
            run.log(values)
            say(_line(values, end))
            if problem := metrics.collapse(values, config.out_dim):
                run.say(problem)
                say(problem)
            waited, started = 0.0, time.perf_counter()
        if training.step % config.save_every == 0 or training.step == end or stop[0]:
            checkpoint.save(run.checkpoints, training.snapshot(), keep=config.keep)
        if stop[0]:
            return False
    export_teacher(training, run.folder / "weights" / "teacher.safetensors")
    return True


def _step(training: Training, batch: Batch) -> Any:
    mean, std = (
        torch.tensor(values, device=training.device).view(3, 1, 1)
        for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    crops = [crop.to(training.device, non_blocking=True) for crop in batch.crops]
    config = training.config
    try:
        return train_step(
            training.student,
            training.teacher,
            training.loss,
            training.optimizer,
            normalize(crops, mean, std),
            values=training.schedules.at(training.step),
            clip_grad=config.clip_grad,
            freeze_last_layer=config.freeze_last_layer,
            autocast=training.autocast,
        )
    except NonFiniteLossError as error:
        raise UserError(
            f"the loss was not finite at step {training.step}; the last checkpoint is kept, so resume "
            "from it with a lower learning rate or in fp32"
        ) from error


def _batches(
    training: Training, folder: PhotoFolder, end: int, workers: int
) -> Iterator[tuple[Batch, float]]:
    """Batches from the training's step to `end`, and the seconds each was waited for."""
    config, per_epoch = training.config, training.schedules.steps_per_epoch
    crops = MultiCrop(
        config.global_size,
        config.local_size,
        config.num_locals,
        config.global_scale,
        config.local_scale,
        config.blur_radius,
    )
    sampler = StepSampler(len(folder.paths), config.batch_size, seed=config.seed)
    while training.step < end:
        sampler.epoch, sampler.start = divmod(training.step, per_epoch)
        before = time.perf_counter()
        for batch in loader(folder, crops, sampler, seed=config.seed, workers=workers):
            if not batch.crops:
                raise UserError("none of a whole batch's photos could be read; check the folder")
            yield batch, time.perf_counter() - before
            before = time.perf_counter()
            if training.step >= end:
                return


def _measure(
    training: Training, result: Any, seconds: float, waited: float, skipped: int
) -> dict[str, Any]:
    config = training.config
    values = training.schedules.at(training.step - 1)
    return {
        "step": training.step,
        "epoch": values.epoch,
        "images_seen": training.step * config.batch_size,
        **metrics.measure(result, training.loss, values.epoch),
        "lr": values.lr,
        "weight_decay": values.weight_decay,
        "momentum": values.momentum,
        "teacher_temp": training.loss.temperature(values.epoch),
        "images_per_s": config.log_every * config.batch_size / seconds,
        "data_wait": waited / seconds,
        "skipped": skipped,
    }


def _line(values: dict[str, Any], end: int) -> str:
    left = (end - values["step"]) * values["images_seen"] / values["step"] / values["images_per_s"]
    return (
        f"step {values['step']}/{end}  loss {values['loss']:.3f}  "
        f"entropy {values['teacher_entropy']:.2f} (batch mean {values['batch_mean_entropy']:.2f})  "
        f"kl {values['kl']:.3f}  {values['images_per_s']:.1f} images/s  {left / 60:.0f} min left"
    )


def export_teacher(training: Training, path: Path) -> None:
    """The teacher's backbone as fp16 safetensors, which `dino.load` opens."""
    from dino.weights.conversion import dimensions
    from dino.weights.saving import save

    backbone = training.teacher.backbone
    told = {
        "name": path.parent.parent.name,
        "description": f"{training.config.arch}, trained here for {training.step} steps by DINO.",
        **dimensions(backbone),
    }
    save(backbone.state_dict(), path, dtype="fp16", metadata=told)


@contextmanager
def _stop_on_sigterm() -> Iterator[list[bool]]:
    """A flag that SIGTERM sets; the run then saves after its step and ends in order."""
    flag = [False]

    def request(signum: int, frame: Any) -> None:
        flag[0] = True

    previous = signal.signal(signal.SIGTERM, request)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGTERM, previous)
