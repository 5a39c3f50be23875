"""Otsu's threshold and k-means masks by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dino.attention.thresholds import cluster_mask, cluster_patches, otsu_mask, otsu_threshold
from dino.errors import UserError


def test_otsu_by_hand():
    # Cuts after 1, 2 and 4 of [1, 2, 2, 10, 11], as products of sizes and squared distance of means:
    # 1·4·(6.25 − 1)² = 110.25, 3·2·(10.5 − 5/3)² = 468.17, 4·1·(11 − 3.75)² = 210.25.
    assert otsu_threshold(np.array([10, 2, 11, 1, 2.0])) == 2


def test_otsu_of_equal_values_keeps_nothing():
    assert otsu_threshold(np.full(6, 0.25)) == 0.25
    assert not otsu_mask(np.full((2, 3, 4), 0.25)).any()


def by_trying(values: list[float]) -> float:
    """The between-class variance as it is written, for every cut."""
    best, found = 0.0, max(values)
    for cut in sorted(set(values))[:-1]:
        low = [v for v in values if v <= cut]
        high = [v for v in values if v > cut]
        shares = len(low) / len(values), len(high) / len(values)
        between = shares[0] * shares[1] * (np.mean(high) - np.mean(low)) ** 2
        if between > best * (1 + 1e-9):
            best, found = between, cut
    return found


@settings(deadline=None)  # the first example may be slow on a busy machine
@given(st.lists(st.integers(0, 50).map(float), min_size=2, max_size=12))
def test_otsu_equals_trying_every_cut(values):
    ours, theirs = (
        np.array(values) > t for t in (otsu_threshold(np.array(values)), by_trying(values))
    )

    def between(upper):
        if upper.all() or not upper.any():
            return 0.0
        apart = np.mean(np.array(values)[upper]) - np.mean(np.array(values)[~upper])
        return upper.mean() * (1 - upper.mean()) * apart**2

    assert between(ours) == pytest.approx(between(theirs), rel=1e-9)


def test_otsu_looks_at_each_map_alone_and_at_square_roots():
    maps = np.array([[[0.0, 1.0, 4.0, 100.0]], [[1.0, 1.0, 9.0, 9.0]]])
    # Square roots 0, 1, 2, 10: the largest distance is before 10 (3·1·9²), as with the values.
    assert otsu_mask(maps).tolist() == [[[False, False, False, True]], [[False, False, True, True]]]
    # 0, 36, 100 part after 36; their roots 0, 6, 10 part after 0.
    values = np.array([[0.0, 36.0, 100.0]])
    assert otsu_threshold(values) == 36
    assert otsu_mask(values).tolist() == [[False, True, True]]


@pytest.mark.parametrize("bad", [[], [1.0, np.nan]])
def test_otsu_needs_finite_values(bad):
    with pytest.raises(UserError, match="finite"):
        otsu_threshold(np.array(bad))


def test_kmeans_parts_directions_and_ignores_length():
    rng = np.random.default_rng(0)
    along = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])[[0, 0, 0, 1, 1, 1, 2, 2, 2]]
    features = along * rng.uniform(0.5, 40, (9, 1)) + rng.normal(0, 1e-3, (9, 3))
    labels = cluster_patches(features, clusters=3)
    assert len({*labels[:3]}) == len({*labels[3:6]}) == len({*labels[6:]}) == 1
    assert len({*labels}) == 3
    np.testing.assert_array_equal(labels, cluster_patches(features, clusters=3))


def test_clusters_above_the_photos_mean_are_kept_by_hand():
    labels = np.array([[0, 0, 1], [2, 2, 1]])
    maps = np.array([[[1, 1, 2], [6, 4, 2.0]], [[5, 3, 1], [1, 1, 1.0]]])
    # Means of the first map: 1, 2, 5 with 16/6 for the photo; of the second: 4, 1, 1 with 2.
    first, second = cluster_mask(maps, labels)
    assert first.tolist() == [[False, False, False], [True, True, False]]
    assert second.tolist() == [[True, True, False], [False, False, False]]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=6, max_size=6), st.lists(st.integers(0, 2), min_size=6))
def test_a_cluster_is_kept_whole_or_not_at_all(values, labels):
    labels = np.array(labels[:6]).reshape(2, 3)
    mask = cluster_mask(np.array(values).reshape(2, 3), labels)
    for cluster in np.unique(labels):
        assert len(np.unique(mask[labels == cluster])) == 1
    assert not mask.all()


@pytest.mark.parametrize("clusters", [1, 33, 2.5, True, "4"])
def test_clusters_out_of_range_are_refused(clusters):
    with pytest.raises(UserError, match="whole number from 2 to 32"):
        cluster_patches(np.ones((40, 2)), clusters=clusters)


def test_more_clusters_than_patches_and_features_that_are_not_finite_are_refused():
    with pytest.raises(UserError, match="3 patches, too few for 4"):
        cluster_patches(np.ones((3, 2)), clusters=4)
    with pytest.raises(UserError, match="not all finite"):
        cluster_patches(np.full((9, 2), np.nan), clusters=2)
