"""Objects of a photo without labels, from the keys of its patches: LOST, TokenCut and MaskCut.

    found = discover(keys, (30, 30), method="maskcut", objects=3)      # keys [N,D], N = 30·30

- LOST: the patch that correlates with fewest others starts the object; what is like it joins.
- TokenCut: patches are the nodes of a graph, and the normalised cut parts object and background.
- MaskCut: a normalised cut after another, each without the patches of the objects found before.

Arrays alone: `keys` has the network's part, `cut` the normalised cut.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from dino.errors import UserError
from dino.masks.discovery.cut import all_alike, second_eigenvector, similar_edges
from dino.media.regions import box_of

# 80 × 80; tables of all pairs of patches take 0.5 GB then.
MAX_PATCHES = 6_400
# Of those tables, for each pair: float32 and float64, and some room.
_BYTES_A_PAIR = 16

DEFAULT_K = 100
# The papers' thresholds of cosines.
_TOKENCUT_TAU, _MASKCUT_TAU = 0.2, 0.15
DEFAULT_OBJECTS = 3
MAX_OBJECTS = 9
# Objects after the first are no objects where they take up no more than this share of the photo,
# as in the authors' own program.
_MIN_SHARE = 0.01

# (top, left, bottom, right) in patches, the last two behind the object.
PatchBox = tuple[int, int, int, int]


def table_bytes(num_patches: int) -> int:
    """Estimate what the tables of all pairs of patches take in a search, which has up to `MAX_PATCHES`."""
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
    """Take what is like the seed of the first `k` in `order` (by degree, the seed first): f_p·f_seed ≥ 0.

    Counting starts at the seed itself; a copy of the method that is passed around starts behind it.
    """
    candidates = order[:k]
    alike = features[candidates] @ features[order[0]] >= 0
    alike[0] = True
    return candidates[alike]


def tokencut(
    keys: NDArray[np.floating], grid: tuple[int, int], *, tau: float = _TOKENCUT_TAU
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
    """Choose the object's side: the patch of the largest absolute value, and values [N] about their mean,
    of which those on its side are positive."""
    seed = int(np.abs(values).argmax())
    scores = values - values.mean()
    return seed, scores if scores[seed] > 0 else -scores


def check_tau(tau: float) -> None:
    """Raise a `UserError` unless `tau` is a cosine that some patches can be above."""
    if not -1 <= tau < 1:
        raise UserError(
            f"tau is {tau}; expected a cosine from -1 to below 1, such as {_TOKENCUT_TAU}"
        )


def maskcut(
    keys: NDArray[np.floating],
    grid: tuple[int, int],
    *,
    tau: float = _MASKCUT_TAU,
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


_METHODS: dict[str, Callable[..., Discovery]] = {
    "lost": lost,
    "tokencut": tokencut,
    "maskcut": maskcut,
}
METHODS = tuple(_METHODS)


def discover(
    keys: NDArray[np.floating], grid: tuple[int, int], *, method: str = "tokencut", **options: Any
) -> Discovery:
    """Find objects by one of the `METHODS`; options are those of its function.

    Args:
        keys: [N,D], row by row over the grid.
        grid: (h, w) in patches.
    Raises:
        UserError: an unknown method, keys that are not finite or do not fill the grid, or too many
            patches.
    """
    check_method(method)
    return _METHODS[method](keys, grid, **options)


def check_method(method: str) -> None:
    """Raise a `UserError` unless `method` is one of `METHODS`."""
    if method not in _METHODS:
        raise UserError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
