"""Reference masks of every kind of file, and scores against counting pixels."""

import io
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dino.errors import ImageError, UserError
from dino.masks.reference import read_reference, score_heads
from dino.media.label_maps import read_brightest, read_label_map
from dino.media.preprocessing import preprocess
from dino.media.regions import jaccard

OBJECT = np.zeros((30, 40), bool)
OBJECT[5:20, 8:31] = True


def saved(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    one, full = OBJECT.astype(np.uint8), OBJECT.astype(np.uint8) * 255
    palette = Image.fromarray(one)
    palette.putpalette([0, 0, 0] * 256)  # both black to look at
    white = np.full((*OBJECT.shape, 3), 255, np.uint8)
    black = np.zeros_like(white)
    return {
        "grey 0/1": saved(Image.fromarray(one)),
        "grey 0/255": saved(Image.fromarray(full)),
        "one bit": saved(Image.fromarray(full).convert("1")),
        "16 bits of 0/1": saved(Image.fromarray(one.astype(np.uint16))),
        "palette": saved(palette),
        "blue only": saved(Image.fromarray(np.dstack([one * 0, one * 0, one]))),
        "cut-out with black in it": saved(Image.fromarray(np.dstack([black, full]))),
        "opaque RGBA": saved(Image.fromarray(np.dstack([white * one[..., None], full * 0 + 255]))),
        "grey and alpha": saved(Image.fromarray(np.dstack([full * 0, full]), "LA")),
        "bmp": saved(Image.fromarray(full), "BMP"),
        "tiff": saved(Image.fromarray(full), "TIFF"),
    }


def test_masks_of_a_folder_and_masks_uploaded_are_read_alike(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned a quarter clockwise
    stored = np.rot90(OBJECT.astype(np.uint8) * 255)
    data = saved(Image.fromarray(np.ascontiguousarray(stored)), exif=turned)
    path = tmp_path / "mask.png"
    path.write_bytes(data)
    np.testing.assert_array_equal(read_label_map(path) > 0, OBJECT)
    np.testing.assert_array_equal(read_brightest(path) > 0, OBJECT)
    np.testing.assert_array_equal(read_reference(data, shape=OBJECT.shape).pixels, OBJECT)
    path.write_bytes(files()["opaque RGBA"])
    np.testing.assert_array_equal(read_brightest(path) > 0, OBJECT)
    path.write_bytes(saved(Image.fromarray(np.dstack([OBJECT * np.uint8(9)] * 4), "CMYK"), "TIFF"))
    np.testing.assert_array_equal(read_brightest(path) == 9, OBJECT)


@pytest.mark.parametrize("kind", list(files()))
def test_what_is_not_zero_is_object(kind):
    reference = read_reference(files()[kind], shape=OBJECT.shape)
    np.testing.assert_array_equal(reference.pixels, OBJECT)
    assert reference.resized_from is None


def test_noise_of_jpeg_is_no_object():
    data = saved(Image.fromarray(OBJECT.astype(np.uint8) * 255), "JPEG", quality=40)
    assert (np.asarray(Image.open(io.BytesIO(data)))[~OBJECT] > 0).any()
    assert jaccard(read_reference(data, shape=OBJECT.shape).pixels, OBJECT) > 0.98


def test_another_size_of_the_same_aspect_is_resized_by_nearest_neighbour():
    data = saved(Image.fromarray(OBJECT))
    reference = read_reference(data, shape=(60, 80))
    np.testing.assert_array_equal(reference.pixels, np.kron(OBJECT, np.ones((2, 2), bool)))
    assert reference.resized_from == (30, 40)
    half = read_reference(data, shape=(10, 13))  # 13.3 rounded down
    np.testing.assert_array_equal(half.pixels[:, 0:1], OBJECT[1::3, 1:2])


@pytest.mark.parametrize("shape", [(40, 30), (30, 44), (300, 420)])
def test_another_aspect_is_refused_in_one_sentence(shape):
    with pytest.raises(UserError, match="40×30 px and the photo"):
        read_reference(saved(Image.fromarray(OBJECT)), shape=shape)


def test_what_marks_nothing_or_is_no_picture_is_refused():
    with pytest.raises(UserError, match="marks nothing"):
        read_reference(saved(Image.fromarray(OBJECT & False)), shape=OBJECT.shape)
    with pytest.raises(ImageError, match="text file"):
        read_reference(b"no picture", shape=OBJECT.shape)


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=4 * 12, max_size=4 * 12), st.integers(0, 2**32 - 1))
def test_scores_are_those_of_enlarged_masks_and_the_union_is_worth_it(bits, seed):
    _, geometry = preprocess(np.zeros((31, 41, 3), np.uint8), size=32, patch_size=8)
    masks = np.array(bits).reshape(4, *geometry.grid)
    reference = np.random.default_rng(seed).random((31, 41)) < 0.4
    scores = score_heads(masks, reference, geometry)
    enlarged = geometry.to_photo(masks)
    assert scores.heads == pytest.approx([jaccard(mask, reference) for mask in enlarged])
    taken = list(scores.union_heads)
    assert scores.union == pytest.approx(jaccard(enlarged[taken].any(axis=0), reference))
    assert max(scores.heads) == pytest.approx(scores.heads[taken[0]])
    assert len(set(taken)) == len(taken)
    best = max(
        jaccard(enlarged[list(heads)].any(axis=0), reference)
        for count in range(1, 5)
        for heads in combinations(range(4), count)
    )
    assert max(scores.heads) <= scores.union + 1e-12
    assert scores.union <= best + 1e-12


def test_the_union_by_hand():
    _, geometry = preprocess(np.zeros((8, 32, 3), np.uint8), size=32, patch_size=8)
    masks = np.array([[[1, 0, 0, 0]], [[0, 1, 0, 0]], [[0, 0, 0, 1]], [[1, 0, 0, 1]]], bool)
    reference = np.zeros((8, 32), bool)
    reference[:, :16] = True
    scores = score_heads(masks, reference, geometry)
    assert scores.heads == pytest.approx((1 / 2, 1 / 2, 0, 1 / 3))
    assert scores.union_heads == (0, 1)
    assert scores.union == 1
    with pytest.raises(UserError, match="resize it"):
        score_heads(masks, reference.T, geometry)


def test_a_mask_in_a_format_that_pillow_does_not_know_is_read():
    """HEIC, as phones save what was drawn on a photo; its brighter half is the object."""
    import pillow_heif

    grey = np.zeros((64, 64, 3), np.uint8)
    grey[16:48, 16:48] = 255
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(grey)).save(buffer, quality=90)
    found = read_reference(buffer.getvalue(), shape=(64, 64))
    assert (found.pixels == (grey[..., 0] > 0)).mean() > 0.98
