"""Row 3: one pixel makes another photo, for every cache that a photo's results are kept in."""

import io
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

import dino
from app.cache import pictures
from app.state.selection import Choice, add_photo
from dino.attention.photo import attend
from dino.media.images import decode

SIDE, SIZE = 1024, 128


@dataclass(frozen=True)
class Edited:
    """The photo with one pixel turned to its negative, as an uncompressed file."""

    whole: np.ndarray
    header: bytes

    def file(self, row: int, column: int) -> bytes:
        pixels = self.whole.copy()
        pixels[row, column] ^= 255
        return self.header + pixels[::-1, :, ::-1].tobytes()  # BMP: from the bottom, BGR


@pytest.fixture(scope="module")
def edited() -> Edited:
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    rgb = np.stack([x // 4, y // 4, (x + y) // 8], -1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "BMP")
    data = buffer.getvalue()
    return Edited(rgb, data[: len(data) - rgb.nbytes])


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(20, marks=pytest.mark.reliability),
        pytest.param(200, marks=pytest.mark.soak),
    ],
)
def test_edits_of_one_pixel_have_keys_and_maps_of_their_own(edited, small_weights, figure, count):
    import streamlit as st

    st.cache_data.clear()
    backbone = dino.load(small_weights)
    rng = np.random.default_rng(0)
    places = {tuple(map(int, rng.integers(0, SIDE, 2))) for _ in range(count)}
    assert len(places) == count
    keys, names, right, different = set(), set(), 0, 0
    whole = attend(backbone, edited.whole, size=SIZE).heads
    for place in sorted(places):
        data = edited.file(*place)
        rgb = decode(data)
        assert np.argwhere((rgb != edited.whole).any(-1)).tolist() == [list(place)]
        photo = add_photo({}, "photo.bmp", data)
        choice = Choice(photo, "small", SIZE)
        keys.add(pictures.key_of(choice, backbone))
        names.add(photo.name)
        cached, _ = pictures.attention(choice, backbone)
        alone = attend(backbone, rgb, size=SIZE).heads
        right += np.array_equal(cached.heads, alone)
        different += not np.array_equal(cached.heads, whole)
    assert len(keys) == len(names) == right == count
    assert different > count / 2  # or the maps would not tell photos apart
    figure(
        3,
        f"{count} edits of one pixel in a photo of {SIDE}²",
        f"{len(keys)} cache keys, {right} maps equal to ones made without a cache, bit for bit; "
        f"{different} of them differ from the whole photo's",
    )


@pytest.mark.reliability
def test_the_key_tells_apart_all_that_a_result_depends_on(edited, small_weights, photo_file):
    """Photo, size, weights, arithmetic and number of heads; not the name of a file."""
    backbone = dino.load(small_weights, precision="fp32")
    photo = add_photo({}, "a.png", photo_file.read_bytes())
    choice = Choice(photo, "small", SIZE)
    other_photo = add_photo({}, "a.bmp", edited.file(0, 0))
    keys = [
        pictures.key_of(choice, backbone),
        pictures.key_of(replace(choice, size=96), backbone),
        pictures.key_of(replace(choice, photo=other_photo), backbone),
        pictures.key_of(choice, dino.load(small_weights, num_heads=6, precision="fp32")),
        pictures.key_of(choice, dino.load("random_vitt16")),
        pictures.key_of(choice, replace(backbone, precision="bf16")),
    ]
    assert len(set(keys)) == len(keys)
    renamed = add_photo({}, "another.png", photo_file.read_bytes())
    assert pictures.key_of(replace(choice, photo=renamed), backbone) == keys[0]
