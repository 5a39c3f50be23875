"""The Correspondence page: what it counts, what its controls change, and its command."""

import numpy as np
import pytest
from helpers.app_cases import count_calls, open_page, start_afresh, text

import dino
from app.state.selection import bundled_photos
from app.views.correspondence.page import MIRROR
from dino.attention import photo
from dino.features.correspondence import mutual_neighbours
from dino.features.joint import foreground_mask

SIZE = "224"


@pytest.fixture(autouse=True)
def weights(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)


@pytest.fixture
def forwards(monkeypatch) -> list[str]:
    return count_calls(
        monkeypatch, (photo, "attention_and_features"), (photo, "features"), (photo, "attend")
    )


def test_the_pairs_counted_are_those_of_the_library(small_weights):
    at = open_page("correspondence", size=SIZE, photo="cat", other="macaw")
    backbone = dino.load(small_weights)
    found, kept = [], []
    for name in ("cat", "macaw"):
        rgb = dino.decode(bundled_photos()[name].data)
        attention, features = photo.attention_and_features(backbone, rgb, size=int(SIZE))
        found.append(features.patches)
        kept.append(foreground_mask(attention, 0.6).ravel())
    matches = mutual_neighbours(*found, first_kept=kept[0], second_kept=kept[1])
    assert f"{len(matches):,} pairs of patches" in text(at)


def test_two_photos_take_two_forwards_and_the_controls_none(forwards):
    at = open_page("correspondence", size=SIZE, photo="cat", other="macaw")
    assert forwards == ["attention_and_features"] * 2
    at.slider(key="lines").set_value(5).run()
    assert "the lines join the best 5" in text(at)
    at.segmented_control(key="shown").set_value("joint colours").run()
    at.slider(key="share").set_value(80).run()
    at.toggle(key="front").set_value(False).run()
    assert not at.exception
    assert forwards == ["attention_and_features"] * 2
    (command,) = (code.value for code in at.code)
    assert command.startswith("python -m dino match app/photos/cat.jpg app/photos/macaw.jpg")
    assert "--keep 5 --size 224 --out out" in command


def test_no_lines_are_no_trouble():
    at = open_page("correspondence", size=SIZE, lines="0")
    assert "the lines join the best 0." in text(at)


def test_the_mirror_image_is_offered_and_another_photo_never_itself():
    at = open_page("correspondence", size=SIZE, photo="cat", other=MIRROR)
    options = at.selectbox(key="other").options
    assert "cat" not in options
    assert at.selectbox(key="other").value == MIRROR
    at.sidebar.selectbox(key="photo").set_value("lemurs").run()
    assert not at.exception
    assert "lemurs" not in at.selectbox(key="other").options


def test_parts_find_themselves_in_a_mirror_image():
    # The bundled weights have seen mirrored crops: what is left is where position matters more.
    backbone = dino.load("checkpoints/dino_vitti16_imagenette.safetensors")
    rgb = dino.decode(bundled_photos()["macaw"].data)
    looks = [
        photo.attention_and_features(backbone, image, size=480)
        for image in (rgb, rgb[:, ::-1].copy())
    ]
    kept = [foreground_mask(attention, 0.6).ravel() for attention, _ in looks]
    first, second = (features.patches for _, features in looks)
    matches = mutual_neighbours(first, second, keep=30, first_kept=kept[0], second_kept=kept[1])
    columns = looks[0][1].geometry.grid[1]
    (row, column), (to_row, to_column) = (
        np.divmod(numbers, columns) for numbers in (matches.first, matches.second)
    )
    off = np.maximum(abs(row - to_row), abs(columns - 1 - column - to_column))
    assert (off <= 1).mean() >= 0.7
