"""How well masks of a video fit those outlined by hand: region similarity J and boundary accuracy F.

    region_similarity(mask, truth)           # J of one object in one frame, 0 to 1
    boundary_accuracy(mask, truth)           # F
    statistics(values)                       # their mean, recall and decay over a sequence

Source: Perazzi et al. 2016, "A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation", as the official evaluators compute it (DAVIS 2016's toolkit and davis2017-evaluation):
both leave out a sequence's first and last frame, which is the caller's to do (`scored_frames`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dino.errors import UserError

# How far a boundary may lie from the true one, as a share of the frame's diagonal; rounded up to px.
TOLERANCE = 0.008
# A frame counts for the recall where its measure is above this.
RECALL_ABOVE = 0.5
# The decay compares the first with the last of these parts of a sequence.
_NUM_PARTS = 4

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Statistics:
    """A measure over the frames of a sequence.

    `mean` 0 to 1; `recall`, the share of frames above one half; `decay`, the mean of the first
    quarter less that of the last, above 0 where it gets worse.
    """

    mean: float
    recall: float
    decay: float


def region_similarity(mask: Mask, truth: Mask) -> float:
    """Compute J: what both masks hold, as a share of what either holds; 1 where both are empty.

    Args:
        mask, truth: bool [H,W].
    Raises:
        UserError: shapes that differ.
    """
    mask, truth = _checked(mask, truth)
    either = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / either if either else 1.0


def boundary_accuracy(mask: Mask, truth: Mask, *, tolerance: float = TOLERANCE) -> float:
    """Compute F: the harmonic mean of two shares, of the mask's boundary that lies near the true one
    (precision) and of the true one that lies near the mask's (recall).

    Near is within a disk of `tolerance` times the diagonal, rounded up to whole px. Without any
    boundary in both masks F is 1, without one in either of them 0. A mask that covers the whole
    frame has no boundary.

    Args:
        mask, truth: bool [H,W].
        tolerance: share of the diagonal, above 0.
    Raises:
        UserError: shapes that differ.
    """
    mask, truth = _checked(mask, truth)
    radius = math.ceil(tolerance * math.hypot(*mask.shape))
    ours, theirs = boundary(mask), boundary(truth)
    num_ours, num_theirs = np.count_nonzero(ours), np.count_nonzero(theirs)
    if not num_ours or not num_theirs:
        return float(num_ours == num_theirs)
    precision = np.count_nonzero(ours & _widened(theirs, radius)) / num_ours
    recall = np.count_nonzero(theirs & _widened(ours, radius)) / num_theirs
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def boundary(mask: Mask) -> Mask:
    """Mark pixels [H,W] that differ from the one to the right, below, or below to the right.

    One pixel wide, and half a pixel up and left of the edge itself. In the last row only the right
    neighbour counts and in the last column only the one below, so the frame's own border is no
    boundary. Source: Martin et al.'s seg2bmap, at the mask's own size.
    """
    found = np.zeros_like(mask)
    found[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    found[:-1] |= mask[:-1] != mask[1:]
    found[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return found


def statistics(values: Sequence[float]) -> Statistics:
    """Compute mean, recall and decay of a measure's values, frame by frame.

    The four parts share their end frames, as the official evaluators cut them.

    Raises:
        UserError: no values.
    """
    frames = np.asarray(values, dtype=np.float64)
    if not frames.size:
        raise UserError("there is no frame to take a mean of; pass one value or more")
    # Halves are rounded to even, and the official evaluators add a hair before rounding.
    ends = np.round(np.linspace(1, len(frames), _NUM_PARTS + 1) + 1e-10).astype(int) - 1
    first, last = frames[: ends[1] + 1], frames[ends[-2] :]
    return Statistics(
        mean=float(frames.mean()),
        recall=float((frames > RECALL_ABOVE).mean()),
        decay=float(first.mean() - last.mean()),
    )


def scored_frames(num_frames: int) -> range:
    """Choose the frames of a sequence that count: all but the first, whose mask is given, and the
    last.

    DAVIS 2016 and 2017 (semi-supervised) both leave the two out.
    """
    return range(1, num_frames - 1)


def _checked(mask: Mask, truth: Mask) -> tuple[Mask, Mask]:
    mask, truth = np.asarray(mask, dtype=bool), np.asarray(truth, dtype=bool)
    if mask.shape != truth.shape or mask.ndim != 2 or not mask.size:
        raise UserError(
            f"masks have shapes {mask.shape} and {truth.shape}; expected the same [H, W] for both"
        )
    return mask, truth


def _widened(line: Mask, radius: int) -> Mask:
    """Mark pixels within `radius` px of a line's pixels, centre to centre."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (y * y + x * x <= radius * radius).astype(np.uint8)
    return cv2.dilate(line.astype(np.uint8), disk) > 0
