"""Filmstrips read back as a run left them, damage and all."""

import numpy as np
import pytest
from helpers.app_cases import TIMEOUT_S, start_afresh, text
from PIL import Image
from streamlit.testing.v1 import AppTest

from dino.training.probes.filmstrip import read_filmstrip

EPOCHS = (0, 2, 10)


def open_evolution() -> AppTest:
    def script():
        from app.views.evolution import page

        page.show()

    at = AppTest.from_function(script, default_timeout=TIMEOUT_S).run()
    assert not at.exception, at.exception
    return at


@pytest.fixture
def strip(tmp_path):
    """Two photos, three epochs; map values say epoch and photo."""
    folder = tmp_path / "checkpoints" / "runs" / "mine" / "filmstrip"
    for epoch in EPOCHS:
        place = folder / f"epoch-{epoch:04d}"
        place.mkdir(parents=True)
        maps = {f"photo-{n}": np.full((2, 3, 4), epoch + n / 2, np.float16) for n in (0, 1)}
        np.savez_compressed(place / "attention.npz", **maps)
    for number in (0, 1):
        Image.new("RGB", (32, 24), (200, 0, 0)).save(folder / f"photo-{number}.png")
    return folder


def test_epochs_come_in_their_order_and_maps_with_their_photo(strip):
    first, second = read_filmstrip(strip)
    assert first.epochs == second.epochs == EPOCHS
    assert [one[0, 0, 0] for one in first.maps] == [0, 2, 10]
    assert [one[1, 2, 3] for one in second.maps] == [0.5, 2.5, 10.5]
    assert second.photo.name == "photo-1.png"


def test_a_damaged_epoch_is_left_out(strip):
    (strip / "epoch-0002" / "attention.npz").write_bytes(b"nonsense")
    np.savez(strip / "epoch-0000" / "attention.npz", **{"photo-1": np.zeros((2, 3, 4))})
    first, second = read_filmstrip(strip)
    assert first.epochs == (10,)
    assert second.epochs == (0, 10)


def test_maps_of_another_shape_or_not_finite_are_left_out(strip):
    np.savez(strip / "epoch-0000" / "attention.npz", **{"photo-0": np.zeros((3, 3, 4))})
    bad = np.full((2, 3, 4), np.nan)
    np.savez(strip / "epoch-0002" / "attention.npz", **{"photo-0": bad})
    assert read_filmstrip(strip)[0].epochs == (10,)


def test_nothing_there_is_nothing(tmp_path):
    assert read_filmstrip(tmp_path / "none") == []


def test_the_bundled_filmstrip_is_read():
    (strip,) = read_filmstrip("checkpoints/filmstrip")
    assert len(strip.epochs) >= 20
    assert strip.maps[0].shape == (3, 14, 14)


def test_the_page_offers_runs_and_says_what_k_nn_was(strip, monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)
    (strip.parent / "probes.jsonl").write_text('{"step": 5, "epoch": 10, "knn": 42.5}\n{"st')
    at = open_evolution()
    assert at.selectbox(key="of").options == ["mine"]
    assert "3 epochs from 0 to 10" in text(at)
    from app.cache import evolution

    assert evolution.measured(strip) == {10: 42.5}
    at.segmented_control(key="film_photo").set_value("2").run()
    assert not at.exception


def test_without_a_filmstrip_the_page_says_how_to_get_one(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)
    assert "There is no filmstrip yet" in text(open_evolution())
