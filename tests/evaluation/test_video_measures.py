"""J and F: cases done by hand, and a slow reference written pixel by pixel from the definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dino.errors import UserError
from dino.evaluation import boundary_accuracy, region_similarity
from dino.evaluation.video_measures import boundary, scored_frames, statistics


def square(top, left, side=10, shape=(60, 80)):
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def slow_boundary(mask):
    """Pixels that differ from their right, lower or lower right neighbour, one at a time."""
    h, w = mask.shape
    found = set()
    for y in range(h):
        for x in range(w):
            if y == h - 1 and x == w - 1:
                continue
            if y == h - 1:
                neighbours = [(y, x + 1)]
            elif x == w - 1:
                neighbours = [(y + 1, x)]
            else:
                neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            if any(mask[n] != mask[y, x] for n in neighbours):
                found.add((y, x))
    return found


def slow_f(mask, truth, tolerance):
    """Shares of boundary pixels that have one of the other's within the rounded-up tolerance."""
    radius = math.ceil(tolerance * math.sqrt(mask.shape[0] ** 2 + mask.shape[1] ** 2))
    ours, theirs = slow_boundary(mask), slow_boundary(truth)

    def near(some, others):
        return sum(
            any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in others) for y, x in some
        )

    if not ours and not theirs:
        return 1.0
    if not ours or not theirs:
        return 0.0
    precision, recall = near(ours, theirs) / len(ours), near(theirs, ours) / len(theirs)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


PAIRS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


@settings(max_examples=200, deadline=None)
@given(pair=PAIRS, tolerance=st.sampled_from([0.008, 0.1, 0.2]))
def test_f_is_what_the_definition_says(pair, tolerance):
    mask, truth = pair
    found = {(int(y), int(x)) for y, x in np.argwhere(boundary(mask))}
    assert found == slow_boundary(mask)
    assert boundary_accuracy(mask, truth, tolerance=tolerance) == pytest.approx(
        slow_f(mask, truth, tolerance), abs=1e-12
    )


@settings(max_examples=100, deadline=None)
@given(pair=PAIRS)
def test_measures_are_symmetric_and_1_for_equal_masks(pair):
    mask, truth = pair
    for measure in (region_similarity, boundary_accuracy):
        value = measure(mask, truth)
        assert 0 <= value <= 1
        assert measure(truth, mask) == pytest.approx(value)
        assert measure(mask, mask) == 1


def test_j_of_shifted_squares():
    """10×10 squares, 3 px apart: 70 px in both, 130 in either."""
    assert region_similarity(square(20, 20), square(20, 23)) == pytest.approx(70 / 130)
    assert region_similarity(square(0, 0), square(30, 30)) == 0


def test_a_square_has_a_boundary_half_a_pixel_up_and_left():
    """A 2×2 square at (2, 2): the ring from (1, 1) to (3, 3), less its middle, which has only
    neighbours of its own kind."""
    assert {(int(y), int(x)) for y, x in np.argwhere(boundary(square(2, 2, side=2)))} == {
        (1, 1), (1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2), (3, 3),
    }  # fmt: skip


def test_the_border_of_the_frame_is_no_boundary():
    assert not boundary(np.ones((5, 7), dtype=bool)).any()
    left_half = np.zeros((4, 6), dtype=bool)
    left_half[:, :3] = True
    assert np.argwhere(boundary(left_half)).tolist() == [[0, 2], [1, 2], [2, 2], [3, 2]]


def test_f_of_shifted_squares_at_the_edge_of_the_tolerance():
    """60×80 px: the diagonal is 100, so the tolerance of 0.8 px is rounded up to 1."""
    truth = square(20, 20)
    assert boundary_accuracy(square(20, 21), truth) == 1
    assert boundary_accuracy(square(20, 22), truth) == slow_f(square(20, 22), truth, 0.008)
    assert 0 < boundary_accuracy(square(20, 22), truth) < 1
    # With a radius of 2 it is whole again; just below it is not.
    assert boundary_accuracy(square(20, 22), truth, tolerance=0.0101) == 1
    assert boundary_accuracy(square(20, 22), truth, tolerance=0.01) < 1
    assert boundary_accuracy(square(45, 60), truth) == 0


