"""Pointing at a single object."""

from typing import Any

import numpy as np

from dino.masks.prompts import DEFAULT_LIKENESS, Prompt, prompted_objects


def prompted_mask(
    features: np.ndarray,
    grid: tuple[int, int],
    *,
    likeness: float = DEFAULT_LIKENESS,
    **prompt: Any,
) -> np.ndarray:
    """Choose the patches [h,w] of one object; `prompt` are the fields of a `Prompt`."""
    return prompted_objects(features, grid, [Prompt(**prompt)], likeness=likeness)[0]
