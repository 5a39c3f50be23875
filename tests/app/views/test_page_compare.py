"""The Compare page: which networks look, what is said of each, and J against a reference mask."""

import io

import numpy as np
import pytest
import torch
from helpers.app_cases import open_page, start_afresh, text
from PIL import Image

import dino
from app.state.selection import bundled_photos
from dino.attention import photo

SIZE = "224"


@pytest.fixture(autouse=True)
def weights(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)


def table(at) -> dict:
    return at.dataframe[0].value.to_dict("list")


def test_random_weights_stand_beside_the_chosen_ones(small_weights):
    at = open_page("compare", size=SIZE, photo="cat")
    found = table(at)
    assert found["Weights"] == [dino.load(small_weights).name, "random_vits16"]
    assert "nothing was learned" not in text(at)  # of the first, which is not random
    assert found["Patches"] == [28 * 21, 14 * 10]


def test_numbers_are_those_of_the_library(small_weights):
    at = open_page("compare", size=SIZE, photo="cat")
    backbone = dino.load(small_weights)
    rgb = dino.decode(bundled_photos()["cat"].data)
    weights = torch.from_numpy(photo.attend(backbone, rgb, size=int(SIZE)).heads).double()
    shares = weights / weights.sum(dim=(1, 2), keepdim=True)
    expected = -(shares * shares.log2()).sum(dim=(1, 2)).mean()
    assert table(at)["Entropy of a head, bits"][0] == pytest.approx(float(expected), abs=1e-3)


def test_a_reference_mask_scores_each_network(small_weights):
    at = open_page("compare", size=SIZE, photo="cat")
    rgb = dino.decode(bundled_photos()["cat"].data)
    mask = np.zeros(rgb.shape[:2], dtype=np.uint8)
    mask[100:400, 200:600] = 255
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    uploader = next(one for one in at.file_uploader if one.label == "Reference mask")
    uploader.upload("mask.png", buffer.getvalue(), "image/png").run()
    assert not at.exception
    backbone = dino.load(small_weights)
    attention = photo.attend(backbone, rgb, size=int(SIZE))
    masks = dino.mass_mask(torch.from_numpy(attention.heads), 0.6).numpy()
    full = attention.geometry.to_photo(masks)
    expected = max(dino.jaccard(one, mask > 0) for one in full)
    assert table(at)["J of the best head at 60%"][0] == pytest.approx(expected, abs=1e-6)
    assert "oracle" in text(at)


def test_nothing_beside_is_no_trouble():
    at = open_page("compare", size=SIZE, photo="cat")
    at.multiselect(key="with").set_value([]).run()
    assert not at.exception
    assert len(table(at)["Weights"]) == 1


@pytest.mark.parametrize("shown", ["patch colours", "photo"])
def test_other_pictures_can_be_shown(shown):
    at = open_page("compare", size=SIZE, photo="cat", look=shown)
    assert at.segmented_control(key="look").value == shown
