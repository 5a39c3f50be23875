"""Which photos are alike: nearest neighbours of one, and groups of near-duplicates of all.

    near = nearest(features, 17, k=12)                  # rows and cosines, the query left out
    groups = near_duplicates(features, threshold=0.95)

Cosines are computed for some rows at a time: 5,000 photos take 10 MB, not the 200 MB of all pairs.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dino.errors import UserError

_CHUNK_ROWS = 512


class Neighbours(NamedTuple):
    """`rows` [k] nearest first, and their `cosines` [k] with the query."""

    rows: np.ndarray
    cosines: np.ndarray


@dataclass(frozen=True)
class DuplicateGroup:
    """Photos that hang together by pairs above the threshold: `rows` in order, and the largest
    `cosine` of two of them. Two of a group need not be alike themselves: A–B and B–C suffice."""

    rows: tuple[int, ...]
    cosine: float


def normalized(features: np.ndarray) -> np.ndarray:
    """Bring features [M,D] to float32 rows of length 1; rows of zeros stay.

    Raises:
        UserError: another shape, or values that are not finite.
    """
    matrix = np.asarray(features, dtype=np.float32)
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise UserError(
            f"features have shape {list(matrix.shape)}; expected finite numbers [M, D], one row a "
            "photo or patch: compute them again, or read them with read_features"
        )
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / np.where(length > 0, length, 1)


def nearest(features: np.ndarray, query: int | np.ndarray, *, k: int = 12) -> Neighbours:
    """Find the `k` photos most like one, by cosine; of equals, the first.

    Args:
        features: [M,D].
        query: a row of `features`, which is left out of the answer; or a feature [D].
        k: at least 1; more than there are means all.
    Raises:
        UserError: a row that does not exist, a feature of another width, or k below 1.
    """
    matrix = normalized(features)
    if k < 1:
        raise UserError(f"k is {k}; expected 1 or more")
    if isinstance(query, int | np.integer):
        if not 0 <= query < len(matrix):
            raise UserError(f"there is no photo {query}; expected 0 to {len(matrix) - 1}")
        cosines = matrix @ matrix[query]
        cosines[query] = -np.inf
        k = min(k, len(matrix) - 1)
    else:
        vector = np.asarray(query)
        if vector.shape != matrix.shape[1:]:
            raise UserError(
                f"the query has shape {list(vector.shape)} and features {matrix.shape[1]} channels; "
                "expected the same: use the same weights for both"
            )
        cosines = matrix @ normalized(vector[None])[0]
    rows = np.argsort(-cosines, kind="stable")[:k]
    return Neighbours(rows, cosines[rows])


def neighbour_rows(features: np.ndarray, *, k: int) -> np.ndarray:
    """Find the rows of the `k` nearest of each photo, itself left out: int64 [M,min(k, M − 1)]."""
    matrix = normalized(features)
    k = min(k, len(matrix) - 1)
    found = np.empty((len(matrix), k), dtype=np.int64)
    for start in range(0, len(matrix), _CHUNK_ROWS):
        cosines = matrix[start : start + _CHUNK_ROWS] @ matrix.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        found[start : start + _CHUNK_ROWS] = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return found


def near_duplicates(features: np.ndarray, *, threshold: float = 0.95) -> list[DuplicateGroup]:
    """Group photos whose cosine is above a threshold, by connected components.

    Args:
        features: [M,D].
        threshold: in (−1, 1).
    Returns:
        Groups of two or more, those with the most alike pair first.
    Raises:
        UserError: a threshold out of range.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not -1 < threshold < 1:
        raise UserError(f"threshold is {threshold}; expected a cosine between -1 and 1, as 0.95")
    matrix = normalized(features)
    num = len(matrix)
    group, best = np.arange(num), np.full(num, -np.inf)
    for start in range(0, num, _CHUNK_ROWS):
        # Each pair once: rows of the chunk with those after them.
        cosines = matrix[start : start + _CHUNK_ROWS] @ matrix[start:].T
        left, right = np.nonzero(np.triu(cosines > threshold, 1))
        if not len(left):
            continue
        found = cosines[left, right]
        np.maximum.at(best, left + start, found)
        np.maximum.at(best, right + start, found)
        edges = coo_array(
            (np.ones(len(left), bool), (group[left + start], group[right + start])), (num, num)
        )
        group = connected_components(edges, directed=False)[1][group]
    rows = np.flatnonzero(np.isfinite(best))
    members = [rows[group[rows] == number] for number in np.unique(group[rows])]
    groups = [DuplicateGroup(tuple(m.tolist()), float(best[m].max())) for m in members]
    return sorted(groups, key=lambda found: (-found.cosine, found.rows))
