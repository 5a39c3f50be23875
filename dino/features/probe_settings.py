"""How a linear probe is trained, and which photos choose its learning rate.

held = held_out_rows(labels, ProbeSettings(rates=(0.001, 0.01), epochs=20))     # [M] bool
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dino.errors import UserError

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)


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
    """Which training photos choose the rate: a share of each class, one at least; [M] bool.

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
