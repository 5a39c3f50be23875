"""Nearest and mutual neighbours: hand-made cases, a planted match, and what must not matter."""

import csv
import io

import numpy as np
import pytest

from dino.errors import UserError
from dino.features.correspondence import Matches, matches_csv, mutual_neighbours, nearest_patches


def test_the_nearest_is_the_one_at_the_smallest_angle():
    first = np.array([[1.0, 0.0], [0.0, 2.0]])
    second = np.array([[1.0, 1.0], [0.0, 5.0], [3.0, 1.0]])
    numbers, cosines = nearest_patches(first, second)
    assert numbers.tolist() == [2, 1]
    np.testing.assert_allclose(cosines, [3 / np.sqrt(10), 1.0], rtol=1e-6)


def test_only_pairs_that_choose_each_other_are_mutual():
    # Both patches of the first photo like b0 best; b0 likes a1, so a0 is left alone, and so is b1.
    first = np.array([[1.0, 0.2], [1.0, 0.0]])
    second = np.array([[1.0, 0.0], [-1.0, 0.1]])
    matches = mutual_neighbours(first, second)
    assert (matches.first.tolist(), matches.second.tolist()) == ([1], [0])
    assert matches.cosines.tolist() == pytest.approx([1.0])


def test_a_permuted_copy_is_matched_patch_by_patch():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(50, 16))
    order = rng.permutation(50)
    matches = mutual_neighbours(first, 3.0 * first[order])
    assert sorted(matches.first.tolist()) == list(range(50))
    assert (order[matches.second] == matches.first).all()
    assert np.diff(matches.cosines).max() <= 0


def test_the_best_are_kept_and_masks_hold_back():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(40, 8)), rng.normal(size=(30, 8))
    everything = mutual_neighbours(first, second)
    few = mutual_neighbours(first, second, keep=3)
    assert few.first.tolist() == everything.first[:3].tolist()
    ours, theirs = rng.random(40) < 0.5, rng.random(30) < 0.5
    held = mutual_neighbours(first, second, first_kept=ours, second_kept=theirs)
    assert ours[held.first].all()
    assert theirs[held.second].all()
    small = mutual_neighbours(first[ours], second[theirs])
    np.testing.assert_array_equal(np.flatnonzero(ours)[small.first], held.first)


def test_mutual_is_the_same_from_both_sides():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(60, 8)), rng.normal(size=(45, 8))
    here, there = mutual_neighbours(first, second), mutual_neighbours(second, first)
    assert set(zip(here.first, here.second, strict=True)) == set(
        zip(there.second, there.first, strict=True)
    )


def test_chunks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(25, 8)), rng.normal(size=(25, 8))
    whole = nearest_patches(first, second)
    monkeypatch.setattr("dino.features.correspondence._CHUNK_ROWS", 4)
    np.testing.assert_array_equal(nearest_patches(first, second)[0], whole[0])


def test_the_table_names_rows_and_columns():
    matches = Matches(np.array([5, 0]), np.array([7, 2]), np.array([0.5, 0.25], np.float32))
    rows = list(csv.reader(io.StringIO(matches_csv(matches, (2, 4), (4, 3)))))
    assert rows[0] == ["row_a", "column_a", "row_b", "column_b", "cosine"]
    assert rows[1:] == [["1", "1", "2", "1", "0.500000"], ["0", "0", "0", "2", "0.250000"]]


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), {}, "one width"),
        (np.ones((2, 3)), np.ones((0, 3)), {}, "no patch"),
        (np.ones((2, 3)), np.ones((2, 3)), {"keep": 0}, "1 or more"),
        (np.ones((2, 3)), np.ones((2, 3)), {"first_kept": np.ones(3, bool)}, "one value a patch"),
        (np.ones((2, 3)), np.ones((2, 3)), {"first_kept": np.zeros(2, bool)}, "no patch"),
    ],
)
def test_what_cannot_be_compared_is_said(first, second, options, message):
    with pytest.raises(UserError, match=message):
        mutual_neighbours(first, second, **options)
