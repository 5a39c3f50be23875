"""Write down what a run does: metrics, log, checkpoints, weights, probes, TensorBoard events."""

import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dino.errors import UserError
from dino.system import processes
from dino.system.distributed import World, wait_for_all
from dino.system.words import bits
from dino.training.config import TrainConfig
from dino.training.data import Batch, Photos
from dino.training.methods import Method, frozen_copy
from dino.training.probes.probing import open_probe
from dino.training.runs import checkpoint
from dino.training.runs.exports import export_head, export_weights
from dino.training.runs.folder import PROBES, Inputs, RunFolder
from dino.training.step import StepResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from dino.training.state import Training

# Unreadable photos named in the log; the rest are counted.
_NAMED = 20


def open_events(run: Path) -> Any:
    """Open a TensorBoard writer into RUN/tensorboard (`tensorboard --logdir RUN`); None without the package."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run / "tensorboard"))


def write_events(writer: Any, values: dict[str, Any]) -> None:
    """Write every number of a line of metrics, at its `step`; nothing where there is no writer."""
    if writer is None:
        return
    for name, value in values.items():
        if name != "step":
            writer.add_scalar(name, value, values["step"])
    writer.flush()


class RunReporter:
    """Writer of a run's folder; in other processes than the first it only keeps in step with that one."""

    def __init__(
        self,
        folder: RunFolder,
        config: TrainConfig,
        inputs: Inputs,
        *,
        world: World,
        say: "Callable[[str], None]",
    ) -> None:
        self._folder, self._config, self._world, self._say = folder, config, world, say
        probes = config.probe_every > 0 and world.leads
        self._probe = open_probe(config.probe_size, config.film_size, inputs) if probes else None
        self._events: Any = None
        self._unreadable: set[int] = set()
        self._waited, self._since, self._steps = 0.0, time.perf_counter(), 0
        self._problem: str | None = None

    def state(self, status: str, reason: str = "") -> None:
        """Write what the run is doing."""
        if self._world.leads:
            if status == "running":
                self._events = open_events(self._folder.folder)
            self._folder.set_state(status, reason)
            self._folder.say(f"{status}{': ' if reason else ''}{reason}")

    def log_error(self, error: BaseException) -> None:
        """Log where an unforeseen error came from, for whoever mends it."""
        if self._world.leads:
            self._folder.say("".join(traceback.format_exception(error)))

    def resumed(self, step: int, problems: list[str]) -> None:
        """Log a resume at `step`, and what was wrong with newer checkpoints."""
        if not self._world.leads:
            return
        for line in (*problems, f"resumed at step {step}"):
            self._note(line)
        self._folder.truncate(step)
        self._folder.drop_unfinished()

    def count(self, batch: Batch, photos: Photos, waited: float) -> None:
        """Count a batch, the seconds it was waited for, and the photos it could not read."""
        self._waited += waited
        self._steps += 1
        for index in batch.unreadable:
            if index not in self._unreadable and len(self._unreadable) < _NAMED:
                self._note(f"{photos.name(index)} cannot be read and is skipped")
            self._unreadable.add(index)

    def log(self, training: "Training", result: StepResult) -> None:
        """Write the metrics of a step; every process calls this, since they are means over all."""
        now = time.perf_counter()
        values = {
            **_progress(training),
            **training.method.measure(result, training.schedules.at(training.step - 1).epoch),
            "images_per_s": self._steps * self._config.batch_size / (now - self._since),
            "data_wait": self._waited / (now - self._since),
            "skipped": len(self._unreadable),
            "peak_memory": peak_memory(training.device),
        }
        self._waited, self._since, self._steps = 0.0, now, 0
        if not self._world.leads:
            return
        self._folder.log(values)
        write_events(self._events, values)
        self._say(progress_line(values, training.end))
        problem = training.method.problem(values)
        kind = problem.partition(":")[0] if problem else None
        if problem and kind != self._problem:
            self._note(problem)
        self._problem = kind

    def save(self, snapshot: checkpoint.Checkpoint, *, milestone: int) -> None:
        """Write a checkpoint."""
        if self._world.leads:
            keep = self._config.keep
            checkpoint.save(self._folder.checkpoints, snapshot, keep=keep, milestone=milestone)
        wait_for_all()

    def export(self, method: Method, step: int) -> None:
        """Write the result so far as weights, and a DINO head beside it."""
        if not self._world.leads:
            return
        place, config = self._folder.folder / "weights", self._config
        what = f"Fine-tuned from {Path(config.init).name}" if config.init else config.arch
        how = "by DINO" if config.method == "dino" else "with labels"
        mean, std = method.scale
        export_weights(
            method.result.backbone,
            place / "teacher.safetensors",
            name=self._folder.folder.name,
            description=f"{what}, trained {how} for {step} steps.",
            mean=mean,
            std=std,
        )
        if "loss" in method.modules:
            center: Any = method.modules["loss"].center
            export_head(method.result.head, center, place / "head.safetensors")

    def probe(self, method: Method, step: int, *, epoch: int) -> None:
        """Measure what has been learned; the other processes wait."""
        if self._probe is not None:
            try:
                found = self._probe.measure(
                    frozen_copy(method), method.scale, self._folder.folder, epoch_name(epoch)
                )
            except (UserError, OSError) as error:  # a photo that is gone does not end a long run
                self._note(f"epoch {epoch}: nothing measured ({error})")
                found = dict.fromkeys(("knn", "jaccard", "film"))
            if any(value is not None for value in found.values()):
                self._folder.log({"step": step, "epoch": epoch, **found}, file=PROBES)
            formats = {"knn": "k-NN {:.1f} %", "jaccard": "J {:.3f}"}
            numbers = {name: found[name] for name in formats if found[name] is not None}
            if numbers:
                words = (formats[name].format(value) for name, value in numbers.items())
                self._note(f"epoch {epoch}: {', '.join(words)}")
                write_events(self._events, {"step": step, **numbers})
        wait_for_all()
        self._waited, self._since, self._steps = 0.0, time.perf_counter(), 0

    def _note(self, line: str) -> None:
        if self._world.leads:
            self._folder.say(line)
            self._say(line.encode(errors="backslashreplace").decode())  # names need not be UTF-8


def epoch_name(epoch: int) -> str:
    """Name the folder of an epoch's pictures."""
    return f"epoch-{epoch:04d}"


def progress_line(values: dict[str, Any], end: int) -> str:
    """Write a line for people: where the run is, its loss, and how long it still takes."""
    left = (end - values["step"]) * values["batch_size"] / values["images_per_s"]
    words = [f"step {values['step']}/{end}", f"loss {values['loss']:.3f}"]
    if "teacher_entropy" in values:
        words.append(
            f"entropy {bits(values['teacher_entropy']):.2f} bits "
            f"(batch mean {bits(values['batch_mean_entropy']):.2f})"
        )
    if "kl" in values:
        words.append(f"kl {bits(values['kl']):.3f} bits")
    words += [f"{values['images_per_s']:.1f} images/s", f"{left / 60:.0f} min left"]
    return "  ".join(words)


def peak_memory(device: torch.device) -> int:
    """Measure the most bytes held so far: on the GPU, or by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return processes.peak_memory()


def _progress(training: "Training") -> dict[str, Any]:
    values = training.schedules.at(training.step - 1)
    return {
        "step": training.step,
        "epoch": values.epoch,
        "images_seen": training.step * training.config.batch_size,
        "batch_size": training.config.batch_size,
        "lr": values.lr,
        "weight_decay": values.weight_decay,
        "momentum": values.momentum,
    }
