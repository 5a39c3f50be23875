"""Estimate what a run would take before it starts: photos, steps, memory, disk, and time if measured.

print("\\n".join(preflight(config, open_photos("photos/"), measure=True).lines()))
"""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dino.errors import ImageError, UserError
from dino.media.preprocessing import channel_tensor
from dino.model.device import choose_device, choose_precision, dtype_of
from dino.model.limits import free_bytes
from dino.system.distributed import World
from dino.system.words import duration
from dino.training.build import ARCHITECTURES, build_crops, build_schedules
from dino.training.config import TrainConfig
from dino.training.data import Photos, evenly_spread, normalize
from dino.training.methods import Method, build_method
from dino.training.step import StepOptions, unwrapped

# Photos read for their sizes, for unreadable ones and for the time a photo takes.
_SAMPLE = 16
# Values a block keeps for the backward pass, for each token and channel, fused attention.
_KEPT_PER_BLOCK = 18
_FEW_PHOTOS, _FEW_STEPS = 500, 300
# Times the free memory at which a run is refused rather than warned of: the estimate is a rough one.
_REFUSED_FROM = 2


@dataclass(frozen=True)
class Preflight:
    """An estimate: `sizes` of the photos in words, bytes, `seconds` (None where not measured),
    `problems` as sentences, and why the run cannot fit (`too_large`; empty: it may)."""

    num_photos: int
    sizes: str
    steps_per_epoch: int
    total_steps: int
    memory_bytes: int
    disk_bytes: int
    seconds: float | None
    problems: tuple[str, ...]
    too_large: str = ""

    def lines(self) -> list[str]:
        """Write the estimate, ready to print."""
        lines = [
            f"photos   {self.num_photos:,} ({self.sizes})",
            f"steps    {self.total_steps:,}, {self.steps_per_epoch:,} an epoch",
            f"memory   about {self.memory_bytes / 2**30:.1f} GB",
            f"disk     about {self.disk_bytes / 2**30:.2f} GB",
        ]
        if self.seconds is not None:
            lines.append(f"time     about {duration(self.seconds)} on this machine, when idle")
        return [*lines, *[f"note: {problem}" for problem in self.problems]]


def preflight(
    config: TrainConfig,
    photos: Photos,
    *,
    place: Path = Path(),
    device: str = "auto",
    workers: int = 2,
    measure: bool = False,
) -> Preflight:
    """Estimate a run.

    Args:
        place: where the run's folder will be, for the free disk.
        measure: time two small steps and the reading of some photos; seconds instead of nothing.
    Raises:
        UserError: what cannot work at all.
    """
    schedules = build_schedules(config, len(photos))
    chosen = choose_device(device)
    precision = choose_precision(config.precision, chosen)
    free_memory = free_bytes(chosen)
    num_classes = len(photos.classes)
    method = build_method(
        config, device=chosen, world=World(), num_classes=num_classes, precision=precision
    )
    sizes, unreadable, photo_seconds = _sample(config, photos)
    total = min(schedules.total, config.max_steps or schedules.total)
    seconds = None
    if measure:
        step, reading = _step_seconds(config, method, chosen), photo_seconds * config.batch_size
        seconds = total * (max(step, reading / workers) if workers else step + reading)
    memory = training_bytes(config, method, chosen)
    milestones = config.epochs // config.keep_every if config.keep_every else 0
    disk = checkpoint_bytes(method) * (config.keep + 1 + milestones)
    problems = list(getattr(photos, "problems", ()))  # damaged shards
    problems += _problems(config, len(photos), total, unreadable)
    problems += _space_problems(memory, free_memory, "memory", "a smaller batch or crops")
    free_disk = shutil.disk_usage(_existing(place)).free
    problems += _space_problems(disk, free_disk, "disk", "fewer kept checkpoints, or another place")
    return Preflight(
        num_photos=len(photos),
        sizes=sizes,
        steps_per_epoch=schedules.steps_per_epoch,
        total_steps=total,
        memory_bytes=memory,
        disk_bytes=disk,
        seconds=seconds,
        problems=tuple(problems),
        too_large=_too_large(config, method, chosen, needed=memory, free=free_memory),
    )


def _too_large(
    config: TrainConfig, method: Method, device: torch.device, *, needed: int, free: int
) -> str:
    """Say so where the estimate is so far beyond the free memory that it need not be exact."""
    if needed <= _REFUSED_FROM * free:
        return ""
    batch = config.batch_size
    while batch and training_bytes(replace(config, batch_size=batch), method, device) > free:
        batch //= 2
    remedy = f"batch_size={batch} would fit" if batch else "a smaller network or crops may fit"
    return (
        f"a batch of {config.batch_size:,} photos takes about {needed / 2**30:,.1f} GB of memory, and "
        f"{free / 2**30:,.1f} GB are free; {remedy}"
    )


