"""Features at the photo's pixels: of one grid what there was, of moved grids what each sees."""

import numpy as np
import pytest
import torch
from helpers.backbone_cases import small_vit, wrapped

import dino
from dino.attention import photo
from dino.errors import UserError
from dino.features.files import pca_picture
from dino.features.pixels import fine_features, paint_pixels
from dino.media.upsampling import to_pixels


@pytest.fixture(scope="module")
def backbone():
    return wrapped(small_vit())


@pytest.fixture(scope="module")
def rgb():
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def test_one_grid_by_patches_is_the_picture_there_was(backbone, rgb):
    features = photo.features(backbone, rgb, size=64)
    picture = dino.pca_map(backbone, rgb, size=64, upsample="nearest")
    np.testing.assert_array_equal(picture, pca_picture(features))


def test_each_moved_grid_has_the_tokens_of_the_image_seen_from_there(backbone, rgb):
    image, _ = dino.preprocess(rgb, size=64, patch_size=8, mean=backbone.mean, std=backbone.std)
    fine = fine_features(backbone, rgb, size=64, shifts=2)
    assert fine.geometry.grid == (12, 16)
    cells = fine.patches.reshape(12, 16, -1)
    wide = torch.nn.functional.pad(image, (2, 2, 2, 2), mode="replicate")
    for row in (0, 1):
        for column in (0, 1):
            seen = wide[..., 4 * row : 4 * row + 48, 4 * column : 4 * column + 64]
            expected = backbone.tokens(seen).patches[0].reshape(6, 8, -1)
            np.testing.assert_allclose(cells[row::2, column::2], expected, atol=1e-5)


def test_colours_are_brought_to_pixels_channel_by_channel(backbone, rgb):
    features = fine_features(backbone, rgb, size=64, shifts=2)
    colours = dino.pca_rgb(features.patches, features.geometry.grid)
    picture = paint_pixels(features, rgb, upsample="guided")
    assert picture.dtype == np.uint8
    for channel in range(3):
        plane = to_pixels(colours[..., channel].astype(np.float32), features.geometry, rgb)
        np.testing.assert_array_equal(picture[..., channel], np.rint(plane))


def test_settings_out_of_range_are_one_sentence(backbone, rgb):
    with pytest.raises(UserError, match="expected a whole number from 1 to 4"):
        dino.pca_map(backbone, rgb, size=64, shifts=5)
    with pytest.raises(UserError, match="expected one of guided, bicubic, nearest"):
        dino.pca_map(backbone, rgb, size=64, upsample="cubic")
