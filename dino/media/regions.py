"""Masks ↔ polygons along the edges of their pixels, so that an unsimplified polygon is the mask.

Coordinates are px from the photo's upper left corner, which is (0, 0): pixel (column x, row y) covers
x…x+1, y…y+1. Pixels that touch at a corner only are two parts, and so two polygons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from dino.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

# How far in px a polygon may be from the outline of its mask, and the least worth trying.
DEFAULT_TOLERANCE_PX, _FINEST_PX = 1.0, 0.25
# What a polygon shares with its part at least, whatever the tolerance.
MIN_JACCARD = 0.98
_DIGIT_BITS, _SIGN, _MORE, _FIRST = 5, 0x10, 0x20, 48
# Digits of the largest difference between two runs in a photo of 40 megapixels, and one to spare.
_MAX_DIGITS = 7


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


def jaccard(mask: "np.ndarray | Tensor", reference: "np.ndarray | Tensor") -> float:
    """Intersection over union of two boolean masks of one shape; 1.0 where both are empty.

    Raises:
        UserError: different shapes.
    """
    left, right = np.asarray(mask, dtype=bool), np.asarray(reference, dtype=bool)
    if left.shape != right.shape:
        raise UserError(f"masks differ in shape: {left.shape} and {right.shape}; resize one first")
    union = int(np.count_nonzero(left | right))
    return int(np.count_nonzero(left & right)) / union if union else 1.0


def encode(mask: np.ndarray) -> str:
    """COCO's compressed `counts` of a mask [H,W] bool."""
    from dino.media.regions import run_lengths

    return compress(run_lengths(mask))


def decode(counts: str, size: tuple[int, int]) -> np.ndarray:
    """The mask [H,W] bool that compressed `counts` stand for; `size` is (H, W).

    Raises:
        UserError: they are damaged, or of a mask of another size.
    """
    height, width = size
    runs = decompress(counts)
    if (runs < 0).any() or runs.sum() != height * width:
        raise UserError(
            f"the run lengths hold {int(runs.sum()):,} pixels, expected {height}·{width}; the mask "
            "is of another photo, or damaged"
        )
    ones = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(ones, runs).reshape(width, height).T)


def compress(runs: Sequence[int]) -> str:
    """Run lengths → the characters COCO writes for them."""
    values = np.asarray(runs, dtype=np.int64)
    values = np.concatenate([values[:3], values[3:] - values[1:-2]])
    digits = np.zeros((len(values), _MAX_DIGITS), np.uint8)
    used = np.zeros(digits.shape, bool)
    open_ = np.ones(len(values), bool)
    for place in range(_MAX_DIGITS):
        low = values & 0x1F
        values = values >> _DIGIT_BITS
        # Done where the rest is only the sign, and the digit's own top bit tells that sign.
        more = open_ & (values != np.where(low & _SIGN, -1, 0))
        digits[:, place] = (low | np.where(more, _MORE, 0)) + _FIRST
        used[:, place] = open_
        open_ = more
    assert not open_.any()
    return digits[used].tobytes().decode("ascii")


def decompress(counts: str) -> np.ndarray:
    """The inverse of `compress`, int64.

    Raises:
        UserError: characters that are none of these digits, or a number cut short.
    """
    codes = np.frombuffer(counts.encode("ascii", errors="replace"), np.uint8).astype(np.int64)
    codes = codes - _FIRST
    if not len(codes) or codes.min() < 0 or codes.max() > 0x3F or codes[-1] & _MORE:
        raise UserError("the run lengths are damaged; the mask cannot be read")
    last = (codes & _MORE) == 0
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if place.max() >= _MAX_DIGITS:
        raise UserError("the run lengths are damaged; the mask cannot be read")
    parts = (codes & 0x1F) << (_DIGIT_BITS * place)
    values = np.add.reduceat(parts, starts)
    negative = (codes[ends] & _SIGN) != 0
    values = values - np.where(negative, np.int64(1) << (_DIGIT_BITS * (place[ends] + 1)), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def row_runs(mask: np.ndarray) -> list[int]:
    """Runs of a mask [h,w] read row by row, starting with the zeros: what the browser paints from."""
    from dino.media.regions import run_lengths

    return run_lengths(mask.T)


def from_row_runs(runs: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The mask [h,w] bool of runs read row by row.

    Raises:
        UserError: not whole numbers of pixels that fill the size.
    """
    height, width = size
    whole = all(type(run) is int and 0 <= run <= height * width for run in runs)
    if not whole or sum(runs) != height * width:
        raise UserError(f"the runs do not fill a mask of {width}×{height} px; draw it again")
    ones = np.arange(len(runs)) % 2 == 1
    return np.repeat(ones, runs).reshape(height, width)


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run lengths of [H,W] bool: column by column, starting with the zeros."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


def polygon_mask(polygon: Sequence[float], shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose centre (x + 0.5, y + 0.5) lies inside, by the even-odd rule: bool [H,W].

    Args:
        polygon: [x0, y0, x1, y1, …] in px; what lies outside the photo is cut off.
    Raises:
        UserError: fewer than three points, or half a point.
    """
    if not isinstance(polygon, list | tuple) or not all(map(_is_finite, polygon)):
        raise UserError(
            f"got {polygon!r:.40} for a polygon, expected x and y in px; export the annotations again"
        )
    if len(polygon) % 2 or len(polygon) < 6:
        raise UserError(
            f"got a polygon of {len(polygon)} numbers, expected x and y of three points or more; "
            "export the annotations again"
        )
    x0, y0 = np.asarray(polygon, dtype=np.float64).reshape(-1, 2).T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    height, width = shape
    middles = np.arange(height) + 0.5
    edge, row = np.nonzero((y0[:, None] <= middles) != (y1[:, None] <= middles))
    part = (middles[row] - y0[edge]) / (y1 - y0)[edge]
    crossing = x0[edge] + part * (x1 - x0)[edge]
    # Each crossing turns inside into outside for all pixels whose centre is right of it.
    first = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
    turns = np.zeros((height, width + 1), dtype=np.int64)
    np.add.at(turns, (row, first), 1)
    return turns.cumsum(axis=1)[:, :width] % 2 == 1


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9


def run_length_mask(counts: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """Run lengths, zeros first, column by column → bool [H,W]; the inverse of `export.run_lengths`.

    Raises:
        UserError: lengths that are negative or do not add up to the photo.
    """
    try:
        lengths = np.asarray(counts, dtype=np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(
            "got run lengths that are no whole numbers; export the annotations again"
        ) from error
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != shape[0] * shape[1]:
        raise UserError(
            f"got run lengths that add up to {lengths.sum()} px, expected {shape[0]}×{shape[1]} = "
            f"{shape[0] * shape[1]}; export the annotations again"
        )
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(shape, order="F")


def decode_counts(text: str) -> list[int]:
    """COCO's compressed run lengths as numbers.

    Six bits a character from "0" on: five of a number, lowest first, and one that says whether it
    goes on; the last one's fifth is the sign. From the fourth number on, what is stored is the
    difference from the one two before.

    Raises:
        UserError: a number that is cut off, or another character.
    """
    counts: list[int] = []
    value = bits = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise UserError(
                f"got {character!r} in compressed run lengths, expected characters from '0' to 'o'; "
                "export the annotations again"
            )
        value |= (code & 31) << bits
        bits += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << bits
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = bits = 0
    if bits:
        raise UserError(
            "got compressed run lengths that end within a number, expected them whole; export the "
            "annotations again"
        )
    return counts