def test_f_of_two_lines_by_hand():
    """Upper halves of a 6×8 frame (diagonal 10, radius 1) that end one and two rows apart."""
    halves = [np.arange(6)[:, None] + np.zeros(8, dtype=int) < rows for rows in (2, 3, 4)]
    assert boundary_accuracy(halves[0], halves[1]) == 1
    assert boundary_accuracy(halves[0], halves[2]) == 0
    # A step: half of the line at distance 0, half at distance 2; the corner joins them.
    step = halves[0].copy()
    step[2:4, 4:] = True
    ours, theirs = slow_boundary(step), slow_boundary(halves[0])
    assert (len(ours), len(theirs)) == (10, 8)
    assert ours - theirs == {(2, 3), (3, 3), (3, 4), (3, 5), (3, 6), (3, 7)}
    # Near the true line (row 1): its own 4 px and (2, 3); near the step: columns 0 to 4.
    precision, recall = 5 / 10, 5 / 8
    expected = 2 * precision * recall / (precision + recall)
    assert boundary_accuracy(step, halves[0]) == pytest.approx(expected)


def test_the_tolerance_at_480p_is_8_px():
    """0.008 of the diagonal of 480×854 px is 7.84 px, which counts as 8."""
    shape = (480, 854)
    truth = square(100, 100, side=200, shape=shape)
    assert boundary_accuracy(square(108, 100, side=200, shape=shape), truth) == 1
    assert boundary_accuracy(square(109, 100, side=200, shape=shape), truth) < 1


def test_empty_masks():
    empty, some, whole = (np.zeros((60, 80), bool), square(20, 20), np.ones((60, 80), bool))
    assert region_similarity(empty, empty) == boundary_accuracy(empty, empty) == 1
    assert region_similarity(empty, some) == boundary_accuracy(empty, some) == 0
    assert region_similarity(some, empty) == boundary_accuracy(some, empty) == 0
    # The whole frame has no boundary either, so F takes it for as good as nothing.
    assert boundary_accuracy(whole, empty) == 1
    assert region_similarity(whole, empty) == 0


def test_masks_of_two_sizes_are_refused():
    for measure in (region_similarity, boundary_accuracy):
        with pytest.raises(UserError, match="expected the same"):
            measure(np.ones((2, 3), bool), np.ones((3, 2), bool))


def test_mean_recall_and_decay_of_eight_frames():
    """Ends at 1, 2.75, 4.5, 6.25 and 8 are rounded to 1, 3, 5, 6 and 8: the first part is frames 1 to
    3, the last 6 to 8."""
    found = statistics([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    assert found.mean == pytest.approx(0.55)
    assert found.recall == 0.5  # 0.5 itself is not above
    assert found.decay == pytest.approx(0.8 - 0.3)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 18, 48, 102, 300])
def test_parts_are_cut_as_the_official_evaluators_cut_them(count):
    """Their formula, written out: whole numbers from 1, a hair, rounded, parts that share an end."""
    values = np.random.default_rng(count).random(count)
    ends = [int(np.round(1 + (count - 1) * part / 4 + 1e-10)) for part in range(5)]
    parts = [values[ends[i] - 1 : ends[i + 1]] for i in range(4)]
    assert statistics(values.tolist()).decay == pytest.approx(
        np.mean(parts[0]) - np.mean(parts[3]), abs=1e-12
    )


def test_the_first_and_the_last_frame_are_left_out():
    assert list(scored_frames(5)) == [1, 2, 3]
    assert list(scored_frames(2)) == []
    with pytest.raises(UserError, match="no frame"):
        statistics([])
