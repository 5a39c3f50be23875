"""LOST: the patch that correlates with fewest others starts the object; what is like it joins.

found = lost(keys, (30, 30))
"""

import numpy as np
from numpy.typing import NDArray

from dino.errors import UserError
from dino.masks.discovery.results import (
    Discovery,
    Piece,
    build_discovery,
    check_patch_keys,
    piece_around,
)

DEFAULT_K = 100


def lost(keys: NDArray[np.floating], grid: tuple[int, int], *, k: int = DEFAULT_K) -> Discovery:
    """Find one object by LOST: always one, for a lowest degree there always is.

    With f_p the key of patch p: its degree is the number of patches q with f_p·f_q ≥ 0; the seed
    has the lowest. Of the `k` patches of lowest degree (the seed is the first of them), those with
    f_p·f_seed ≥ 0 expand the seed to a set S. The mask is where f_p·Σ_S f_s ≥ 0, of which the piece
    around the seed is the object. Of equal degrees the patch further up and left comes first.

    Args:
        keys: [N,D] of the last block, all heads side by side, row by row over the grid.
        grid: (h, w) in patches.
        k: how many patches may join the seed; all of them where the photo has no more.
    Raises:
        UserError: `k` below 1; keys as in `discover`.
    Source: Siméoni et al. 2021, Localizing Objects with Self-Supervised Transformers and no
        Labels, section 3.2.
    """
    features = check_patch_keys(keys, grid)
    if k < 1:
        raise UserError(f"k is {k}; expected 1 or more, such as {DEFAULT_K}")
    order = np.argsort(degrees(features), kind="stable")
    seed = int(order[0])
    alike = expand_seed(features, order, k=k)
    scores = features @ features[alike].sum(axis=0)
    # By its own length the seed is part of the mask; rounding must not put it outside.
    mask = scores >= 0
    mask[seed] = True
    piece = piece_around(mask.reshape(grid), seed)
    return build_discovery("lost", [Piece(piece, seed, scores)], grid)


def degrees(features: NDArray[np.floating]) -> NDArray[np.int64]:
    """Count with how many patches each of [N,D] correlates positively, itself included: int64 [N]."""
    narrow = features.astype(np.float32)
    return (narrow @ narrow.T >= 0).sum(axis=1)


def expand_seed(
    features: NDArray[np.floating], order: NDArray[np.integer], *, k: int
) -> NDArray[np.int64]:
    """Take those of the first `k` of `order` (by degree, the seed first) that correlate positively with the seed.

    Counting starts at the seed itself; a copy of the method that is passed around starts behind it.
    """
    candidates = order[:k]
    alike = features[candidates] @ features[order[0]] >= 0
    alike[0] = True
    return candidates[alike]
