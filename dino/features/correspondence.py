"""Which patches of one photo are alike to which of another: nearest neighbours, and mutual ones.

    matches = mutual_neighbours(a.patches, b.patches, keep=50)
    matches.first, matches.second, matches.cosines        # patch numbers, row by row of each grid

A match is mutual when each of the two patches is the other's nearest of all; that leaves out most of
what only looks alike from one side.
Source: Amir et al. 2021, "Deep ViT Features as Dense Visual Descriptors" (best buddies).
"""

import colorsys
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dino.errors import UserError
from dino.features.neighbours import normalized

# Similarities held at once: 1,024 × 20,000 float32 are 80 MB.
_CHUNK_ROWS = 1024
_GAP_PX = 12


@dataclass(frozen=True)
class Matches:
    """Pairs of patches by falling cosine: numbers `first` [M], `second` [M], `cosines` [M] float32."""

    first: np.ndarray
    second: np.ndarray
    cosines: np.ndarray

    def __len__(self) -> int:
        return len(self.first)


def nearest_patches(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find for each patch of `first` the nearest of `second`: its number [N] and the cosine [N].

    Args:
        first [N,D], second [M,D]: features, of any length; of equally near ones the lowest number.
    Raises:
        UserError: widths that differ, or nothing to compare.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1:] != second.shape[1:]:
        raise UserError(
            f"got features of shape {first.shape} and {second.shape}, expected [N,D] and [M,D] of one "
            "width; compute both with the same network"
        )
    if not len(first) or not len(second):
        raise UserError("there is no patch to compare; choose more of the photo")
    a, b = normalized(first), normalized(second)
    numbers, cosines = np.empty(len(a), dtype=np.int64), np.empty(len(a), dtype=np.float32)
    for start in range(0, len(a), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        found = a[rows] @ b.T
        numbers[rows] = found.argmax(axis=1)
        cosines[rows] = found.max(axis=1)
    return numbers, cosines


def mutual_neighbours(
    first: np.ndarray,
    second: np.ndarray,
    *,
    keep: int | None = None,
    first_kept: np.ndarray | None = None,
    second_kept: np.ndarray | None = None,
) -> Matches:
    """Find pairs of patches that are each other's nearest, the best first.

    Args:
        first [N,D], second [M,D]: features of any length.
        keep: how many of the best; None keeps all.
        first_kept [N], second_kept [M]: bool, patches that take part; None takes all.
    Raises:
        UserError: as `nearest_patches`, masks of another length, or `keep` below 1.
    """
    if keep is not None and keep < 1:
        raise UserError(f"got keep {keep}, expected 1 or more matches to keep")
    ours, theirs = _rows_taking_part(first, first_kept), _rows_taking_part(second, second_kept)
    there, cosines = nearest_patches(first[ours], second[theirs])
    back, _ = nearest_patches(second[theirs], first[ours])
    mutual = np.flatnonzero(back[there] == np.arange(len(there)))
    order = mutual[np.argsort(-cosines[mutual], kind="stable")][:keep]
    return Matches(ours[order], theirs[there[order]], cosines[order])


def matches_csv(matches: Matches, first: tuple[int, int], second: tuple[int, int]) -> str:
    """Write a line a match: row and column of each patch, and the cosine.

    Args:
        first, second: grids (h, w) of the two photos.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["row_a", "column_a", "row_b", "column_b", "cosine"])
    for a, b, cosine in zip(matches.first, matches.second, matches.cosines, strict=True):
        writer.writerow([*divmod(int(a), first[1]), *divmod(int(b), second[1]), f"{cosine:.6f}"])
    return buffer.getvalue()


def matches_picture(
    photos: Sequence[np.ndarray],
    grids: Sequence[tuple[int, int]],
    matches: Matches,
    *,
    keep: int | None = None,
) -> np.ndarray:
    """Draw two photos side by side at one height, the best `keep` matches joined by lines: uint8
    [H,W,3].

    Args:
        photos: two of uint8 [H,W,3], covered by `grids` (h, w) of patches from edge to edge.
    """
    height = min(photo.shape[0] for photo in photos)
    sizes = [(max(1, round(photo.shape[1] * height / photo.shape[0])), height) for photo in photos]
    shrunk = [
        cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        for photo, size in zip(photos, sizes, strict=True)
    ]
    gap = np.full((height, _GAP_PX, 3), 255, dtype=np.uint8)
    picture = np.ascontiguousarray(np.hstack([shrunk[0], gap, shrunk[1]]))
    lefts = 0, sizes[0][0] + _GAP_PX
    width = max(1, height // 300)
    for number, pair in enumerate(zip(matches.first[:keep], matches.second[:keep], strict=True)):
        ends = [
            _middle(int(patch), grid, size, left)
            for patch, grid, size, left in zip(pair, grids, sizes, lefts, strict=True)
        ]
        colour = _line_colour(number)
        cv2.line(picture, ends[0], ends[1], colour, width, cv2.LINE_AA)
        for end in ends:
            cv2.circle(picture, end, 2 * width + 1, colour, -1, cv2.LINE_AA)
    return picture


def _middle(patch: int, grid: tuple[int, int], size: tuple[int, int], left: int) -> tuple[int, int]:
    """Find (x, y) in px of a patch's middle in a picture of `size` (width, height) that starts at
    `left`."""
    row, column = divmod(patch, grid[1])
    x, y = (column + 0.5) * size[0] / grid[1], (row + 0.5) * size[1] / grid[0]
    return left + round(x), round(y)


def _line_colour(number: int) -> tuple[int, int, int]:
    """Give neighbours colours far apart: steps of the golden angle around the circle of hues."""
    red, green, blue = colorsys.hls_to_rgb((number * 137.5 % 360) / 360, 0.6, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


def _rows_taking_part(features: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
    if kept is None:
        return np.arange(len(features))
    if kept.shape != features.shape[:1]:
        raise UserError(
            f"got a mask of shape {kept.shape} for {len(features)} patches; expected one value a patch"
        )
    return np.flatnonzero(kept)
