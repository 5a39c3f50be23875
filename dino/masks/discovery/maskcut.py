"""MaskCut: a normalised cut after another, each without the patches of the objects found before.

found = maskcut(keys, (30, 30), objects=3)
"""

import numpy as np
from numpy.typing import NDArray

from dino.errors import UserError
from dino.masks.discovery.cut import all_alike, second_eigenvector, similar_edges
from dino.masks.discovery.results import (
    Discovery,
    Piece,
    build_discovery,
    check_patch_keys,
    piece_around,
)
from dino.masks.discovery.tokencut import check_tau, foreground

DEFAULT_TAU = 0.15
DEFAULT_OBJECTS = 3
MAX_OBJECTS = 9
# Objects after the first are no objects where they take up no more than this share of the photo,
# as in the authors' own program.
_MIN_SHARE = 0.01


def maskcut(
    keys: NDArray[np.floating],
    grid: tuple[int, int],
    *,
    tau: float = DEFAULT_TAU,
    objects: int = DEFAULT_OBJECTS,
) -> Discovery:
    """Find up to `objects` objects by MaskCut, none of which share a patch.

    The first cut is TokenCut's. Before each further one the keys of patches that are part of an
    object become 0, so that these are joined to all others with 1e-5 only. The object's side is that
    of the largest absolute value, unless three or four of the grid's corners lie in it: an object
    is rarely at more than two. It ends early where the next object would be a crumb, or lies in what
    is found already.

    Args:
        keys: [N,D] of the last block, all heads side by side, row by row over the grid.
        grid: (h, w) in patches.
        tau: a cosine, from -1 to below 1.
        objects: how many at most, 1 to 9.
    Raises:
        UserError: `tau` or `objects` out of range; keys as in `discover`.
    Source: Wang et al. 2023, Cut and Learn for Unsupervised Object Detection and Instance
        Segmentation, section 3.2.
    """
    features = check_patch_keys(keys, grid)
    check_tau(tau)
    check_objects(objects)
    pieces: list[Piece] = []
    found = np.zeros(grid, dtype=bool)
    while len(pieces) < objects:
        piece = _next_piece(features, found, tau=tau)
        if piece is None or (pieces and piece.mask.mean() <= _MIN_SHARE):
            break
        pieces.append(piece)
        found |= piece.mask
    return build_discovery("maskcut", pieces, grid)


def _next_piece(
    features: NDArray[np.float64], found: NDArray[np.bool_], *, tau: float
) -> Piece | None:
    """Cut the next object off; None where what is left cannot be parted, or was part before."""
    taken = found.ravel()
    edges = similar_edges(np.where(taken[:, None], 0.0, features), tau=tau)
    if all_alike(edges[~taken][:, ~taken]):
        return None
    values = second_eigenvector(edges)
    if values is None:
        return None
    seed, scores = foreground(values)
    if count_corners(scores.reshape(found.shape) > 0) > 2:
        scores = -scores
        seed = int(scores.argmax())
    side = (scores > 0) & ~taken
    if not side[seed]:
        return None
    return Piece(piece_around(side.reshape(found.shape), seed), seed, scores)


def count_corners(side: NDArray[np.bool_]) -> int:
    """Count the corners of a grid [h,w] that lie on a side; those of a grid one patch high or wide twice."""
    return int(side[[0, 0, -1, -1], [0, -1, 0, -1]].sum())


def check_objects(objects: int) -> None:
    """Raise a `UserError` unless `objects` is a whole number that is offered."""
    whole = isinstance(objects, int) and not isinstance(objects, bool)
    if not whole or not 1 <= objects <= MAX_OBJECTS:
        raise UserError(
            f"objects is {objects!r}; expected a whole number from 1 to {MAX_OBJECTS}, such as "
            f"{DEFAULT_OBJECTS}"
        )
