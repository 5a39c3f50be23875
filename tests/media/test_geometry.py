"""Grid ↔ photo: hand-computed places, and invariants over many photos, sizes and patches.

pytest tests/media/test_geometry.py
"""

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dino.errors import UserError
from dino.media.geometry import Geometry

# 60x80 photo, resized to 30x40, of which the model sees 24x40 from the top: 3 rows and 5 columns
# of 8 px, each 16 px in the photo; the lowest 12 rows of the photo are outside.
CROPPED = Geometry((60, 80), (30, 40), (0, 0, 24, 40), 8)
# 100x200 photo, resized to 32x64 and centred on 64x64: two rows of padding, two of photo... of 16.
PADDED = Geometry((100, 200), (32, 64), (-16, 0, 64, 64), 16)


@st.composite
def geometries(draw, large=False) -> Geometry:
    """What preprocess gives and more: any aspect, crops anywhere, padding on any side."""
    patch = draw(st.integers(1, 16))
    grid = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    crop = grid[0] * patch, grid[1] * patch
    resized = tuple(draw(st.integers(1, 2 * side + 3)) for side in crop)
    start = tuple(
        draw(st.integers(min(0, whole - side), max(0, whole - side)))
        for whole, side in zip(resized, crop, strict=True)
    )
    low = 300 if large else 1
    original = draw(st.tuples(st.integers(low, 400), st.integers(low, 400)))
    return Geometry(original, resized, (*start, *crop), patch)


def pixel_index(geometry: Geometry) -> np.ndarray:
    """For each photo pixel the number of its patch, by patch_at."""
    height, width = geometry.original
    columns = geometry.grid[1]
    rows = [geometry.patch_at(y, 0)[0] for y in range(height)]
    cols = [geometry.patch_at(0, x)[1] for x in range(width)]
    return np.array(rows)[:, None] * columns + np.array(cols)


def numbers(geometry: Geometry) -> np.ndarray:
    return np.arange(math.prod(geometry.grid)).reshape(geometry.grid)


# By hand ---------------------------------------------------------------------------------------


def test_grid_is_the_crop_in_patches():
    assert CROPPED.grid == (3, 5)
    assert PADDED.grid == (4, 4)


def test_photo_boxes_of_a_crop():
    assert CROPPED.photo_box(0, 0) == (0, 0, 16, 16)
    assert CROPPED.photo_box(2, 4) == (32, 64, 48, 80)


def test_photo_boxes_of_padding_are_clipped_and_empty_outside():
    assert PADDED.photo_box(1, 0) == (0, 0, 50, 50)
    assert PADDED.photo_box(2, 3) == (50, 150, 100, 200)
    top, _, bottom, _ = PADDED.photo_box(0, 0)
    assert top == bottom == 0
    top, _, bottom, _ = PADDED.photo_box(3, 0)
    assert top == bottom == 100


@pytest.mark.parametrize("patch", [(-1, 0), (0, -1), (3, 0), (0, 5)])
def test_a_patch_outside_the_grid_has_no_box(patch):
    with pytest.raises(UserError, match=r"expected a row below 3 and a column below 5"):
        CROPPED.photo_box(*patch)


def test_patch_at_knows_pixels_and_points():
    assert CROPPED.patch_at(15, 16) == (0, 1)
    assert CROPPED.patch_at(15.999, 15.999) == (0, 0)
    assert CROPPED.patch_at(16.0, 31.5) == (1, 1)
    assert CROPPED.patch_at(np.int64(47), np.float32(79.5)) == (2, 4)
    # 3 px of photo on one patch each 1.5 px wide: the middle pixel's centre is on the border.
    tiny = Geometry((1, 3), (8, 16), (0, 0, 8, 16), 8)
    assert [tiny.patch_at(0, x)[1] for x in (0, 1, 2)] == [0, 1, 1]
    assert [tiny.patch_at(0, x)[1] for x in (0.0, 1.0, 1.49, 1.5, 2.0)] == [0, 0, 0, 1, 1]


def test_patch_at_takes_the_nearest_patch_outside():
    assert CROPPED.patch_at(59, 0) == (2, 0)
    assert CROPPED.patch_at(-5, 400.0) == (0, 4)
    assert PADDED.patch_at(0, 0) == (1, 0)
    assert PADDED.patch_at(99, 199) == (2, 3)


