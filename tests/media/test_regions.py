"""Run lengths, polygons, against pycocotools and by hand."""

import numpy as np
import pytest
from helpers.annotation_cases import area, disc, ring
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from dino.errors import UserError
from dino.media import regions
from dino.media.regions import jaccard, outline_polygons, rasterize, trace_rings

coco = pytest.importorskip("pycocotools.mask")
MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=24))


def decoded(polygons, size) -> np.ndarray:
    flat = [polygon.ravel().tolist() for polygon in polygons]
    return coco.decode(coco.merge(coco.frPyObjects(flat, *size))) > 0


@settings(max_examples=200, deadline=None)
@given(MASKS)
def test_run_lengths_are_those_of_pycocotools_and_come_back(mask):
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    ours = regions.encode(mask)
    assert ours == theirs
    np.testing.assert_array_equal(regions.decode(ours, mask.shape), mask)


def test_long_runs_take_several_characters():
    mask = np.zeros((3000, 4000), bool)
    mask[2999, 3999] = True
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert regions.encode(mask) == theirs
    np.testing.assert_array_equal(regions.decode(theirs, mask.shape), mask)


def test_a_run_length_by_hand():
    # Columns of [[0,1],[1,1]] read 0,1,1,1: one zero, three ones; "1" is 1 + 48, "3" is 3 + 48.
    assert regions.encode(np.array([[0, 1], [1, 1]], bool)) == "13"


@pytest.mark.parametrize("text", ["", "1", "13Z", "\x07", "é", "o" * 40, "o" * 3 + "0"])
def test_damaged_run_lengths_are_refused(text):
    with pytest.raises(UserError, match="run lengths"):
        regions.decode(text, (2, 2))


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_the_browser_s_runs_go_row_by_row_and_come_back(mask):
    runs = regions.row_runs(mask)
    values = [value for number, run in enumerate(runs) for value in [number % 2] * run]
    assert values == mask.ravel().astype(int).tolist()
    np.testing.assert_array_equal(regions.from_row_runs(runs, mask.shape), mask)


@pytest.mark.parametrize("runs", [[3], [5, -1], [4.0], [True, 3], ["4"], [2, 3]])
def test_runs_that_do_not_fill_the_mask_are_refused(runs):
    with pytest.raises(UserError, match="2×2"):
        regions.from_row_runs(runs, (2, 2))


@settings(max_examples=200, deadline=None)
@given(MASKS)
def test_traced_rings_are_the_mask_exactly(mask):
    rings = trace_rings(mask)
    filled = np.zeros(mask.shape, bool)
    for found in rings:
        filled ^= rasterize([found.corners], mask.shape)
    np.testing.assert_array_equal(filled, mask)
    signed = sum(-area(r.corners) if r.is_hole else area(r.corners) for r in rings)
    assert signed == mask.sum()
    if not any(r.is_hole for r in rings) and rings:
        np.testing.assert_array_equal(decoded([r.corners for r in rings], mask.shape), mask)


def test_pixels_that_touch_at_a_corner_are_two_squares():
    for mask in (np.eye(2, dtype=bool), np.eye(2, dtype=bool)[::-1]):
        rings = trace_rings(mask)
        assert [area(r.corners) for r in rings] == [1, 1]
        assert not any(r.is_hole for r in rings)


def test_a_square_s_corners_are_the_edges_of_its_pixels():
    mask = np.zeros((5, 6), bool)
    mask[1:4, 2:5] = True
    (square,) = trace_rings(mask)
    assert sorted(map(tuple, square.corners.tolist())) == [(2, 1), (2, 4), (5, 1), (5, 4)]


SHAPES = [disc((60, 80), 40), disc((60, 80), 12) | disc((30, 20), 9), disc((9, 9), 2)]


@pytest.mark.parametrize("mask", SHAPES, ids=["large", "two parts", "tiny"])
def test_polygons_keep_98_percent_at_any_tolerance(mask):
    for tolerance in (0, 1, 6):
        polygons = outline_polygons(mask, tolerance)
        assert jaccard(decoded(polygons, mask.shape), mask) >= 0.98
        assert jaccard(rasterize(polygons, mask.shape), mask) >= 0.98


def test_polygons_have_few_corners_and_stay_within_the_tolerance():
    import cv2

    mask = disc((200, 250), 150, (400, 500))
    exact = sum(len(ring.corners) for ring in trace_rings(mask))
    (polygon,) = outline_polygons(mask, 1)
    assert len(polygon) < exact / 10
    off = rasterize([polygon], mask.shape) != mask
    for side in (mask, ~mask):
        distance = cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5)
        assert distance[off & side].max() <= 1.5  # px to the next centre: half a pixel is its own


def test_polygons_cannot_show_holes_and_specks_stay():
    assert outline_polygons(ring(), 1) is None
    speck = disc((60, 80), 30)
    speck[2, 2] = True
    parts = outline_polygons(speck, 5)
    assert area(parts[0]) == 1
    assert len(parts) == 2
