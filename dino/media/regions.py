"""Masks ↔ polygons along the edges of their pixels, so that an unsimplified polygon is the mask.

Coordinates are px from the photo's upper left corner, which is (0, 0): pixel (column x, row y) covers
x…x+1, y…y+1. Pixels that touch at a corner only are two parts, and so two polygons.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dino.attention.mass import jaccard

# How far in px a polygon may be from the outline of its mask, and the least worth trying.
DEFAULT_TOLERANCE_PX, _FINEST_PX = 1.0, 0.25
# What a polygon shares with its part at least, whatever the tolerance.
MIN_JACCARD = 0.98


@dataclass(frozen=True)
class Ring:
    """A closed line around a part or around a hole: corners [n,2] of (x, y), the last not the first."""

    corners: np.ndarray
    is_hole: bool


def trace(mask: np.ndarray) -> list[Ring]:
    """The lines around the parts and the holes of a mask [H,W] bool, from the top down.

    A corner of the outline is where one, three, or two opposite ones of the four pixels around it are
    set. Along a row of corners, and along a column, the outline runs between each first and second of
    them; opposite pixels make two corners in one place, told apart by the order they are paired in.
    """
    corners, falling = _corners(mask)
    if not len(corners):
        return []
    x, y = corners[:, 0], corners[:, 1]
    copy = np.concatenate([[0], (np.diff(corners, axis=0) == 0).all(1).astype(int)])
    beside = _partners(np.lexsort((copy, x, y)))
    above = _partners(np.lexsort((np.where(falling, copy, 1 - copy), y, x)))
    rings, seen = [], np.zeros(len(corners), bool)
    beside_list, above_list = beside.tolist(), above.tolist()
    for first in range(len(corners)):
        if seen[first]:
            continue
        order, at = [], first
        while True:
            order += [at, beside_list[at]]
            at = above_list[beside_list[at]]
            if at == first:
                break
        seen[order] = True
        # The first corner of a ring is its upper left one; what lies inside of that is set or not.
        inside = mask[y[first], x[first]]
        rings.append(Ring(corners[order], is_hole=not inside))
    return rings


def simplify(ring: Ring, tolerance: float) -> np.ndarray:
    """Fewer corners [n,2] float, the line at most `tolerance` px from where it was.

    Small parts are followed closer: the tolerance is halved, in the end to 0, until the polygon shares
    98 % (J) of what the ring encloses, so that none of them shrinks or vanishes.
    """
    origin = ring.corners.min(axis=0)
    points = (ring.corners - origin).astype(np.int32)
    size = (int(points[:, 1].max()), int(points[:, 0].max()))
    whole = None
    while tolerance >= _FINEST_PX:
        corners = cv2.approxPolyDP(points[:, None], tolerance, closed=True)[:, 0]
        if len(corners) >= 3:
            whole = rasterize([points], size) if whole is None else whole
            if jaccard(rasterize([corners], size), whole) >= MIN_JACCARD:
                return (corners + origin).astype(np.float64)
        tolerance /= 2
    return ring.corners.astype(np.float64)


def area(corners: np.ndarray) -> float:
    """Area a polygon [n,2] encloses, px²."""
    x, y = corners[:, 0].astype(np.float64), corners[:, 1].astype(np.float64)
    return abs(float(x @ np.roll(y, -1) - np.roll(x, -1) @ y)) / 2


def rasterize(polygons: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """The mask [H,W] bool of the pixels whose centre lies in any of the polygons [n,2]."""
    height, width = size
    mask = np.zeros(size, bool)
    for polygon in polygons:
        crossings = np.zeros((height, width + 1), np.int32)
        corners = polygon.tolist()
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            low, high = min(y0, y1), max(y0, y1)
            rows = np.arange(max(0, int(np.ceil(low - 0.5))), min(height, int(np.ceil(high - 0.5))))
            if len(rows):
                x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
                np.add.at(crossings, (rows, np.clip(np.ceil(x - 0.5), 0, width).astype(int)), 1)
        mask |= np.cumsum(crossings[:, :width], axis=1) % 2 == 1
    return mask


def outlines(mask: np.ndarray, tolerance: float) -> list[np.ndarray] | None:
    """The parts of a mask as polygons [n,2], or None where it has holes, which they cannot tell."""
    rings = trace(mask)
    if any(ring.is_hole for ring in rings):
        return None
    return [simplify(ring, tolerance) for ring in rings]


def _corners(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners [n,2] (x, y) by rows, opposite ones twice, and whether these fall from left to right."""
    padded = np.pad(mask, 1)
    upper_left, upper_right = padded[:-1, :-1], padded[:-1, 1:]
    lower_left, lower_right = padded[1:, :-1], padded[1:, 1:]
    odd = upper_left ^ upper_right ^ lower_left ^ lower_right
    falling = (upper_left & lower_right) & ~(upper_right | lower_left)
    rising = (upper_right & lower_left) & ~(upper_left | lower_right)
    times = odd.astype(np.int8) + 2 * (falling | rising).astype(np.int8)
    y, x = np.nonzero(times)
    repeats = times[y, x]
    corners = np.repeat(np.stack([x, y], axis=1), repeats, axis=0)
    return corners, np.repeat(falling[y, x], repeats)


def _partners(order: np.ndarray) -> np.ndarray:
    """Of corners in an order, the other end of the line each begins or ends."""
    partner = np.empty_like(order)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    return partner
