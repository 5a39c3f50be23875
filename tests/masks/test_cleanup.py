"""Pieces and holes of small masks drawn by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dino.errors import UserError
from dino.masks.cleanup import clean


def drawn(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])


def test_the_largest_piece_is_kept_and_corners_hold_together():
    mask = drawn("#....", ".#..#", "..#.#", ".....", "##...")
    assert (clean(mask, largest=True) == drawn("#....", ".#...", "..#..", ".....", ".....")).all()


def test_small_pieces_are_dropped_by_their_share_of_the_photo():
    mask = drawn("##..#", ".....", "###..", "....#")
    assert (clean(mask, min_area=2 / 20) == drawn("##...", ".....", "###..", ".....")).all()
    assert (clean(mask, min_area=2.1 / 20) == drawn(".....", ".....", "###..", ".....")).all()
    assert not clean(mask, min_area=0.5).any()
    assert (clean(mask, min_area=0) == mask).all()


def test_holes_are_filled_and_bays_at_the_photos_edge_are_not():
    mask = drawn("#####", "#..##", "##.##", "#####", "##.##")
    assert (clean(mask, fill_holes=True) == drawn(*["#####"] * 4, "##.##")).all()


def test_a_diagonal_line_encloses_a_hole():
    mask = drawn("..#..", ".#.#.", "#...#", ".#.#.", "..#..")
    assert (
        clean(mask, fill_holes=True) == drawn("..#..", ".###.", "#####", ".###.", "..#..")
    ).all()


def test_a_hole_does_not_make_a_piece_larger():
    ring, block = drawn("###.", "#.#.", "###.", "...."), drawn(*["###", "###", "###"])
    mask = np.zeros((4, 8), bool)
    mask[:, :4], mask[:3, 5:] = ring, block
    expected = np.zeros((4, 8), bool)
    expected[:3, 5:] = True
    assert (clean(mask, largest=True, fill_holes=True) == expected).all()


@pytest.mark.parametrize("value", [False, True])
def test_nothing_and_everything_stay_as_they_are(value):
    mask = np.full((3, 4), value)
    kept = clean(mask, min_area=0.1, largest=True, fill_holes=True)
    np.testing.assert_array_equal(kept, mask)


@settings(deadline=None)  # the first example may be slow on a busy machine
@given(st.lists(st.booleans(), min_size=42, max_size=42))
def test_pieces_and_holes_are_those_scipy_finds(bits):
    mask = np.array(bits).reshape(6, 7)
    np.testing.assert_array_equal(clean(mask, fill_holes=True), ndimage.binary_fill_holes(mask))
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = ndimage.sum_labels(mask, labels, range(1, count + 1))
    kept = clean(mask, largest=True)
    assert kept.sum() == (max(sizes) if count else 0)
    assert ndimage.label(kept, structure=np.ones((3, 3)))[1] == min(count, 1)
    assert (kept <= mask).all()


@pytest.mark.parametrize("bad", [-0.1, 1, np.nan, "0.1", True])
def test_a_share_outside_its_range_is_refused(bad):
    with pytest.raises(UserError, match="share of the photo"):
        clean(np.ones((2, 2), bool), min_area=bad)
