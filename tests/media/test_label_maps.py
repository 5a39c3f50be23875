"""Label maps: the official palette, files that come back, and overlays pixel by pixel."""

import io

import numpy as np
import pytest
from PIL import Image

from dino.errors import UserError
from dino.media.label_maps import (
    indexed_png,
    label_overlay,
    palette,
    read_label_map,
    resized_labels,
)
from dino.media.palettes import OBJECT_COLORS


def test_the_palette_is_voc_s_and_davis_s():
    """The first colours as VOC's development kit lists them, and the last ones."""
    colors = palette()
    assert colors.shape == (256, 3)
    assert colors[:9].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128],
        [0, 128, 128], [128, 128, 128], [64, 0, 0],
    ]  # fmt: skip
    assert colors[20].tolist() == [0, 64, 128]
    assert colors[255].tolist() == [224, 224, 192]
    assert len({tuple(color) for color in colors.tolist()}) == 256


def test_a_file_keeps_indices_and_colours(tmp_path):
    labels = np.random.default_rng(0).integers(0, 256, (7, 9), dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(indexed_png(labels))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.array(picture), labels)
        np.testing.assert_array_equal(np.array(picture.convert("RGB")), palette()[labels])
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.png"), labels)


def test_grey_and_black_and_white_masks_are_read(tmp_path):
    mask = np.zeros((4, 6), dtype=np.uint8)
    mask[1:3] = 255
    Image.fromarray(mask).save(tmp_path / "grey.png")
    Image.fromarray(mask > 0).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "grey.png"), mask)
    np.testing.assert_array_equal(read_label_map(tmp_path / "bits.png"), mask > 0)


def test_what_is_no_label_map_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(indexed_png(np.zeros((50, 50), np.uint8))[:60])
    Image.new("RGB", (4, 4)).save(tmp_path / "colours.png")
    for name, says in (
        ("broken", "not a readable mask"),
        ("none", "not a readable mask"),
        ("colours", "mode RGB; expected a mask of indices"),
    ):
        with pytest.raises(UserError, match=rf"{name}\.png.*{says}"):
            read_label_map(tmp_path / f"{name}.png")


def test_another_size_takes_the_label_under_each_centre():
    labels = np.array([[1, 2, 3, 4]], dtype=np.uint8)
    assert resized_labels(labels, (2, 2)).tolist() == [[2, 4], [2, 4]]
    assert resized_labels(labels, (1, 8)).tolist() == [[1, 1, 2, 2, 3, 3, 4, 4]]
    assert resized_labels(labels, (1, 4)).tolist() == labels.tolist()


def test_an_overlay_tints_outlines_and_dims():
    photo = np.full((60, 90, 3), 100, dtype=np.uint8)
    labels = np.zeros((60, 90), dtype=np.uint8)
    labels[10:30, 10:30], labels[10:30, 50:70] = 1, 2
    picture = label_overlay(photo, labels)
    assert picture[50, 45].tolist() == [75, 75, 75]
    for label, column in ((1, 20), (2, 60)):
        color = np.array(OBJECT_COLORS[label - 1])
        expected = 0.55 * 100 + 0.45 * color.astype(float)
        assert np.abs(picture[20, column] - expected).max() <= 1
        assert np.abs(picture[10, column].astype(int) - color).max() <= 16  # a smoothed line
    assert (photo == 100).all()
    np.testing.assert_array_equal(
        label_overlay(photo, labels + np.uint8(len(OBJECT_COLORS)) * (labels > 0)), picture
    )  # colours begin anew


def test_a_frame_without_labels_is_only_dimmed():
    photo = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture = label_overlay(photo, np.zeros((8, 8), np.uint8))
    assert np.abs(picture - 0.75 * photo).max() <= 0.5


def test_png_bytes_are_a_png():
    assert Image.open(io.BytesIO(indexed_png(np.zeros((2, 3), np.uint8)))).size == (3, 2)


def test_a_mask_that_would_start_a_program_or_fill_the_memory_is_refused(tmp_path):
    """Pillow hands PostScript to Ghostscript, and decodes whatever size it is asked to."""
    from helpers.image_cases import EPS, png_bomb

    (tmp_path / "mask.png").write_bytes(EPS)
    with pytest.raises(UserError, match=r"mask\.png is not a readable mask"):
        read_label_map(tmp_path / "mask.png")
    (tmp_path / "mask.png").write_bytes(png_bomb(9000))
    with pytest.raises(UserError, match="81,000,000 px, and the limit is 40,000,000"):
        read_label_map(tmp_path / "mask.png")
