"""From a grid of patches to pixels: hand-computed interpolation, and a filter that follows edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dino.errors import UserError
from dino.media.geometry import Geometry
from dino.media.upsampling import Guide, to_pixels


def plain(height, width, patch=8):
    size = height * patch, width * patch
    return Geometry(original=size, resized=size, crop=(0, 0, *size), patch_size=patch)


def test_bicubic_passes_through_the_patches_middles_and_keeps_straight_lines():
    # Patches of 3 px: the middle pixel's centre is the patch's.
    geometry = plain(5, 7, patch=3)
    values = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    pixels = geometry.to_photo(values, interpolation="bicubic")
    np.testing.assert_allclose(pixels[1::3, 1::3], values, atol=1e-6)
    ramp = np.tile(np.arange(7, dtype=np.float32), (5, 1))
    inner = geometry.to_photo(ramp, interpolation="bicubic")[0, 4:-4]
    np.testing.assert_allclose(np.diff(inner), 1 / 3, atol=1e-5)


def test_bicubic_between_two_patches_is_keys_cubic():
    # Halfway between patches 1 and 2 of (0, 0, 1, 0, 0): 9/16 · 1 − 1/16 · 0; between 2 and 3 the same.
    geometry = plain(1, 5, patch=2)
    values = np.array([[0, 0, 1, 0, 0]], np.float32)
    # px 3 and 4 lie a quarter patch to either side of patch 1's end
    near = (1.5 * 0.25 - 2.5) * 0.25**2 + 1
    far = (1.5 * 0.75 - 2.5) * 0.75**2 + 1
    row = geometry.to_photo(values, interpolation="bicubic")[0]
    np.testing.assert_allclose(row[3:7], [far, near, near, far], atol=1e-6)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(0, 1000))
def test_every_way_stays_within_the_range_of_its_map(height, width, patch, seed):
    geometry = plain(height, width, patch)
    generator = np.random.default_rng(seed)
    maps = generator.random((2, height, width), np.float32) * [[[1]], [[100]]]
    rgb = generator.integers(0, 256, (*geometry.original, 3), np.uint8)
    for how in ("nearest", "bicubic", "guided"):
        pixels = to_pixels(maps, geometry, rgb, how=how)
        assert pixels.shape == (2, *geometry.original)
        assert pixels.dtype == np.float32
        assert (pixels.min(axis=(1, 2)) >= maps.min(axis=(1, 2)) - 1e-5).all()
        assert (pixels.max(axis=(1, 2)) <= maps.max(axis=(1, 2)) + 1e-3).all()


def test_the_guided_map_follows_an_edge_that_cuts_through_patches():
    # A disc in other colours; the map knows of it by patches of 8 px only.
    rows, columns = np.mgrid[:64, :64] + 0.5
    disc = np.hypot(rows - 32, columns - 32) < 20
    rgb = np.where(disc[..., None], (200, 120, 40), (30, 60, 90)).astype(np.uint8)
    geometry = plain(8, 8)
    patches = geometry.to_grid(disc).astype(np.float32)

    def wrong(how):
        return int(((to_pixels(patches, geometry, rgb, how=how) > 0.5) != disc).sum())

    assert wrong("nearest") > 150
    assert wrong("bicubic") > 40
    assert wrong("guided") == 0


def test_on_a_photo_without_edges_the_filter_smooths_and_keeps_the_mean():
    rgb = np.full((64, 96, 3), 127, np.uint8)
    geometry = plain(8, 12)
    flat = np.full((8, 12), 0.25, np.float32)
    np.testing.assert_allclose(to_pixels(flat, geometry, rgb), 0.25, atol=1e-5)
    values = np.random.default_rng(1).random((8, 12)).astype(np.float32)
    smooth = to_pixels(values, geometry, rgb)
    assert abs(smooth.mean() - values.mean()) < 0.02
    assert smooth.std() < geometry.to_photo(values).std()


def test_the_filter_equals_its_definition_in_one_window():
    # He et al. 2013, equations 14 and 15, of the window around one pixel, by plain linear algebra.
    generator = np.random.default_rng(2)
    rgb = generator.integers(0, 256, (40, 40, 3), np.uint8)
    values = generator.random((40, 40), np.float32)
    guide = Guide.of(rgb)
    assert guide.radius == 2  # 0.06 · 40

    def coefficients(y, x):
        window = (slice(y - 2, y + 3), slice(x - 2, x + 3))
        colours = (rgb[window] / 255).reshape(-1, 3)
        covariance = np.cov(colours.T, bias=True) + 1e-3 * np.eye(3)
        products = (colours * values[window].reshape(-1, 1)).mean(axis=0)
        slope = np.linalg.solve(covariance, products - colours.mean(axis=0) * values[window].mean())
        return [*slope, values[window].mean() - slope @ colours.mean(axis=0)]

    line = np.mean(
        [coefficients(20 + dy, 20 + dx) for dy in range(-2, 3) for dx in range(-2, 3)], axis=0
    )
    expected = line[:3] @ (rgb[20, 20] / 255) + line[3]
    np.testing.assert_allclose(guide.filter(values)[20, 20], expected, rtol=1e-4)


def test_a_large_photo_is_filtered_at_its_own_pixels_by_coefficients_of_a_small_one():
    rows, columns = np.mgrid[:1500, :2048] + 0.5
    disc = np.hypot(rows - 750, columns - 1024) < 500
    rgb = np.where(disc[..., None], (200, 120, 40), (30, 60, 90)).astype(np.uint8)
    geometry = Geometry((1500, 2048), (240, 320), (0, 0, 240, 320), 16)
    pixels = to_pixels(geometry.to_grid(disc).astype(np.float32), geometry, rgb)
    assert ((pixels > 0.5) != disc).mean() < 0.001


def test_wrong_use_is_one_sentence():
    geometry, rgb = plain(2, 2), np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(UserError, match="expected one of guided, bicubic, nearest"):
        to_pixels(np.zeros((2, 2), np.float32), geometry, rgb, how="lanczos")
    with pytest.raises(UserError, match="pass the photo the maps are of"):
        to_pixels(np.zeros((2, 2), np.float32), geometry, rgb[:8])


def test_a_finer_geometry_lies_over_the_same_photo():
    geometry = Geometry((100, 151), (48, 72), (-8, 0, 64, 64), 16)
    fine = geometry.finer(3)
    assert fine.grid == (12, 12)
    for row, column in ((0, 0), (1, 2), (3, 3)):
        top, left, bottom, right = geometry.photo_box(row, column)
        first = fine.photo_box(3 * row, 3 * column)
        last = fine.photo_box(3 * row + 2, 3 * column + 2)
        np.testing.assert_allclose((*first[:2], *last[2:]), (top, left, bottom, right))
