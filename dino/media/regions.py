"""Regions of a photo: how alike two are, and each as a raster, as run lengths or as polygons.

A raster is a mask [H,W] bool, or labels [h,w] of which 0 is none. Three other forms stand for it:

- run lengths of a mask, column by column as COCO has them (`run_lengths`, as characters `encode`) or row
  by row as the browser paints them (`row_runs`); they start with the zeros, which may be none;
- runs of labels (count, label, count, label, …), row by row (`label_runs`): what is painted on a canvas;
- polygons along the edges of the pixels (`trace_rings`), so that one that is not simplified is the mask itself.

Coordinates are px from the photo's upper left corner, which is (0, 0): pixel (column x, row y) covers
x…x+1, y…y+1, and belongs to a polygon when its centre does. Pixels that touch at a corner only are two
parts, and so two polygons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

LabelRuns = tuple[int, ...]


def jaccard(mask: "np.ndarray | Tensor", reference: "np.ndarray | Tensor") -> float:
    """Divide the intersection of two boolean masks of one shape by their union; 1.0 where both are empty.

    Raises:
        UserError: different shapes.
    """
    left, right = np.asarray(mask, dtype=bool), np.asarray(reference, dtype=bool)
    if left.shape != right.shape:
        raise UserError(f"masks differ in shape: {left.shape} and {right.shape}; resize one first")
    union = int(np.count_nonzero(left | right))
    return int(np.count_nonzero(left & right)) / union if union else 1.0


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Find (top, left, bottom, right) of a mask [H,W] with a pixel at least; the last two are behind it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


# Run lengths ------------------------------------------------------------------------------------


def run_lengths(mask: np.ndarray) -> list[int]:
    """Count the runs of a mask [H,W] column by column, starting with the zeros: COCO's, uncompressed."""
    lengths, values = _runs(mask.ravel(order="F"))
    return [0, *lengths.tolist()] if len(values) and values[0] else lengths.tolist()


def from_run_lengths(lengths: Sequence[int] | np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw the mask [H,W] bool of run lengths; the inverse of `run_lengths`.

    Args:
        size: (H, W) in px.
    Raises:
        UserError: no whole numbers, or lengths that are negative or do not add up to the size.
    """
    height, width = size
    try:
        counts = np.asarray(lengths, dtype=np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError("got run lengths that are no whole numbers") from error
    # Each is compared too: sums of damaged lengths may run over and end at the size.
    within = counts.ndim == 1 and not ((counts < 0) | (counts > height * width)).any()
    if not within or counts.sum() != height * width:
        raise UserError(
            f"got run lengths that add up to {counts.sum()} px, expected {height}×{width} = "
            f"{height * width}"
        )
    inside = np.arange(len(counts)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, counts).reshape(width, height).T)


def row_runs(mask: np.ndarray) -> list[int]:
    """Count the runs of a mask [h,w] row by row, starting with the zeros: what the browser paints from."""
    return run_lengths(mask.T)


def from_row_runs(runs: Sequence[Any], size: tuple[int, int]) -> np.ndarray:
    """Draw the mask [h,w] bool of runs that a browser sent, row by row.

    Raises:
        UserError: not whole numbers of pixels that fill the size.
    """
    height, width = size
    whole = all(type(run) is int and 0 <= run <= height * width for run in runs)
    if not whole or sum(runs) != height * width:
        raise UserError(f"the runs do not fill a mask of {width}×{height} px; draw it again")
    return np.ascontiguousarray(from_run_lengths(runs, (width, height)).T)


def encode(mask: np.ndarray) -> str:
    """Write a mask [H,W] bool as COCO's compressed `counts`."""
    return _compress(run_lengths(mask))


def decode(counts: str, size: tuple[int, int]) -> np.ndarray:
    """Draw the mask [H,W] bool that compressed `counts` stand for; `size` is (H, W).

    Raises:
        UserError: they are damaged, or of a mask of another size.
    """
    return from_run_lengths(_decompress(counts), size)


def label_runs(labels: np.ndarray) -> LabelRuns:
    """Count the runs of labels [h,w], whole numbers from 0; what follows the last label is left out."""
    lengths, values = _runs(labels.ravel())
    if len(values) and not values[-1]:
        lengths, values = lengths[:-1], values[:-1]
    return tuple(np.stack([lengths, values], axis=-1).ravel().tolist())


def from_label_runs(runs: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Draw the labels [h,w] uint8 of runs that fit into the size (h, w)."""
    labels = np.zeros(size[0] * size[1], dtype=np.uint8)
    painted = np.repeat(np.array(runs[1::2], dtype=np.uint8), runs[::2])
    labels[: len(painted)] = painted
    return labels.reshape(size)


def check_label_runs(sent: Any, size: tuple[int, int], num_labels: int) -> LabelRuns:
    """Check runs of labels that somebody sent, who may have sent anything.

    Raises:
        ValueError: not whole numbers, labels above `num_labels`, or more cells than the size has.
    """
    if not isinstance(sent, Sequence) or isinstance(sent, str) or len(sent) % 2:
        raise ValueError("no runs")
    if any(type(value) is not int for value in sent):
        raise ValueError("runs of whole numbers are expected")
    counts, labels = sent[::2], sent[1::2]
    if any(count < 1 for count in counts) or sum(counts) > size[0] * size[1]:
        raise ValueError("the runs do not fit")
    if any(not 0 <= label <= num_labels for label in labels):
        raise ValueError("a label that there is not")
    return tuple(sent)


def _runs(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split values [n] where they change: the length and the value of each run."""
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]])[: len(flat)])
    return np.diff(np.append(starts, len(flat))), flat[starts]


