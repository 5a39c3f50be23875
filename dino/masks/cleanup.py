"""Tidying a mask at the photo's size: crumbs dropped, the largest piece kept, holes filled.

Pieces hang together over edges and corners (8 neighbours), holes over edges only (4), so that a
closed diagonal line encloses what it seems to.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from dino.errors import UserError


def check_min_area(min_area: float) -> None:
    """Raise a `UserError` unless `min_area` is a share in [0, 1)."""
    number = isinstance(min_area, int | float) and not isinstance(min_area, bool)
    if not number or not 0 <= min_area < 1:
        raise UserError(
            f"min_area is {min_area!r}; expected a share of the photo from 0 to below 1, such as 0.01"
        )


def clean(
    mask: NDArray[np.bool_],
    *,
    min_area: float = 0.0,
    largest: bool = False,
    fill_holes: bool = False,
) -> NDArray[np.bool_]:
    """Tidy a mask [H,W]: drop small pieces, keep its largest only, fill its holes.

    In this order, so that a hole never makes a crumb large enough to stay.

    Args:
        min_area: pieces of a smaller share of the photo are dropped; 0 keeps all.
        largest: keep one piece, the uppermost of several equally large.
    Raises:
        UserError: `min_area` outside [0, 1).
    """
    check_min_area(min_area)
    if min_area or largest:
        mask = _drop_pieces(mask, min_area, largest=largest)
    return _fill_holes(mask) if fill_holes else mask


def _drop_pieces(mask: NDArray[np.bool_], min_area: float, *, largest: bool) -> NDArray[np.bool_]:
    """Keep the pieces that are large enough, or the largest."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # label 0 is what lies outside
    keep = areas >= max(1, min_area * mask.size)
    if largest:
        keep &= np.arange(len(areas)) == areas.argmax()
    return keep[labels]


def _fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Set what is enclosed: pieces of the outside that do not reach the photo's edge."""
    height, width = mask.shape
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    hole = (left > 0) & (top > 0) & (right < width) & (bottom < height)
    hole[0] = True  # label 0 is the mask itself
    return hole[labels]
