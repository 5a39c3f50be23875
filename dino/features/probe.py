"""Softmax regression by SGD, many learning rates at once: one product a step serves all of them.

probes = Probes([0.001, 0.01], num_features=1536, num_classes=10)
probes.step(x, labels)
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dino.errors import UserError
from dino.features.knn import Accuracy
from dino.system.schedules import cosine_schedule

# Features [B,F], labels [B], and which probe learns from which of them [P,B] bool.
TakenBatch = tuple[Tensor, Tensor, Tensor]

_MOMENTUM = 0.9
_INITIAL_STD = 0.01
# Rows scored at once: with 16 probes of 1,000 classes their logits take 66 MB.
_CHUNK_ROWS = 1024
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)


class Probes:
    """P linear classifiers side by side, equal at the start: `weight` [P,F,C], `bias` [P,C].

    SGD with momentum 0.9, no weight decay, written out: the gradient of the cross-entropy is
    softmax minus one-hot, and each probe gets what training it alone would give.
    """

    def __init__(
        self,
        rates: Sequence[float],
        *,
        num_features: int,
        num_classes: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        start = torch.empty(num_features, num_classes).normal_(0, _INITIAL_STD, generator=generator)
        self.rates = torch.tensor(rates, dtype=torch.float32, device=device)[:, None, None]
        self.weight = start.to(device).repeat(len(rates), 1, 1)
        self.bias = torch.zeros(len(rates), 1, num_classes, device=device)
        self._moving_weight = torch.zeros_like(self.weight)
        self._moving_bias = torch.zeros_like(self.bias)

    def logits(self, features: Tensor) -> Tensor:
        """Compute logits [P,B,C] of features [B,F]."""
        return torch.einsum("bf,pfc->pbc", features, self.weight) + self.bias

    def step(
        self, features: Tensor, labels: Tensor, *, take: Tensor | None = None, factor: float = 1.0
    ) -> None:
        """Take one step down the mean cross-entropy of a batch.

        Args:
            features: [B,F].
            labels: class numbers [B].
            take: [P,B] bool, which of the batch each probe learns from; all by default.
            factor: what the rates are multiplied by, as a schedule has it.
        """
        error = self.logits(features).softmax(dim=2)
        error -= F.one_hot(labels, error.shape[2])
        if take is None:
            error /= len(labels)
        else:
            error *= (take / take.sum(dim=1, keepdim=True).clamp_min(1))[..., None]
        self._moving_weight.mul_(_MOMENTUM).add_(torch.einsum("bf,pbc->pfc", features, error))
        self._moving_bias.mul_(_MOMENTUM).add_(error.sum(dim=1, keepdim=True))
        self.weight -= factor * self.rates * self._moving_weight
        self.bias -= factor * self.rates * self._moving_bias


def fit_probes(
    batches: Callable[[int], Iterable[TakenBatch]],
    rates: Sequence[float],
    *,
    epochs: int,
    num_classes: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Probes:
    """Train a probe a rate, each rate falling to 0 by half a cosine, epoch by epoch.

    Args:
        batches: epoch → its batches.
    Raises:
        UserError: no batch came.
    """
    probes = None
    for epoch, factor in enumerate(cosine_schedule(1.0, 0.0, epochs, 1).tolist()):
        for batch in batches(epoch):
            features, labels, take = (part.to(device) for part in batch)
            if probes is None:
                shape = {"num_features": features.shape[1], "num_classes": num_classes}
                probes = Probes(rates, **shape, seed=seed, device=device)
            probes.step(features, labels, take=take, factor=factor)
    if probes is None:
        raise UserError("none of the training photos could be read; check the folder")
    return probes


class Score(NamedTuple):
    """Accuracy in percent, and the mean cross-entropy in nats (inf where a probe diverged)."""

    accuracy: Accuracy
    loss: float


def score(probes: Probes, features: Tensor, labels: Tensor) -> list[Score]:
    """Score each probe on features [T,F] with labels [T].

    A probe that diverged is never right, nor is any where the label is none of its classes.
    """
    device, num = probes.weight.device, len(labels)
    hits = torch.zeros(len(probes.weight), 2, dtype=torch.long, device=device)
    losses = torch.zeros(len(probes.weight), dtype=torch.float64, device=device)
    for chunk in zip(features.split(_CHUNK_ROWS), labels.split(_CHUNK_ROWS), strict=True):
        x, y = (part.to(device) for part in chunk)
        logits = probes.logits(x)
        sound = logits.isfinite().all(dim=2)
        best = logits.topk(min(5, logits.shape[2]), dim=2).indices == y[:, None]
        best &= sound[..., None]
        hits += torch.stack([best[..., 0].sum(dim=1), best.any(dim=2).sum(dim=1)], dim=1)
        known = y.clamp_max(logits.shape[2] - 1).expand(len(logits), -1)[..., None]
        loss = -logits.log_softmax(dim=2).gather(2, known)[..., 0].double()
        losses += loss.masked_fill(~sound | (y != known[..., 0]), torch.inf).sum(dim=1)
    return [
        Score(Accuracy(100 * first / num, 100 * five / num), loss / num)
        for (first, five), loss in zip(hits.tolist(), losses.tolist(), strict=True)
    ]


@dataclass(frozen=True)
class ProbeSettings:
    """How a probe is trained.

    `rates` per 256 images of a batch (the rate used is rate · batch_size / 256, as in the paper),
    `held_out` the share of each class of train that chooses among them.
    Raises `UserError` for anything out of range.
    """

    rates: tuple[float, ...] = RATES
    epochs: int = 100
    batch_size: int = 256
    held_out: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.rates or not all(0 < rate < float("inf") for rate in self.rates):
            raise UserError(f"got rates {self.rates}, expected one or more above 0, such as 0.001")
        if self.epochs < 1 or self.batch_size < 1 or not 0 < self.held_out < 1:
            raise UserError(
                f"got {self.epochs} epochs, batch {self.batch_size} and held-out share "
                f"{self.held_out}; expected 1 or more of both, and a share between 0 and 1"
            )


def held_out_rows(labels: Tensor, settings: ProbeSettings) -> Tensor:
    """Choose the training photos that choose the rate: a share of each class, one at least; [M] bool.

    A class of one photo keeps it for training. With a single rate nothing is to be chosen, and
    nothing is held out.
    Raises:
        UserError: no class has two photos.
    """
    held = torch.zeros(len(labels), dtype=torch.bool)
    if len(settings.rates) == 1:
        return held
    rng = np.random.default_rng(settings.seed)
    for label in labels.unique():
        rows = rng.permutation(torch.nonzero(labels == label)[:, 0].numpy())
        count = max(round(settings.held_out * len(rows)), 1)
        held[rows[: min(count, len(rows) - 1)]] = True
    if not held.any():
        raise UserError(
            "got one training photo a class, expected two or more to hold some out; add photos, or "
            "give a single learning rate"
        )
    return held
