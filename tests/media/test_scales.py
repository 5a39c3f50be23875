"""What a map's colours run up to, and how its values reach the photo's pixels: by hand."""

import numpy as np
import pytest

from dino.errors import UserError
from dino.media import draw
from dino.media.preprocessing import preprocess
from dino.media.upsampling import Guide, to_pixels


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def geometry(photo):
    return preprocess(photo, size=64, patch_size=8)[1]


def test_a_robust_scale_ends_at_the_98_5th_percentile():
    values = np.arange(201, dtype=np.float64).reshape(1, 3, 67)  # the n-th of 200 steps is n
    scaled, ranges = draw.normalize(values, scale="robust")
    assert ranges == [(0.0, pytest.approx(197.0))]  # 0.985 · 200
    np.testing.assert_allclose(scaled.ravel(), np.arange(201) / 197)


def test_the_percentile_lies_between_two_patches_on_a_straight_line():
    values = np.array([[[1.0, 2.0, 3.0, 5.0, 10.0]]])
    (limits,) = draw.normalize(values, scale="robust")[1]
    assert limits == (1.0, pytest.approx(5 + 0.94 * 5))  # 0.985 · 4 = 3.94


def test_a_map_of_few_patches_that_stand_out_keeps_its_full_range():
    values = np.zeros((1, 20, 20), np.float32)
    values[0, 3, 4] = 2
    scaled, ranges = draw.normalize(values, scale="robust")
    assert ranges == [(0.0, 2.0)]
    assert scaled[0, 3, 4] == 1


def test_the_robust_scale_of_all_maps_is_one():
    values = np.stack([np.arange(100.0), 100 + np.arange(101.0)[:100]]).reshape(2, 10, 10)
    _, ranges = draw.normalize(values, shared=True, scale="robust")
    assert ranges == [(0.0, pytest.approx(0.985 * 199))] * 2


def test_one_patch_above_the_others_no_longer_darkens_a_map():
    rng = np.random.default_rng(0)
    values = rng.random((1, 30, 30)) ** 2
    values[0, 4, 4] = 40
    full, robust = (draw.normalize(values, scale=scale)[0] for scale in draw.SCALES[::-1])
    assert (full > 0.5).mean() < 0.002
    assert (robust > 0.5).mean() > 0.25


def test_an_unknown_scale_is_refused():
    with pytest.raises(UserError, match="expected one of robust, full"):
        draw.normalize(np.zeros((1, 2, 2)), scale="percentile")


def test_smooth_maps_are_coloured_after_they_are_interpolated(photo, geometry):
    values = np.random.default_rng(1).random(geometry.grid).astype(np.float32)
    pixels = geometry.to_photo(values, interpolation="bicubic")
    picture = draw.heat(values, geometry, interpolation="bicubic")
    np.testing.assert_array_equal(picture, draw.colorize(pixels))
    guide = Guide.of(photo)
    pixels = to_pixels(values, geometry, photo)
    picture = draw.heat(values, geometry, interpolation="guided", guide=guide)
    np.testing.assert_array_equal(picture, draw.colorize(pixels))


def test_guided_maps_need_their_photo(geometry):
    with pytest.raises(UserError, match="pass the Guide of it"):
        draw.heat(np.zeros(geometry.grid), geometry, interpolation="guided")


def test_greys_are_luma():
    photo = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 90, 90]]], np.uint8)
    assert draw.grey(photo)[0].tolist() == [[76] * 3, [150] * 3, [29] * 3, [90] * 3]
