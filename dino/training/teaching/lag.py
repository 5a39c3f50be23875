"""A teacher that follows its student: the exponential moving average of a path, and how long it remembers.

teacher_path(np.array([0.0, 1.0, 1.0]), momentum=0.5)     # [0, 0.5, 0.75]
"""

from itertools import accumulate

import numpy as np

from dino.errors import UserError


def teacher_path(student: np.ndarray, *, momentum: float) -> np.ndarray:
    """Follow teacher ← momentum · teacher + (1 − momentum) · student step by step, from the student's start.

    Args:
        student: [T], one weight of the student after each step.
        momentum: in [0, 1]; 0 copies the student, 1 never moves.
    Returns:
        float64 [T].
    Raises:
        UserError: a momentum outside [0, 1], or no step.
    Source: Caron et al. 2021, section 3.1.
    """
    if not 0 <= momentum <= 1 or student.ndim != 1 or not len(student):
        raise UserError(
            f"got momentum {momentum} and a path of shape {student.shape}; expected a momentum in "
            "[0, 1] and at least one step"
        )
    return np.array(
        list(accumulate(student.tolist(), lambda now, new: momentum * now + (1 - momentum) * new))
    )


def memory_steps(momentum: float) -> float:
    """Compute 1 / (1 − momentum): over about how many of the last steps the teacher averages.

    Raises:
        UserError: a momentum outside [0, 1).
    """
    if not 0 <= momentum < 1:
        raise UserError(f"got momentum {momentum}; expected one in [0, 1)")
    return 1 / (1 - momentum)


def example_path(steps: int, *, seed: int) -> np.ndarray:
    """Draw a student's weight [steps] as an example: it goes from 0 to 1 and shakes on the way."""
    shaking = np.random.default_rng(seed).normal(scale=0.12, size=steps)
    return 1 / (1 + np.exp(-(np.arange(steps) - 0.3 * steps) / (0.05 * steps))) + shaking