def _compress(runs: Sequence[int]) -> str:
    """Write run lengths in the characters that COCO has for them.

    Six bits a character from "0" on: five of a number, lowest first, and one that says whether it
    goes on; the last one's fifth is the sign. From the fourth number on, what is stored is the
    difference from the one two before.
    """
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


def _decompress(text: str) -> np.ndarray:
    """Read what `_compress` wrote, int64.

    Raises:
        UserError: a character that is none of these digits, or a number that is cut short or too large.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
    codes = codes - _FIRST
    if (wrong := np.flatnonzero((codes < 0) | (codes > 0x3F))).size:
        raise UserError(
            f"got {text[wrong[0]]!r} in compressed run lengths, expected characters from '0' to 'o'"
        )
    if not len(codes) or codes[-1] & _MORE:
        raise UserError("got compressed run lengths that end within a number, expected them whole")
    ends = np.flatnonzero((codes & _MORE) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if place.max() >= _MAX_DIGITS:
        raise UserError("got compressed run lengths with a number too large for any photo")
    parts = (codes & 0x1F) << (_DIGIT_BITS * place)
    values = np.add.reduceat(parts, starts)
    negative = (codes[ends] & _SIGN) != 0
    values = values - np.where(negative, np.int64(1) << (_DIGIT_BITS * (place[ends] + 1)), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


# Polygons ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ring:
    """A closed line around a part or around a hole: corners [n,2] of (x, y), the last not the first."""

    corners: np.ndarray
    is_hole: bool


def trace_rings(mask: np.ndarray) -> list[Ring]:
    """Follow the lines around the parts and the holes of a mask [H,W] bool, from the top down.

    A corner of the outline is where one, three, or two opposite ones of the four pixels around it are
    set. Along a row of corners, and along a column, the outline runs between each first and second of
    them; opposite pixels make two corners in one place, which the order they are paired in tells apart.
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
    """Leave corners out, [n,2] float stay, the line at most `tolerance` px from where it was.

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


def rasterize(polygons: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Draw the mask [H,W] bool of the pixels whose centre lies in any of the polygons [n,2].

    By the even-odd rule; what lies outside the photo is cut off.
    """
    height, width = size
    mask = np.zeros(size, bool)
    for polygon in polygons:
        x0, y0 = np.asarray(polygon, dtype=np.float64).T
        x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
        # The rows whose middle an edge passes, and where it does.
        first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, height).astype(np.int64)
        behind = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, height).astype(np.int64)
        edge = np.repeat(np.arange(len(x0)), behind - first)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(behind - first) - behind, behind - first)
        x = x0[edge] + (row + 0.5 - y0[edge]) * (x1 - x0)[edge] / (y1 - y0)[edge]
        # Each crossing turns inside into outside for all pixels whose centre is right of it.
        turns = np.zeros((height, width + 1), np.int32)
        np.add.at(turns, (row, np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)), 1)
        mask |= np.cumsum(turns[:, :width], axis=1) % 2 == 1
    return mask


def outline_polygons(mask: np.ndarray, tolerance: float) -> list[np.ndarray] | None:
    """Outline the parts of a mask as polygons [n,2]; None where it has holes, which they cannot show."""
    rings = trace_rings(mask)
    if any(ring.is_hole for ring in rings):
        return None
    return [simplify(ring, tolerance) for ring in rings]


def _corners(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find corners [n,2] (x, y) by rows, opposite ones twice, and whether these fall from left to right."""
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
    """Pair corners in an order: the other end of the line that each begins or ends."""
    partner = np.empty_like(order)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    return partner
