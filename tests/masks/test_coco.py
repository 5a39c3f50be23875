"""COCO files: written, and outlines read that are counted by hand or were written by pycocotools."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dino.errors import UserError
from dino.masks.coco import coco_json, decode_outline
from dino.masks.settings import Mask
from dino.media.regions import encode, from_run_lengths, run_lengths


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((4, 4), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def test_a_rectangle_covers_the_pixels_between_its_edges():
    np.testing.assert_array_equal(
        decode_outline([[1, 0, 3, 0, 3, 2, 1, 2]], (4, 4)), box(0, 1, 2, 3)
    )
    backwards = decode_outline([[1, 2, 3, 2, 3, 0, 1, 0]], (4, 4))
    np.testing.assert_array_equal(backwards, box(0, 1, 2, 3))


def test_a_triangle_covers_the_pixels_whose_centre_is_inside():
    """Below the diagonal from (0, 0.1) to (4, 4.1): the centres of row y reach up to x = y − 0.1."""
    found = decode_outline([[0, 0.1, 4, 4.1, 0, 4.1]], (4, 4))
    np.testing.assert_array_equal(found, np.tri(4, k=-1, dtype=bool))


def test_what_reaches_beyond_the_photo_is_cut_off():
    found = decode_outline([[-5, -5, 2, -5, 2, 9, -5, 9]], (4, 4))
    np.testing.assert_array_equal(found, box(0, 0, 4, 2))
    assert not decode_outline([[5, 0, 9, 0, 9, 4, 5, 4]], (4, 4)).any()


def test_polygons_of_one_object_are_joined():
    found = decode_outline([[0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 3, 1, 3, 3, 1, 3]], (4, 4))
    np.testing.assert_array_equal(found, box(0, 0, 2, 2) | box(1, 1, 3, 3))


def test_run_lengths_go_down_the_columns_and_start_with_zeros():
    expected = np.array([[0, 0, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0]], dtype=bool)
    np.testing.assert_array_equal(from_run_lengths([4, 2, 3, 1, 2], (3, 4)), expected)
    # The same mask as pycocotools writes it.
    assert encode(expected) == "423OO"
    found = decode_outline({"size": [3, 4], "counts": "423OO"}, (3, 4))
    np.testing.assert_array_equal(found, expected)


def test_long_compressed_runs_equal_what_pycocotools_wrote():
    mask = np.zeros((70, 12), dtype=bool)
    mask[10:60, 2:5] = mask[50:69, 4:9] = True
    outline = {"size": [70, 12], "counts": "f4b1d0009o0hN000000P5"}
    np.testing.assert_array_equal(decode_outline(outline, (70, 12)), mask)


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_run_lengths_lead_back_to_the_mask(mask):
    np.testing.assert_array_equal(from_run_lengths(run_lengths(mask), mask.shape), mask)


def test_areas_are_those_that_coco_gives(shared):
    document = json.loads((shared / "data" / "coco-masks" / "instances.json").read_text())
    shapes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    large = [a for a in document["annotations"] if a["area"] > 5000]
    ratios = []
    for annotation in large:
        mask = decode_outline(annotation["segmentation"], shapes[annotation["image_id"]])
        ratios.append(mask.sum() / annotation["area"])
    # A file's area is another thing where a polygon crosses itself: 10 of 208, in which pycocotools
    # fills what is filled here to 0.2 %.
    assert np.mean(np.abs(np.array(ratios) - 1) < 0.02) > 0.95
    assert np.median(ratios) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("outline", "says"),
    [
        ([[0, 0, 1, 1]], "three points or more"),
        ([[0, 0, 1, 1, 2, 2, 3]], "three points or more"),
        ([], "polygons or run lengths"),
        (None, "polygons or run lengths"),
        ({"size": [5, 4], "counts": [20]}, "expected the same"),
        ({"size": [4, 4], "counts": [3, 4]}, "add up to 7 px"),
        ({"size": [4, 4], "counts": [20, -4]}, "add up"),
        ({"size": [4, 4], "counts": "4!"}, "characters from"),
        ({"size": [4, 4], "counts": "o"}, "end within a number"),
    ],
)
def test_outlines_that_cannot_be_read_are_named(outline, says):
    with pytest.raises(UserError, match=says):
        decode_outline(outline, (4, 4))


def test_coco_json_by_hand():
    pixels = np.zeros((4, 5), bool)
    pixels[1:3, 2:5] = True
    empty = np.zeros((2, 2), bool)
    items = [("a.jpg", Mask(pixels, "mass")), ("b.jpg", Mask(empty, "mass"))]
    document = json.loads(coco_json(items))
    assert [image["file_name"] for image in document["images"]] == ["a.jpg", "b.jpg"]
    (annotation,) = document["annotations"]
    assert annotation["bbox"] == [2, 1, 3, 2]
    assert annotation["area"] == 6
    assert annotation["segmentation"] == {"size": [4, 5], "counts": [9, 2, 2, 2, 2, 2, 1]}
    assert annotation["image_id"] == document["images"][0]["id"]
