"""TokenCut: patches are the nodes of a graph, and the normalised cut parts object and background.

found = tokencut(keys, (30, 30))
"""

import numpy as np
from numpy.typing import NDArray

from dino.errors import UserError
from dino.masks.discovery.cut import second_eigenvector, similar_edges
from dino.masks.discovery.results import (
    Discovery,
    Piece,
    build_discovery,
    check_patch_keys,
    piece_around,
)

DEFAULT_TAU = 0.2


def tokencut(
    keys: NDArray[np.floating], grid: tuple[int, int], *, tau: float = DEFAULT_TAU
) -> Discovery:
    """Find one object by TokenCut; none where all patches are alike, for there nothing can be parted.

    Two patches are joined with weight 1 where the cosine of their keys is above `tau`, else with
    1e-5. The second smallest eigenvector of the normalised Laplacian parts them at its mean; the
    object's side is that of the largest absolute value, and the object the piece around that patch.

    Args:
        keys: [N,D] of the last block, all heads side by side, row by row over the grid.
        grid: (h, w) in patches.
        tau: a cosine, from -1 to below 1.
    Raises:
        UserError: `tau` out of range; keys as in `discover`.
    Source: Wang et al. 2022, Self-Supervised Transformers for Unsupervised Object Discovery using
        Normalized Cut, section 3.
    """
    features = check_patch_keys(keys, grid)
    check_tau(tau)
    values = second_eigenvector(similar_edges(features, tau=tau))
    if values is None:
        return build_discovery("tokencut", [], grid)
    seed, scores = foreground(values)
    mask = piece_around((scores > 0).reshape(grid), seed)
    return build_discovery("tokencut", [Piece(mask, seed, scores)], grid)


def foreground(values: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
    """Choose the object's side: the patch of the largest absolute value, and values [N] about their mean, its side positive."""
    seed = int(np.abs(values).argmax())
    scores = values - values.mean()
    return seed, scores if scores[seed] > 0 else -scores


def check_tau(tau: float) -> None:
    """Raise a `UserError` unless `tau` is a cosine that some patches can be above."""
    if not -1 <= tau < 1:
        raise UserError(
            f"tau is {tau}; expected a cosine from -1 to below 1, such as {DEFAULT_TAU}"
        )
