"""Curves over a run: half a cosine after a warm-up, by step, and the teacher's temperature, by epoch.

`dino.training.build.build_schedules` says which value of a run takes which.
"""

import numpy as np

from dino.errors import UserError


def cosine_schedule(
    base: float, final: float, epochs: int, steps: int, warmup_epochs: float = 0
) -> np.ndarray:
    """Warm up linearly from 0 to `base`, then follow half a cosine from `base` to `final`.

    Args:
        epochs, steps: epochs of the run and steps in each.
        warmup_epochs: epochs of the warm-up, at most `epochs`; a fraction is rounded to steps.
    Returns:
        float64 [epochs · steps].
    Raises:
        UserError: counts below 1, or a warm-up longer than the run.
    """
    if epochs < 1 or steps < 1 or not 0 <= warmup_epochs <= epochs:
        raise UserError(
            f"got {epochs} epochs of {steps} steps with {warmup_epochs} of warm-up, expected at "
            "least 1 of each and a warm-up no longer than the run"
        )
    warmup = np.linspace(0, base, round(warmup_epochs * steps))
    rest = epochs * steps - len(warmup)
    progress = np.arange(rest) / max(rest, 1)
    return np.concatenate([warmup, final + 0.5 * (base - final) * (1 + np.cos(np.pi * progress))])


def teacher_temperatures(
    warmup: float, final: float, warmup_epochs: int, epochs: int
) -> np.ndarray:
    """Compute the teacher temperature of each epoch: linear from `warmup` to `final`, then constant; [epochs]."""
    rising = np.linspace(warmup, final, warmup_epochs)[:epochs]
    return np.concatenate([rising, np.full(epochs - len(rising), final)])