def training_bytes(config: TrainConfig, method: Method, device: torch.device) -> int:
    """Estimate peak memory: parameters, gradients, moments, and what the backward pass needs.

    On a CPU the libraries themselves count too, since the process's whole size is what runs out.
    """
    network = unwrapped(method.modules["student"])
    parameters = sum(p.numel() for p in network.parameters())
    copies = 5 if "teacher" in method.modules else 4  # weights, gradient, two moments, teacher
    low = choose_precision(config.precision, device) != "fp32"
    patch, dim = config.patch_size, network.backbone.num_features
    crops = [config.global_size] * (2 if config.method == "dino" else 1)
    crops += [config.local_size] * (config.num_locals if config.method == "dino" else 0)
    tokens = sum((size // patch) ** 2 + 1 for size in crops) * config.batch_size
    depth = len(getattr(network.backbone, "blocks", ())) or 12
    activations = tokens * dim * depth * _KEPT_PER_BLOCK * (3 if low else 4)
    logits = config.batch_size * len(crops) * config.out_dim * 4 * 4
    base = 700 * 2**20 if device.type == "cpu" else 0
    return parameters * 4 * copies + activations + (logits if config.method == "dino" else 0) + base


def checkpoint_bytes(method: Method) -> int:
    """Compute the size of one checkpoint: every module, and the optimizer's two moments."""
    state = [t for module in method.modules.values() for t in module.state_dict().values()]
    trained = [p for p in unwrapped(method.modules["student"]).parameters() if p.requires_grad]
    return sum(t.numel() for t in state) * 4 + sum(p.numel() for p in trained) * 8


def _sample(config: TrainConfig, photos: Photos) -> tuple[str, list[str], float]:
    """Read some photos: sizes in words, names that could not be read, and seconds to read and crop one."""
    draw, rng = build_crops(config), np.random.default_rng(0)
    shapes, unreadable, seconds = [], [], 0.0
    for index in evenly_spread(len(photos), _SAMPLE):
        try:
            shapes.append(photos.read(index).shape[:2])
        except (ImageError, OSError):
            unreadable.append(photos.name(index))
            continue
        start = time.perf_counter()
        draw(photos.read(index, short_side=draw.short_side), rng)
        seconds += time.perf_counter() - start
    if not shapes:
        raise UserError(f"none of {len(unreadable)} sampled photos can be read; check the folder")
    (low_h, low_w), (high_h, high_w) = np.min(shapes, axis=0), np.max(shapes, axis=0)
    same = (low_h, low_w) == (high_h, high_w)
    sizes = f"{low_w}×{low_h} px" if same else f"{low_w}–{high_w} × {low_h}–{high_h} px"
    return sizes, unreadable, seconds / len(shapes)


def time_steps(
    config: TrainConfig, method: Method, device: torch.device, *, warmup: int, steps: int
) -> list[float]:
    """Time each step after the warm-up: the engine's own, from crops of bytes on the device."""
    precision = choose_precision(config.precision, device)
    options = StepOptions(
        clip_grad=config.clip_grad,
        freeze_last_layer=0,  # the step of all epochs but the first
        autocast=None if precision == "fp32" else dtype_of(precision),
    )
    values = build_schedules(config, config.batch_size * 10).at(5)
    mean, std = (channel_tensor(v, device=device) for v in method.scale)
    crops = draw_noise(config, device)
    labels = torch.zeros(config.batch_size, dtype=torch.long, device=device)
    times = []
    for _ in range(warmup + steps):
        start = time.perf_counter()
        result = method.step(normalize(crops, mean, std), labels, values, options)
        float(result.loss)  # waits for the device
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # the loss is there before the step ends
        times.append(time.perf_counter() - start)
    return times[warmup:]


def _step_seconds(config: TrainConfig, method: Method, device: torch.device) -> float:
    """Estimate the seconds of one step from a small batch."""
    batch = min(config.batch_size, 8)
    small = replace(config, batch_size=batch)
    return min(time_steps(small, method, device, warmup=1, steps=2)) * config.batch_size / batch


def draw_noise(config: TrainConfig, device: torch.device) -> list[torch.Tensor]:
    """Draw crops of bytes as the loader hands them over, uint8 [B,3,side,side] each."""
    generator = torch.Generator().manual_seed(config.seed)
    sides = [view.size for view in build_crops(config).views]
    shapes = [(config.batch_size, 3, side, side) for side in sides]
    noise = (torch.randint(0, 256, s, dtype=torch.uint8, generator=generator) for s in shapes)
    return [crops.to(device) for crops in noise]


def _problems(config: TrainConfig, num_photos: int, total: int, unreadable: list[str]) -> list[str]:
    found = []
    if unreadable:
        found.append(
            f"{len(unreadable)} of {min(_SAMPLE, num_photos)} sampled photos cannot be read: {unreadable[0]}"
        )
    if num_photos < _FEW_PHOTOS and config.init is None:
        found.append(f"{num_photos} photos are few to learn from; start from weights (--init)")
    if total < _FEW_STEPS:
        found.append(
            f"{total} steps change little; more epochs or a smaller batch make more of them"
        )
    if config.init is None and config.arch not in ARCHITECTURES:
        found.append(f"{config.arch} is timm's, with timm's own initial weights")
    return found


def _space_problems(needed: int, free: int, what: str, remedy: str) -> list[str]:
    if needed <= free:
        return []
    return [
        f"{needed / 2**30:.1f} GB of {what} are needed and {free / 2**30:.1f} free; try {remedy}"
    ]


def _existing(place: Path) -> Path:
    """Find the nearest folder above that exists."""
    place = place.absolute()
    return next(folder for folder in (place, *place.parents) if folder.exists())