@pytest.mark.parametrize("place", [math.nan, math.inf, -math.inf])
def test_patch_at_refuses_what_is_not_a_place(place):
    with pytest.raises(UserError, match="as a place"):
        CROPPED.patch_at(place, 0)
    with pytest.raises(UserError, match="as a place"):
        CROPPED.patch_at(0, place)


def test_nearest_fills_the_boxes_and_beyond():
    photo = CROPPED.to_photo(numbers(CROPPED))
    assert photo.shape == (60, 80)
    assert (photo[32:60, 64:80] == 14).all()
    assert (photo[:16, :16] == 0).all()
    assert (photo[16:32, 16:32] == 6).all()


def test_bilinear_is_linear_between_patch_centres_and_flat_beyond():
    one_row = Geometry((1, 40), (8, 16), (0, 0, 8, 16), 8)  # patch centres at x = 10 and x = 30
    photo = one_row.to_photo([[0.0, 1.0]], interpolation="bilinear")[0]
    expected = np.clip((np.arange(40) + 0.5 - 10) / 20, 0, 1)
    assert np.abs(photo - expected).max() < 1e-6


def test_bilinear_on_padding_and_crop_reads_the_right_rows():
    rows = np.repeat(np.arange(4.0)[:, None], 4, axis=1)
    photo = PADDED.to_photo(rows, interpolation="bilinear")
    # Photo rows 0 to 100 are rows 16 to 48 of the canvas; the patch centres are at 8, 24, 40, 56.
    places = ((np.arange(100) + 0.5) * 0.32 + 16) / 16 - 0.5
    assert np.abs(photo - places[:, None]).max() < 1e-6


def test_to_grid_is_the_mean_of_the_pixels_of_each_patch():
    mask = np.zeros((60, 80), bool)
    mask[:8, :16] = True  # half of patch (0, 0)
    mask[16:32, 16:20] = True  # a quarter of patch (1, 1)
    mask[48:] = True  # outside of the crop: counts nowhere
    expected = np.zeros((3, 5))
    expected[0, 0], expected[1, 1] = 0.5, 0.25
    assert np.array_equal(CROPPED.to_grid(mask), expected)


def test_to_grid_is_zero_in_padding_and_one_where_all_is_masked():
    assert PADDED.to_grid(np.ones((100, 200), bool))[:, 0].tolist() == [0, 1, 1, 0]


def test_patches_smaller_than_a_pixel_take_the_pixel_they_lie_in():
    fine = Geometry((2, 2), (64, 64), (0, 0, 64, 64), 8)
    mask = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert np.array_equal(fine.to_grid(mask), np.kron(mask, np.ones((4, 4))))


def test_every_dtype_comes_through():
    for dtype in (bool, np.uint8, np.int64, np.float16, np.float32, np.float64):
        values = (numbers(CROPPED) % 2).astype(dtype)
        assert CROPPED.to_photo(values).dtype == dtype
        smooth = CROPPED.to_photo(values, interpolation="bilinear")
        assert smooth.dtype == (bool if dtype is bool else np.result_type(dtype, np.float32))
    mask = CROPPED.to_photo(numbers(CROPPED) > 7, interpolation="bilinear")
    assert 0 < mask.mean() < 1
    assert CROPPED.to_grid(np.ones((60, 80), np.uint8)).dtype == np.float64


