"""Pictures are what their values say."""

import io

import numpy as np
import pytest
from PIL import Image

from dino.errors import UserError
from dino.media import draw
from dino.media.geometry import Geometry

SQUARE = Geometry(original=(40, 60), resized=(40, 60), crop=(0, 0, 40, 60), patch_size=20)


def test_nearest_heat_has_one_colour_a_patch():
    values = np.array([[0.0, 0.5, 1.0], [1.0, 0.25, 0.0]])
    picture = draw.heat(values, SQUARE)
    assert picture.shape == (40, 60, 3)
    for (row, column), value in np.ndenumerate(values):
        patch = picture[row * 20 : row * 20 + 20, column * 20 : column * 20 + 20]
        colour = draw.colorize(np.array([[value]]))[0, 0]
        assert (patch == colour).all()


def test_a_smaller_picture_keeps_the_patches_in_place():
    values = np.array([[0.0, 0.5, 1.0], [1.0, 0.25, 0.0]])
    small = draw.heat(values, SQUARE, width=30)
    np.testing.assert_array_equal(small, draw.heat(values, SQUARE)[1::2, 1::2])
    assert draw.heat(values, SQUARE, width=600).shape == (40, 60, 3)  # never enlarged


def test_smooth_heat_blends_values_so_that_the_bar_holds_between_patches():
    wide = Geometry(original=(20, 400), resized=(2, 40), crop=(0, 0, 2, 40), patch_size=2)
    values = np.linspace(0, 1, 20)[None]
    picture = draw.heat(values, wide, interpolation="bilinear")
    middle = draw.colorize(np.array([[0.5]]))[0, 0].astype(int)
    assert np.abs(picture[10, 200].astype(int) - middle).max() <= 3
    two = Geometry(original=(20, 400), resized=(2, 4), crop=(0, 0, 2, 4), patch_size=2)
    halfway = draw.heat(np.array([[0.0, 1.0]]), two, interpolation="bilinear")[10, 200].astype(int)
    assert np.abs(halfway - middle).max() <= 3


@pytest.mark.parametrize("name", list(draw.COLORMAPS))
def test_colour_maps_grow_steadily_in_luminance(name):
    colours = draw.colorize(np.linspace(0, 1, 256)[None], name)[0].astype(float)
    luminance = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > -1.0).all()
    assert luminance[-1] - luminance[0] > 120


def test_an_unknown_colour_map_is_refused():
    with pytest.raises(UserError, match="viridis"):
        draw.colorize(np.zeros((1, 1)), "jet")


def test_constant_maps_do_not_divide_by_zero():
    scaled, ranges = draw.normalize(np.full((2, 3, 3), 0.25))
    assert (scaled == 0).all()
    assert ranges == [(0.25, 0.25)] * 2


def test_overlay_blends():
    photo, colours = np.full((2, 2, 3), 100, np.uint8), np.full((2, 2, 3), 200, np.uint8)
    for opacity, expected in ((0, 100), (0.5, 150), (1, 200)):
        assert (draw.overlay(photo, colours, opacity) == expected).all()


def test_an_overlay_of_objects_tints_inside_and_darkens_outside():
    photo, mask = np.full((4, 4, 3), 100, np.uint8), np.zeros((4, 4), bool)
    mask[0, 0] = True
    drawn = draw.objects_overlay(photo, mask[None])
    assert drawn[0, 0, 0] > 100 > drawn[3, 3, 0]


def test_png_keeps_a_mask_as_0_and_255():
    mask = np.array([[True, False]])
    assert np.asarray(Image.open(io.BytesIO(draw.encode_png(mask)))).tolist() == [[255, 0]]


def test_a_sheet_holds_every_tile():
    tiles = [(f"tile {i}", np.full((30, 40, 3), 40 * i, np.uint8)) for i in range(5)]
    page = draw.sheet(tiles, columns=2, tile_px=40)
    for index in range(5):
        assert (page == 40 * index).all(axis=-1).sum() >= 30 * 40 or index in (0, 5)


def test_png_keeps_every_pixel_of_colours_and_transparency():
    rng = np.random.default_rng(0)
    for channels in (3, 4):
        picture = rng.integers(0, 256, (31, 17, channels), np.uint8)
        for view in (picture, picture[:, ::-1], picture[::2, 1:]):
            read = np.asarray(Image.open(io.BytesIO(draw.encode_png(view))))
            np.testing.assert_array_equal(read, view)
