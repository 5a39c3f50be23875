"""Linear probe: softmax regression on frozen features, several learning rates trained in one pass.

    result = linear_frozen(train, val)                      # features of centre crops, once
    result = linear_crops(backbone, folder, val, size=224)  # the paper's: new random crops each epoch
    result.top1, result.rate                                # percent; the rate that was chosen

python -m dino eval linear --train DIR --val DIR --frozen-features

No choice is made on val: each rate is trained twice side by side, without and with a held-out part
of train; the first copy's accuracy on that part chooses the rate, the second is what is reported.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dino.errors import UserError
from dino.features.data import CenterCrop, RandomCrop, whole_patches
from dino.features.embedding import OnProgress, PhotoFeatures, embed_probe_views, embed_random_crops
from dino.features.knn import Accuracy
from dino.features.probe import Probes, ProbeSettings, TakenBatch, fit_probes, held_out_rows, score
from dino.media.photo_folders import PhotoFolder
from dino.model.backbone import Backbone
from dino.system.distributed import World

FROZEN, CROPS = "frozen features", "random crops"

# Features [B,F], labels [B], and which of them are held out [B] bool.
LabelledBatch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class RateResult:
    """What one rate led to, in percent: top-1 on the held-out part (if any), accuracy on val."""

    rate: float
    held_out_top1: float | None
    val: Accuracy


@dataclass(frozen=True)
class LinearResult:
    """Accuracy on val in percent, at the rate chosen on the held-out part of train.

    `protocol` is "frozen features" or "random crops"; `num_train` includes the `num_held_out`.
    """

    top1: float
    top5: float
    rate: float
    rates: tuple[RateResult, ...]
    protocol: str
    num_train: int
    num_held_out: int
    num_val: int
    unreadable: tuple[Path, ...] = ()


def linear_frozen(
    train: PhotoFeatures,
    val: PhotoFeatures,
    *,
    settings: ProbeSettings | None = None,
    device: torch.device | str = "cpu",
    progress: OnProgress | None = None,
) -> LinearResult:
    """Train a probe on features computed once; with a flipped view, one view is drawn anew each
    epoch.

    Args:
        train, val: features with labels from 0; of `val` the first view counts.
        progress: called with (epochs done, epochs in all).
    Raises:
        UserError: no labels, different widths, or nothing to hold out.
    """
    settings = settings or ProbeSettings()
    _check(train.labels, val)
    if train.features.shape[2] != val.features.shape[2]:
        raise UserError(
            f"got training features of width {train.features.shape[2]} and val features of "
            f"{val.features.shape[2]}; expected one width, so compute both with the same network"
        )
    held = held_out_rows(train.labels, settings)

    def batches(epoch: int) -> Iterator[LabelledBatch]:
        rng = np.random.default_rng((settings.seed, epoch))
        order = torch.from_numpy(rng.permutation(len(train.labels)))
        views = torch.from_numpy(rng.integers(0, len(train.features), len(order)))
        for rows in order.split(settings.batch_size):
            yield train.features[views[rows], rows], train.labels[rows], held[rows]

    probes = _train(batches, settings, int(train.labels.max()) + 1, device, progress)
    held_out = replace(train, features=train.features[:, held], labels=train.labels[held])
    return LinearResult(
        protocol=FROZEN,
        **_choose(probes, held_out, val, settings),
        num_train=len(train.labels),
        num_held_out=len(held_out.labels),
    )


def linear_crops(
    backbone: Backbone,
    train: PhotoFolder,
    val: PhotoFeatures,
    *,
    size: int = 224,
    resize: int | None = None,
    settings: ProbeSettings | None = None,
    workers: int = 2,
    progress: OnProgress | None = None,
    world: World | None = None,
) -> LinearResult:
    """Train the paper's probe: new random crops and flips of the training photos in every epoch.

    Args:
        val: features of the centre crops of the photos to report on.
        size: side of the crops in px, taken down to whole patches.
        resize: short side before the centre crop of what is held out; default `size` · 256/224.
        progress: called with (photos seen, photos to see in all epochs).
        world: processes that share each batch; each ends with the same probes.
    Raises: as `linear_frozen`.
    """
    settings = settings or ProbeSettings()
    side = whole_patches(size, backbone.patch_size)
    labels = torch.tensor(train.labels, dtype=torch.long)
    _check(labels, val)
    held = held_out_rows(labels, settings)
    readable: set[int] = set()

    def batches(epoch: int) -> Iterator[LabelledBatch]:
        for rows, features in embed_random_crops(
            backbone,
            train,
            RandomCrop(side),
            seed=(settings.seed, epoch),
            batch_size=settings.batch_size,
            workers=workers,
            progress=progress and partial(_of_all_epochs, progress, epoch, settings.epochs),
            world=world,
        ):
            readable.update(rows)
            yield features, labels[rows], held[rows]

    probes = _train(batches, settings, int(labels.max()) + 1, backbone.device)
    chosen_on = train.subset(torch.nonzero(held)[:, 0].tolist())
    crop = CenterCrop(side, resize)
    held_out = embed_probe_views(backbone, chosen_on, crop, workers=workers, world=world)
    return LinearResult(
        protocol=CROPS,
        **_choose(probes, held_out, val, settings),
        num_train=len(readable),
        num_held_out=len(held_out.labels),
        unreadable=tuple(path for row, path in enumerate(train.paths) if row not in readable),
    )


def _train(
    batches: Callable[[int], Iterable[LabelledBatch]],
    settings: ProbeSettings,
    num_classes: int,
    device: torch.device | str,
    progress: OnProgress | None = None,
) -> Probes:
    """Train every rate twice: probes [:R] without what is held out, probes [R:] with all."""
    num = len(settings.rates)

    def taken(epoch: int) -> Iterator[TakenBatch]:
        for features, labels, held in batches(epoch):
            yield features, labels, torch.stack([~held] * num + [torch.ones_like(held)] * num)
        if progress:
            progress(epoch + 1, settings.epochs)

    rates = [rate * settings.batch_size / 256 for rate in settings.rates] * 2
    return fit_probes(
        taken,
        rates,
        epochs=settings.epochs,
        num_classes=num_classes,
        seed=settings.seed,
        device=device,
    )


def _choose(
    probes: Probes, held_out: PhotoFeatures, val: PhotoFeatures, settings: ProbeSettings
) -> dict[str, Any]:
    """Compute the fields of a result that rest on scores.

    The highest held-out accuracy wins; where several are equal, as on few photos, the lowest
    cross-entropy among them.
    """
    num, chosen = len(settings.rates), 0
    held: list[float | None] = [None] * num
    if len(held_out.labels):
        found = score(probes, held_out.features[0], held_out.labels)[:num]
        held = [result.accuracy.top1 for result in found]
        chosen = max(range(num), key=lambda index: (held[index], -found[index].loss))
    on_val = [result.accuracy for result in score(probes, val.features[0], val.labels)[num:]]
    rates = tuple(RateResult(*row) for row in zip(settings.rates, held, on_val, strict=True))
    best = rates[chosen]
    return {
        "top1": best.val.top1,
        "top5": best.val.top5,
        "rate": best.rate,
        "rates": rates,
        "num_val": len(val.labels),
    }


def _check(labels: Tensor, val: PhotoFeatures) -> None:
    if not len(labels) or not len(val.labels) or min(int(labels.min()), int(val.labels.min())) < 0:
        raise UserError(
            f"got {len(labels)} training and {len(val.labels)} val photos, not all with a class; "
            "expected the photos of each class in a sub-folder of its own"
        )


def _of_all_epochs(progress: OnProgress, epoch: int, epochs: int, done: int, total: int) -> None:
    progress(epoch * total + done, epochs * total)