def test_leading_axes_are_kept():
    stack = np.random.default_rng(0).random((2, 1, 6, 3, 5))
    for interpolation in ("nearest", "bilinear"):
        photo = CROPPED.to_photo(stack, interpolation=interpolation)
        assert photo.shape == (2, 1, 6, 60, 80)
        alone = CROPPED.to_photo(stack[1, 0, 4], interpolation=interpolation)
        assert np.array_equal(photo[1, 0, 4], alone)
    assert CROPPED.to_photo(np.zeros((0, 3, 5))).shape == (0, 60, 80)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: CROPPED.to_photo(np.zeros((5, 3))), r"shape \(5, 3\), expected \[\.\.\., 3, 5\]"),
        (lambda: CROPPED.to_photo(np.zeros(15)), r"shape \(15,\)"),
        (lambda: CROPPED.to_photo(np.zeros((3, 5)), interpolation="cubic"), "'cubic', expected"),
        (lambda: CROPPED.to_grid(np.zeros((80, 60))), r"shape \(80, 60\), expected .* \(60, 80\)"),
        (lambda: CROPPED.to_grid(np.zeros((1, 60, 80))), r"shape \(1, 60, 80\)"),
        (lambda: Geometry((60, 80), (30, 40), (0, 0, 24, 39), 8), "multiples of the patch size 8"),
        (lambda: Geometry((60, 80), (30, 40), (0, 0, 0, 40), 8), "at least 1 px"),
        (lambda: Geometry((0, 80), (30, 40), (0, 0, 24, 40), 8), "at least 1 px"),
        (lambda: Geometry((60, 80), (30, 40), (0, 0, 24, 40), 0), "at least 1 px"),
        (lambda: Geometry((60, 80, 3), (30, 40), (0, 24, 40), 8), "expected"),
    ],
)
def test_wrong_arguments_are_user_errors(call, says):
    with pytest.raises(UserError, match=says) as caught:
        call()
    assert str(caught.value).startswith("got ")


def test_geometry_is_frozen_and_compares_by_value():
    assert Geometry((60, 80), (30, 40), (0, 0, 24, 40), 8) == CROPPED
    assert len({CROPPED, PADDED, Geometry((60, 80), (30, 40), (0, 0, 24, 40), 8)}) == 2
    with pytest.raises(FrozenInstanceError):
        CROPPED.patch_size = 4


# Invariants ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(geometries(), st.data())
def test_the_centre_of_a_patch_lies_in_that_patch(geometry, data):
    row = data.draw(st.integers(0, geometry.grid[0] - 1))
    col = data.draw(st.integers(0, geometry.grid[1] - 1))
    top, left, bottom, right = geometry.photo_box(row, col)
    assert 0 <= top <= bottom <= geometry.original[0]
    assert 0 <= left <= right <= geometry.original[1]
    assume(bottom > top and right > left)
    assert geometry.patch_at((top + bottom) / 2, (left + right) / 2) == (row, col)


@settings(deadline=None, max_examples=200)
@given(geometries())
def test_boxes_tile_the_photo_inside_the_crop(geometry):
    h, w = geometry.grid
    for row in range(1, h):
        assert geometry.photo_box(row, 0)[0] == geometry.photo_box(row - 1, 0)[2]
    for col in range(1, w):
        assert geometry.photo_box(0, col)[1] == geometry.photo_box(0, col - 1)[3]


@settings(deadline=None, max_examples=150)
@given(geometries())
def test_nearest_is_patch_at_at_every_pixel(geometry):
    assert np.array_equal(geometry.to_photo(numbers(geometry)), pixel_index(geometry))


@settings(deadline=None, max_examples=150)
@given(geometries())
def test_a_pixel_has_its_centre_in_the_box_of_its_patch(geometry):
    for y in range(geometry.original[0]):
        top, _, bottom, _ = geometry.photo_box(geometry.patch_at(y, 0)[0], 0)
        place = ((y + 0.5) * geometry.resized[0] / geometry.original[0]) - geometry.crop[0]
        if 0 <= place < geometry.crop[2]:
            assert top - 1e-9 <= y + 0.5 <= bottom + 1e-9


@settings(deadline=None, max_examples=100)
@given(geometries(large=True), st.integers(0, 2**32 - 1))
def test_to_grid_gives_back_what_to_photo_spread(geometry, seed):
    """Photos of 300 px and more on at most 12 patches: each patch in the photo holds a pixel."""
    values = np.random.default_rng(seed).random(geometry.grid)
    back = geometry.to_grid(geometry.to_photo(values))
    index = geometry.to_photo(numbers(geometry))
    h, w = geometry.grid
    boxes = np.array([[geometry.photo_box(r, c) for c in range(w)] for r in range(h)])
    # A pixel of room on each side: no patch that the photo's edge cuts down to a sliver.
    seen = (boxes[..., 2] - boxes[..., 0] > 1) & (boxes[..., 3] - boxes[..., 1] > 1)
    assume(seen.any())
    assert set(numbers(geometry)[seen]) <= set(index.ravel())
    assert np.abs(back - values)[seen].max() < 1e-12
    empty = (boxes[..., 2] == boxes[..., 0]) | (boxes[..., 3] == boxes[..., 1])
    assert not back[empty].any()
    bits = values > 0.5
    assert np.array_equal(geometry.to_grid(geometry.to_photo(bits))[seen], bits[seen])


