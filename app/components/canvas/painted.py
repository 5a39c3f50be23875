"""What is painted on a canvas: a label for each cell, 0 for none, as runs between Python and browser.

Runs are (count, label, count, label, …), row by row; what follows the last painted cell is left out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

Runs = tuple[int, ...]


def runs_of(labels: np.ndarray) -> Runs:
    """The runs of labels [h,w], whole numbers from 0."""
    flat = labels.ravel()
    painted = np.flatnonzero(flat)
    if not len(painted):
        return ()
    flat = flat[: painted[-1] + 1]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    counts = np.diff(np.append(starts, len(flat)))
    return tuple(np.stack([counts, flat[starts]], axis=-1).ravel().tolist())


def labels_of(runs: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The labels [h,w] uint8 of runs that fit into the size (h, w)."""
    labels = np.zeros(size[0] * size[1], dtype=np.uint8)
    found = np.repeat(np.array(runs[1::2], dtype=np.uint8), runs[::2])
    labels[: len(found)] = found
    return labels.reshape(size)


def read_runs(told: Any, size: tuple[int, int], num_labels: int) -> Runs:
    """Runs as somebody sent them, believed in nothing.

    Raises:
        ValueError: not whole numbers, labels above `num_labels`, or more cells than the size has.
    """
    if not isinstance(told, Sequence) or isinstance(told, str) or len(told) % 2:
        raise ValueError("no runs")
    if any(type(value) is not int for value in told):
        raise ValueError("runs of whole numbers are expected")
    counts, labels = told[::2], told[1::2]
    if any(count < 1 for count in counts) or sum(counts) > size[0] * size[1]:
        raise ValueError("the runs do not fit")
    if any(not 0 <= label <= num_labels for label in labels):
        raise ValueError("a label that there is not")
    return tuple(told)
