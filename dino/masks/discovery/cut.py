"""The normalised cut of a photo's patches: a graph of similar patches, and where it parts best.

    edges = similar_edges(keys, tau=0.2)          # float32 [N,N], 1 where similar
    values = second_eigenvector(edges)      # [N]; its mean parts the graph; None where nothing does

The weights are 1 and a small ε, W = ε + (1 − ε)·edges: products with W need the edges alone.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

# The weight of an edge between patches that are not similar; it keeps the graph in one piece.
EPSILON = 1e-5
# Below this the whole matrix is as quick, and Lanczos has too little room.
_MIN_LANCZOS = 64
_RESTARTS = 300


def similar_edges(features: NDArray[np.floating], *, tau: float) -> NDArray[np.float32]:
    """Join similar patches of features [N,D]: float32 [N,N], 1 where the cosine is above `tau`, else 0.

    A feature of length 0 is similar to none, not even to itself.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = (features / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    cosines = unit @ unit.T
    return np.greater(cosines, tau, out=cosines)


def all_alike(edges: NDArray[np.float32]) -> bool:
    """Whether all pairs of different patches have the same weight, so that no cut is better."""
    off_diagonal = edges.sum(dtype=np.float64) - np.trace(edges)
    return off_diagonal in (0, len(edges) * (len(edges) - 1))


def second_eigenvector(edges: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Find the second smallest y of (D − W) y = λ D y: float64 [N] of length 1 and any sign.

    Found as y = D^−½ z, z the largest eigenvector of D^−½ W D^−½ but for the trivial D^½·1, which is
    taken out beforehand. Lanczos from a fixed start gives the same for the same edges; where it
    does not converge the whole matrix is decomposed.

    Args:
        edges: [N,N] of 0 and 1, symmetric.
    Returns:
        None where all patches are alike, or there is one only: no cut is better than another.
    Source: Shi and Malik 2000, Normalized Cuts and Image Segmentation, section 2.1.
    """
    if all_alike(edges):
        return None
    num = len(edges)
    degree = (1 - EPSILON) * edges.sum(axis=1, dtype=np.float64) + EPSILON * num
    scale = 1 / np.sqrt(degree)
    trivial = np.sqrt(degree / degree.sum())
    lanczos = _lanczos(edges, scale, trivial) if num >= _MIN_LANCZOS else None
    z = _decompose(edges, scale, trivial) if lanczos is None else lanczos
    y = scale * z
    return y / np.linalg.norm(y)


def _lanczos(
    edges: NDArray[np.float32], scale: NDArray[np.float64], trivial: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Find the largest eigenvector by Lanczos; None where it does not converge."""
    num = len(edges)
    exact = edges.astype(np.float64)  # where the graph falls apart, ε alone decides

    def product(x: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled = scale * x.ravel()
        y = scale * ((1 - EPSILON) * (exact @ scaled) + EPSILON * scaled.sum())
        return y - trivial * (trivial @ x.ravel())

    start = np.random.default_rng(0).standard_normal(num)
    start -= trivial * (trivial @ start)
    try:
        _, vectors = eigsh(
            LinearOperator((num, num), matvec=product, dtype=np.float64),
            k=1,
            which="LA",
            v0=start,
            tol=1e-9,
            maxiter=_RESTARTS,
        )
    except ArpackError:
        return None
    return vectors[:, 0]


def _decompose(
    edges: NDArray[np.float32], scale: NDArray[np.float64], trivial: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Find the same by decomposing the whole matrix."""
    num = len(edges)
    weights = EPSILON + (1 - EPSILON) * edges.astype(np.float64)
    matrix = scale[:, None] * weights * scale - np.outer(trivial, trivial)
    _, vectors = eigh(matrix, subset_by_index=[num - 1, num - 1], overwrite_a=True)
    return vectors[:, 0]