@settings(deadline=None, max_examples=100)
@given(geometries(), st.integers(0, 2**32 - 1))
def test_to_grid_is_the_mean_over_the_index_map(geometry, seed):
    """The slow, plain way: for every patch the mean of the pixels inside the crop that are its."""
    mask = np.random.default_rng(seed).random(geometry.original)
    index = pixel_index(geometry)
    inside = np.ones(geometry.original, bool)
    for axis in (0, 1):
        place = (np.arange(geometry.original[axis]) * 2 + 1) * geometry.resized[axis]
        place = place - 2 * geometry.original[axis] * geometry.crop[axis]
        good = (place >= 0) & (place < 2 * geometry.original[axis] * geometry.crop[axis + 2])
        inside &= good[:, None] if axis == 0 else good
    grid = geometry.to_grid(mask).ravel()
    for patch in range(grid.size):
        pixels = mask[(index == patch) & inside]
        if pixels.size:
            assert abs(grid[patch] - pixels.mean()) < 1e-9


@settings(deadline=None, max_examples=150)
@given(geometries(), st.integers(0, 2**32 - 1))
def test_bilinear_agrees_with_interpolating_each_pixel(geometry, seed):
    values = np.random.default_rng(seed).random(geometry.grid)
    photo = geometry.to_photo(values, interpolation="bilinear")
    taps = []
    for axis in (0, 1):
        size, resized = geometry.original[axis], geometry.resized[axis]
        place = (
            (np.arange(size) + 0.5) * resized / size - geometry.crop[axis]
        ) / geometry.patch_size
        centres = np.arange(geometry.grid[axis]) + 0.5
        taps.append(
            np.stack([np.interp(place, centres, row) for row in np.eye(len(centres))], axis=-1)
        )
    assert np.abs(photo - taps[0] @ values @ taps[1].T).max() < 1e-9
    assert values.min() - 1e-12 <= photo.min()
    assert photo.max() <= values.max() + 1e-12


@settings(deadline=None, max_examples=60)
@given(geometries())
def test_a_constant_stays_constant(geometry):
    for interpolation in ("nearest", "bilinear"):
        photo = geometry.to_photo(np.full(geometry.grid, 0.3), interpolation=interpolation)
        assert (photo == 0.3).all()


@pytest.mark.parametrize("original", [(1, 5000), (5000, 1), (1, 4_000_000), (1, 1)])
def test_extreme_aspects(original):
    geometry = Geometry(original, (16, 224), (0, 0, 16, 224), 16)
    photo = geometry.to_photo(numbers(geometry))
    assert photo.shape == original
    if original[1] >= 5000:
        counts = np.bincount(photo.ravel())
        assert counts.size == 14
        assert counts.max() - counts.min() <= 1
    back = geometry.to_grid(photo)
    for patch in range(14):  # narrower than patches: each patch reads a pixel it overlaps
        top, left, bottom, right = geometry.photo_box(0, patch)
        low, high = int(left), math.ceil(right)
        assert photo[int(top) : math.ceil(bottom), low:high].min() <= back[0, patch]
        assert back[0, patch] <= photo[int(top) : math.ceil(bottom), low:high].max()


def test_six_heads_come_back_from_twelve_megapixels():
    geometry = Geometry((3000, 4000), (480, 480), (0, 0, 480, 480), 16)
    heads = np.random.default_rng(0).random((6, 30, 30), np.float32)
    nearest = geometry.to_photo(heads)
    smooth = geometry.to_photo(heads, interpolation="bilinear")
    grid = geometry.to_grid(nearest[0] > 0.5)
    assert nearest.shape == smooth.shape == (6, 3000, 4000)
    assert np.array_equal(grid, heads[0] > 0.5)
