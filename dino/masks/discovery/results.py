"""What a discovery finds, and the steps all methods share: check the keys, keep one piece."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from dino.errors import UserError
from dino.media.regions import box_of

# 80 × 80; tables of all pairs of patches take 0.5 GB then.
MAX_PATCHES = 6_400
# Of those tables, for each pair: float32 and float64, and some room.
_BYTES_A_PAIR = 16

# (top, left, bottom, right) in patches, the last two behind the object.
PatchBox = tuple[int, int, int, int]


def table_bytes(num_patches: int) -> int:
    """Estimate the bytes that the tables of all pairs of patches take in a search, which has `MAX_PATCHES` at most."""
    return _BYTES_A_PAIR * min(num_patches, MAX_PATCHES) ** 2


@dataclass(frozen=True)
class Discovery:
    """The objects of a photo, in the order found; there may be none.

    `masks` [n,h,w] bool in patches; `seeds` the (row, column) each grew from; `boxes` (top, left,
    bottom, right) in patches, the last two behind the object; `scores` [n,h,w] float32, the map
    each mask was cut from at 0, the object's side above.
    """

    method: str
    masks: NDArray[np.bool_]
    seeds: tuple[tuple[int, int], ...]
    boxes: tuple[PatchBox, ...]
    scores: NDArray[np.float32]

    @property
    def grid(self) -> tuple[int, int]:
        """Count the patches (h, w)."""
        return self.masks.shape[1], self.masks.shape[2]


@dataclass(frozen=True)
class Piece:
    """One object before it is part of a `Discovery`: mask [h,w], the seed's index, scores [N]."""

    mask: NDArray[np.bool_]
    seed: int
    scores: NDArray[np.floating]


def build_discovery(method: str, pieces: Sequence[Piece], grid: tuple[int, int]) -> Discovery:
    """Put the pieces and their boxes together."""
    masks = np.zeros((len(pieces), *grid), dtype=bool)
    scores = np.zeros((len(pieces), *grid), dtype=np.float32)
    for number, piece in enumerate(pieces):
        masks[number], scores[number] = piece.mask, piece.scores.reshape(grid)
    seeds = tuple((piece.seed // grid[1], piece.seed % grid[1]) for piece in pieces)
    return Discovery(method, masks, seeds, tuple(box_of(mask) for mask in masks), scores)


def check_patch_keys(keys: ArrayLike, grid: tuple[int, int]) -> NDArray[np.float64]:
    """Check keys [N,D], and give them as float64.

    Raises:
        UserError: they do not fill the grid, are not finite, or are of too many patches.
    """
    values = np.asarray(keys, dtype=np.float64)
    num_patches = grid[0] * grid[1]
    if values.ndim != 2 or len(values) != num_patches or not num_patches:
        raise UserError(
            f"keys have shape {values.shape}; expected [N, D] with N = {grid[0]}·{grid[1]} patches"
        )
    if num_patches > MAX_PATCHES:
        raise UserError(
            f"the photo has {num_patches:,} patches, and objects are sought among up to "
            f"{MAX_PATCHES:,}; choose a smaller size"
        )
    if not np.isfinite(values).all():
        raise UserError("keys are not all finite; try precision fp32, or other weights")
    return values


def piece_around(mask: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Keep the part of a mask [h,w] that hangs together with a patch of it, over edges only."""
    labels, _ = ndimage.label(mask)
    return (labels == labels.flat[seed]) & mask
