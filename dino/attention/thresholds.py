"""Make masks of attention by other rules than a share of the mass: Otsu's threshold, and k-means.

otsu_mask(maps)                                   # bool [..., h, w]
labels = cluster_patches(features, clusters=4)    # [N], needs no attention
cluster_mask(maps, labels.reshape(grid))          # bool [..., h, w]
"""

import numpy as np
from numpy.typing import NDArray

from dino.errors import UserError

MIN_CLUSTERS, MAX_CLUSTERS = 2, 32
DEFAULT_CLUSTERS = 4


def otsu_threshold(values: NDArray[np.floating]) -> float:
    """Find the value that parts `values` (any shape) into two classes of largest variance between them.

    Exact: every cut between two different values is tried, there are no bins. The upper class is
    what lies above the threshold; where all values are equal there is none.

    Raises:
        UserError: no values, or some that are not finite.
    Source: Otsu 1979, A Threshold Selection Method from Gray-Level Histograms.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if not ordered.size or not np.isfinite(ordered).all():
        raise UserError("Otsu's threshold needs finite values, and one at least")
    below = np.arange(1, ordered.size)
    above = ordered.size - below
    sums = ordered.cumsum()
    apart = (sums[-1] - sums[:-1]) / above - sums[:-1] / below
    between = np.where(ordered[1:] > ordered[:-1], below * above * apart**2, 0.0)
    if not between.any():
        return float(ordered[-1])
    return float(ordered[between.argmax()])


def otsu_mask(maps: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Keep the patches above Otsu's threshold of each map [..., h, w], bool of the same shape.

    The threshold is sought among square roots: a few patches hold so much attention that on the
    values themselves it parts only those from all others.
    """
    flat = np.sqrt(maps.reshape(-1, *maps.shape[-2:]))
    return np.stack([values > otsu_threshold(values) for values in flat]).reshape(maps.shape)


def check_clusters(clusters: int) -> None:
    """Raise a `UserError` unless `clusters` is a whole number k-means is offered for."""
    whole = isinstance(clusters, int) and not isinstance(clusters, bool)
    if not whole or not MIN_CLUSTERS <= clusters <= MAX_CLUSTERS:
        raise UserError(
            f"clusters is {clusters!r}; expected a whole number from {MIN_CLUSTERS} to "
            f"{MAX_CLUSTERS}, such as {DEFAULT_CLUSTERS}"
        )


def cluster_patches(
    features: NDArray[np.floating], *, clusters: int = DEFAULT_CLUSTERS
) -> NDArray[np.int32]:
    """Cluster patch features [N,D] by k-means: a cluster's number for each patch, int32 [N].

    Each patch's feature is scaled to unit length first: its direction says what a patch shows.

    Raises:
        UserError: clusters out of range, fewer patches than clusters, or features not finite.
    """
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import normalize

    check_clusters(clusters)
    if len(features) < clusters:
        raise UserError(
            f"the photo has {len(features)} patches, too few for {clusters} clusters; choose fewer "
            "clusters or a larger size"
        )
    if not np.isfinite(features).all():
        raise UserError("patch features are not all finite; try precision fp32, or other weights")
    scaled = normalize(features)
    return KMeans(clusters, n_init=1, random_state=0).fit(scaled).labels_


def cluster_mask(maps: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Keep the clusters that hold more attention a patch than the photo does, of each map [..., h, w].

    Our rule, after Amir et al. 2021 (Deep ViT Features as Dense Visual Descriptors, section 4.1),
    who call a cluster salient where its mean CLS attention passes a fixed threshold, and let the
    photos of a set vote; one photo has no set, and its own mean is the threshold here. There is a
    cluster above the mean unless attention is even over all of them.

    Args:
        labels: the cluster of each patch [h, w], from 0.
    """
    one_hot = labels.ravel() == np.arange(labels.max() + 1)[:, None]  # [K,N]
    flat = maps.reshape(-1, labels.size).astype(np.float64)
    means = flat @ one_hot.T / np.maximum(one_hot.sum(axis=1), 1)  # [M,K]
    # A hair above, so that rounding chooses nothing where attention is even.
    chosen = means > flat.mean(axis=1, keepdims=True) * (1 + 1e-12)
    return chosen[:, labels.ravel()].reshape(maps.shape)
