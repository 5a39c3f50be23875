"""Checkpoints that survive a crash: durable and atomic; a damaged newest falls back to the one before."""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import torch

from dino.errors import WeightsError
from dino.system.files import hash_file, open_atomically, replace_file
from dino.training.config import TrainConfig

_NAME = re.compile(r"step-(\d{8})\.pt$")


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on: state dicts of student, teacher, loss and optimizer, where it was,
    the config, the state of the random generators, and `preprocessing`: mean and std of the input,
    and of a ViT what its tensors do not always show, `num_heads` and `grid` (rows, columns).
    A supervised run has a student only."""

    student: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    step: int
    config: TrainConfig
    rng: Mapping[str, Any]
    teacher: Mapping[str, Any] = field(default_factory=dict)
    loss: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)


def save(folder: Path, checkpoint: Checkpoint, *, keep: int, milestone: int = 0) -> Path:
    """Write `step-NNNNNNNN.pt` atomically with its sha256 beside it, then drop what is old.

    Args:
        keep: newest checkpoints to leave, at least 1.
        milestone: leave also those of every this many steps; 0 leaves none.
    Returns:
        The file.
    Raises:
        OSError: the disk is full, or the folder cannot be written; what was there stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{checkpoint.step:08d}.pt"
    with open_atomically(path) as file:
        _save_plain(checkpoint, file)
        file.flush()
        digest = hash_file(Path(file.name))
        replace_file(path.with_suffix(".sha256"), f"{digest}  {path.name}\n", durable=True)
    _sync_folder(folder)
    _drop_old(folder, checkpoint.step, keep, milestone)
    return path


def _save_plain(checkpoint: Checkpoint, file: IO[bytes]) -> None:
    """Save as torch does, with the disk's own error: torch, closing its archive, covers it with another."""
    try:
        torch.save(_to_plain(checkpoint), file)
    except RuntimeError as error:
        before = error.__context__
        while before is not None and not isinstance(before, OSError):
            before = before.__context__
        if before is None:
            raise
        raise before from error


def _drop_old(folder: Path, step: int, keep: int, milestone: int) -> None:
    """Remove all but the newest up to `step` and the milestones; newer ones are damaged or left behind."""
    steps = {path: int(path.stem.removeprefix("step-")) for path in list_checkpoints(folder)}
    current = [path for path, at in steps.items() if at <= step]
    stays = {path for path in current if milestone and steps[path] % milestone == 0}
    for path in steps:
        if path not in stays and path not in current[:keep]:
            path.unlink()
            path.with_suffix(".sha256").unlink(missing_ok=True)
    # What a process left that was killed in the middle of a save.
    for part in folder.glob(".step-*.part"):
        part.unlink()
    for digest in folder.glob("step-*.sha256"):
        if not digest.with_suffix(".pt").exists():
            digest.unlink()


def list_checkpoints(folder: Path) -> list[Path]:
    """List checkpoint files, newest first."""
    return sorted((p for p in folder.glob("step-*.pt") if _NAME.search(p.name)), reverse=True)


def load_newest(folder: Path) -> tuple[Checkpoint, list[str]]:
    """Load the newest checkpoint that is whole, and say in a sentence what is wrong with each newer one.

    Raises:
        WeightsError: none is whole.
    """
    problems: list[str] = []
    for path in list_checkpoints(folder):
        try:
            return load(path), problems
        except WeightsError as error:
            problems.append(str(error))
    reason = "; ".join(problems) or "there is none"
    raise WeightsError(f"no checkpoint in {folder} can be resumed ({reason}); start the run anew")


def load(path: Path) -> Checkpoint:
    """Read a checkpoint safely, checked against the hash beside it.

    Raises:
        WeightsError: damaged, incomplete, or not a checkpoint of ours.
    """
    try:
        recorded = _recorded_digest(path)
        if recorded is not None and recorded != hash_file(path):
            raise WeightsError(
                f"{path.name} is damaged: its sha256 is not the one recorded beside it"
            )
        plain = torch.load(path, map_location="cpu", weights_only=True)
        config = TrainConfig.from_dict(plain.pop("config"))
        return Checkpoint(config=config, **plain)
    except Exception as error:  # damaged bytes surface as any type, AssertionError included
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{path.name} cannot be read as a checkpoint ({reason})") from error


def random_state() -> dict[str, Any]:
    """Take the state of torch's generators; everything else draws from (seed, epoch, index)."""
    state: dict[str, Any] = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put torch's generators back into a state of `random_state`."""
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _to_plain(checkpoint: Checkpoint) -> dict[str, Any]:
    """Turn a checkpoint into tensors, numbers and strings, which the safe loader can read back."""
    config = {
        k: list(v) if isinstance(v, tuple) else v for k, v in asdict(checkpoint.config).items()
    }
    parts = {n: getattr(checkpoint, n) for n in ("student", "teacher", "loss")}
    rest = {n: getattr(checkpoint, n) for n in ("optimizer", "step", "rng", "preprocessing")}
    return {**{name: state for name, state in parts.items() if state}, **rest, "config": config}


def _recorded_digest(path: Path) -> str | None:
    """Read the digest beside a checkpoint; None without one, as a power failure may leave it."""
    beside = path.with_suffix(".sha256")
    digests = beside.read_text(errors="replace").split() if beside.exists() else []
    return digests[0] if digests else None


def _sync_folder(folder: Path) -> None:
    """Have a rename in a folder on the disk."""
    if os.name == "nt":  # Windows opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
