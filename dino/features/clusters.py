"""k-means on the directions of features: scikit-learn's, with numbers that stay the same."""

from dataclasses import dataclass

import numpy as np

from dino.errors import UserError
from dino.features.neighbours import normalized

_STARTS = 4


@dataclass(frozen=True)
class Clusters:
    """`numbers` [M], 0 the largest cluster; `sizes` [k]; `examples` [k]: the row nearest to each
    centre."""

    numbers: np.ndarray
    sizes: tuple[int, ...]
    examples: tuple[int, ...]


def kmeans(features: np.ndarray, *, k: int = 10, seed: int = 0) -> Clusters:
    """Cluster photos by k-means on L2-normalised features, the best of four starts.

    Args:
        features: [M,D].
        k: clusters, 1 to M.
    Raises:
        UserError: k out of range.
    """
    from sklearn.cluster import KMeans

    matrix = normalized(features)
    if not 1 <= k <= len(matrix):
        raise UserError(f"got {k} clusters of {len(matrix)} photos; expected 1 to {len(matrix)}")
    model = KMeans(n_clusters=k, n_init=_STARTS, random_state=seed).fit(matrix)
    counts = np.bincount(model.labels_, minlength=k)
    first = np.array([np.argmax(model.labels_ == number) for number in range(k)])
    order = np.lexsort((first, -counts))  # of equal size, the one with the first photo
    numbers = np.argsort(order)[model.labels_]
    centers = model.cluster_centers_[order]
    far = np.linalg.norm(matrix - centers[numbers], axis=1)
    examples = [
        int(min(np.flatnonzero(numbers == n), key=far.__getitem__, default=0)) for n in range(k)
    ]
    return Clusters(numbers, tuple(counts[order].tolist()), tuple(examples))
