"""Neighbours, near-duplicates, clusters and comparisons, against brute force and by hand."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from dino.errors import UserError
from dino.features.clusters import kmeans
from dino.features.folder import compare, folder_accuracy
from dino.features.folder.files import FolderFeatures
from dino.features.knn import knn_accuracy, leave_one_out_accuracy
from dino.features.neighbours import near_duplicates, nearest, neighbour_rows


def at_angles(*degrees: float) -> np.ndarray:
    """Unit vectors in the plane, of different lengths: cosines are those of their angles."""
    radians = np.radians(degrees)
    lengths = 1 + np.arange(len(degrees))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1) * lengths[:, None]


def folder(features: np.ndarray, paths: list[str], labels: list[str]) -> FolderFeatures:
    return FolderFeatures(
        features=np.asarray(features, np.float32),
        paths=tuple(paths),
        labels=tuple(labels),
        sha256=tuple(f"digest of {path}" for path in paths),
        dates=np.zeros(len(paths), "datetime64[s]"),
        dated_by=("file",) * len(paths),
        weights_sha256="w",
        size=32,
    )


def test_the_nearest_are_those_of_the_smallest_angle():
    features = at_angles(0, 50, 10, 180, 20)
    found = nearest(features, 0, k=3)
    assert found.rows.tolist() == [2, 4, 1]
    np.testing.assert_allclose(found.cosines, np.cos(np.radians([10, 20, 50])), atol=1e-6)
    assert nearest(features, 0, k=99).rows.tolist() == [2, 4, 1, 3]
    assert nearest(features, features[4] * 7, k=2).rows.tolist() == [4, 2]


def test_the_neighbours_of_all_are_those_of_each():
    features = np.random.default_rng(0).standard_normal((1100, 6))  # more than two chunks
    found = neighbour_rows(features, k=5)
    for row in (0, 511, 512, 1099):
        assert found[row].tolist() == nearest(features, row, k=5).rows.tolist()


def test_duplicates_hang_together_by_pairs():
    # 0°–8°–16° are a chain; 90° and 94° a pair, closer than any of the chain; 200° is alone.
    features = at_angles(0, 90, 16, 200, 8, 94)
    groups = near_duplicates(features, threshold=np.cos(np.radians(9)))
    assert [group.rows for group in groups] == [(1, 5), (0, 2, 4)]
    assert groups[0].cosine == pytest.approx(np.cos(np.radians(4)), abs=1e-6)
    assert groups[1].cosine == pytest.approx(np.cos(np.radians(8)), abs=1e-6)
    assert near_duplicates(features, threshold=np.cos(np.radians(3))) == []
    assert near_duplicates(features[:0], threshold=0.9) == []


def test_duplicates_across_chunks_equal_brute_force():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((1300, 4))
    threshold = 0.995
    rows = features / np.linalg.norm(features, axis=1, keepdims=True)
    linked = rows @ rows.T > threshold
    expected, seen = set(), set()
    for start in range(len(rows)):  # flood fill
        if start in seen:
            continue
        group, waiting = set(), [start]
        while waiting:
            row = waiting.pop()
            if row not in group:
                group.add(row)
                waiting += np.flatnonzero(linked[row]).tolist()
        seen |= group
        if len(group) > 1:
            expected.add(tuple(sorted(group)))
    found = near_duplicates(features, threshold=threshold)
    assert {group.rows for group in found} == expected
    assert len(expected) > 20
    assert any(max(rows) - min(rows) > 512 for rows in expected)


def test_five_thousand_photos_never_make_all_pairs_at_once():
    features = np.random.default_rng(0).standard_normal((5000, 32)).astype(np.float32)
    tracemalloc.start()
    near_duplicates(features, threshold=0.99)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # all pairs are 100 MB in float32, 200 MB in float64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: nearest(f, 9), "there is no photo 9; expected 0 to 2"),
        (lambda f: nearest(f, np.ones(5)), "expected the same"),
        (lambda f: nearest(f, 0, k=0), "k is 0"),
        (lambda f: near_duplicates(f, threshold=1), "threshold is 1"),
        (lambda f: near_duplicates(f * np.nan), "expected finite numbers"),
        (lambda f: kmeans(f, k=4), "got 4 clusters of 3 photos"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(UserError, match=message):
        call(at_angles(0, 10, 20))


# --- Clusters -----------------------------------------------------------------------------------


def test_planted_clusters_are_found_and_numbered_by_size():
    rng = np.random.default_rng(0)
    centres = np.eye(3, 20) * 10
    planted = rng.permutation(np.repeat([0, 1, 2], [10, 40, 25]))
    features = centres[planted] + rng.standard_normal((75, 20)) * 0.5
    found = kmeans(features, k=3)
    assert found.sizes == (40, 25, 10)
    np.testing.assert_array_equal(found.numbers, np.array([2, 0, 1])[planted])
    for number, row in enumerate(found.examples):
        assert found.numbers[row] == number
    np.testing.assert_array_equal(kmeans(features, k=3).numbers, found.numbers)
    # Length says nothing: only directions are compared.
    scaled = features * rng.uniform(0.1, 10, (75, 1))
    np.testing.assert_array_equal(kmeans(scaled, k=3).numbers, found.numbers)


# --- Accuracy and comparison --------------------------------------------------------------------


def test_leaving_one_out_is_each_by_all_others():
    rng = np.random.default_rng(3)
    features = torch.from_numpy(rng.standard_normal((300, 5)))  # more than one chunk
    labels = torch.from_numpy(rng.integers(0, 3, 300))
    features[:, 0] += 1.5 * (labels == 1)
    right = 0
    for row in range(300):
        rest = torch.arange(300) != row
        alone = knn_accuracy(
            features[rest], labels[rest], features[[row]], labels[[row]], k=7, temperature=0.1
        )
        right += alone.top1 == 100
    found = leave_one_out_accuracy(features, labels, k=7, temperature=0.1)
    assert found.top1 == pytest.approx(100 * right / 300)
    assert 34 < found.top1 < 95


def test_a_photo_never_votes_for_itself():
    # Pairs of equal photos with different labels: each other's only neighbour, so all are wrong.
    features = torch.from_numpy(at_angles(0, 0, 120, 120))
    labels = torch.tensor([0, 1, 0, 1])
    assert leave_one_out_accuracy(features, labels, k=1).top1 == 0
    with pytest.raises(UserError, match="at least 2"):
        leave_one_out_accuracy(features[:1], labels[:1])


def test_a_folder_s_accuracy_is_by_its_sub_folders_or_its_split():
    angles, labels = at_angles(0, 4, 90, 95, 3), ["a", "a", "b", "b", "b"]
    plain = folder(angles, [f"{label}/{n}.png" for n, label in enumerate(labels)], labels)
    found = folder_accuracy(plain, k=1)
    # The last lies between both of a: it is their nearest, and one of them is its own.
    assert (found.accuracy.top1, found.num_photos) == (40, 5)
    assert found.protocol == "each photo by all others"
    paths = ["train/a/0", "val/a/1", "train/b/2", "val/b/3", "val/b/4"]
    found = folder_accuracy(folder(angles, paths, labels), k=1)
    assert found.accuracy.top1 == pytest.approx(200 / 3)
    assert found.num_photos == 3
    with pytest.raises(UserError, match="has no photos of b"):
        folder_accuracy(folder(angles[:2], ["train/a/0", "val/b/1"], ["a", "b"]))
    with pytest.raises(UserError, match="0 classes; k-NN needs"):
        folder_accuracy(folder(angles[:2], ["0", "1"], ["", ""]))


def test_two_sets_are_compared_on_what_both_have_in_one_order():
    names = [f"{n}.png" for n in range(5)]
    before = folder(at_angles(0, 10, 21, 90, 95), names, [""] * 5)
    order = [4, 2, 0, 1]
    after = folder(at_angles(95, 21, 0, 10), [names[n] for n in order], [""] * 4)
    same = compare(before, after, k=1)
    assert same.before.paths == same.after.paths == ("0.png", "1.png", "2.png", "4.png")
    np.testing.assert_allclose(
        same.before.features / np.linalg.norm(same.before.features, axis=1, keepdims=True),
        same.after.features / np.linalg.norm(same.after.features, axis=1, keepdims=True),
        atol=1e-6,
    )
    assert same.shared_neighbours == 1
    # Before: 0–1, 1–0, 2–1, 3–4, 4–3. After: 0–1, 1–3, 2–4, 3–1, 4–3.
    other = compare(before, folder(at_angles(0, 10, 200, 12, 95), names, [""] * 5), k=1)
    assert other.shared_neighbours == pytest.approx(2 / 5)
    changed = replace(after, sha256=("other",) * 4)
    with pytest.raises(UserError, match="0 photos are in both"):
        compare(before, changed)
