"""The Learn page: every step by link, predictions that reveal, and numbers that are the library's."""

import numpy as np
import pytest
import torch
from helpers.app_cases import TIMEOUT_S, count_calls, open_page, start_afresh, text
from streamlit.testing.v1 import AppTest

import dino
from app.cache import learn
from app.state.selection import bundled_photos
from app.views.learn.page import STEPS
from dino.attention import photo
from dino.attention.mass import entropy
from dino.media.crops import MultiCrop

SIZE = "224"


@pytest.fixture(autouse=True)
def weights(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)
    short = learn.Demonstration
    monkeypatch.setattr(
        "app.views.learn.steps.collapse.Demonstration",
        lambda **settings: short(steps=320, **settings),
    )


def opened(step: int, **params: str) -> AppTest:
    return open_page("learn", step=str(step), size=SIZE, **params)


def check(at: AppTest, guess: int) -> None:
    """Make a prediction by the number of its option and check it."""
    at.radio[0].set_value(at.radio[0].options[guess]).run()
    next(button for button in at.button if button.label == "Check").click().run()
    assert not at.exception, at.exception


@pytest.mark.parametrize("number", range(1, len(STEPS) + 1))
def test_every_step_opens_by_link_and_shows_its_answer(number):
    hidden = text(opened(number))
    assert f"{number}. {STEPS[number - 1].title}" in [one.value for one in opened(number).subheader]
    shown = text(opened(number, answers="true"))
    assert len(shown) > len(hidden) or number == 9
    assert "arXiv 2104.14294" in shown


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 8, 10])
def test_a_prediction_reveals_whatever_was_said(number):
    said = []
    for guess in (0, 1, 2):
        at = opened(number)
        before = text(at)
        assert "You said" not in before
        assert "Right:" not in before
        check(at, guess)
        said.append("Right:" in text(at))
        assert said[-1] or "You said" in text(at)
    assert sum(said) == 1  # of three options one at most is right, and here one is


def test_an_unknown_step_is_the_first():
    for step in ("0", "11", "x", "²"):
        at = open_page("learn", step=step, size=SIZE)
        assert at.selectbox(key="step").value.startswith("1.")


def test_buttons_turn_the_steps_and_the_link_follows():
    at = opened(3)
    at.button(key="learn_next").click().run()
    assert at.query_params["step"] == "4"
    assert at.selectbox(key="step").value.startswith("4.")
    at.button(key="learn_previous").click().run()
    assert at.query_params["step"] == "3"
    assert opened(1).button(key="learn_previous").disabled
    assert opened(len(STEPS)).button(key="learn_next").disabled


def test_a_link_names_the_controls_of_its_step_alone():
    at = opened(6, answers="true", momentum="0.9")
    assert "10 steps" in text(at)
    at.button(key="learn_next").click().run()
    assert "momentum" not in at.query_params
    at.button(key="learn_previous").click().run()
    assert at.select_slider(key="momentum").value == 0.9
    assert at.query_params["momentum"] == "0.9"


def test_starting_over_takes_the_answer_back():
    at = opened(6)
    check(at, 2)
    at.select_slider(key="momentum").set_value(0.9).run()
    assert "10 steps" in text(at)
    at.button(key="learn_reset").click().run()
    assert not at.exception
    assert "Right:" not in text(at)
    assert at.radio[0].value is None
    check(at, 2)
    assert at.select_slider(key="momentum").value == 0.996


@pytest.mark.parametrize(
    ("number", "link", "at_first"),
    [
        (1, {"patch": "0:0", "cut": "32"}, ("cut", 8)),
        (2, {"query": "0:0", "one_head": "2"}, ("one_head", 0)),
        (4, {"learn_layer": "0"}, ("learn_layer", 1)),
        (5, {"crop_seed": "7"}, ("crop_seed", 0)),
        (7, {"sharpening": "false", "training_seed": "3"}, ("sharpening", True)),
        (8, {"neighbours": "2"}, ("neighbours", 5)),
    ],
)
def test_starting_over_sets_the_controls_as_at_first(number, link, at_first):
    key, value = at_first
    at = opened(number, answers="true", **link)
    assert at.session_state[key] != value
    at.button(key="learn_reset").click().run()
    assert not at.exception, at.exception
    assert at.session_state[key] == value
    assert not set(link) & set(at.query_params)


def test_patches_are_counted_and_shown_as_they_are(small_weights):
    at = opened(1, patch="3:4", answers="true", cut="16")
    backbone = dino.load(small_weights)
    rgb = dino.decode(bundled_photos()["macaw"].data)
    found = photo.features(backbone, rgb, size=int(SIZE))
    rows, columns = found.geometry.grid
    said = text(at)
    assert f"{rows} rows of {columns}" in said
    assert "Patch 3:4 (row:column)" in said
    assert "Mean colour: red" in said
    at.session_state["patch"] = "999:1"  # not there
    at.run()
    assert f"Patch {rows // 2}:{columns // 2} " in text(at)


@pytest.mark.parametrize("query", ["cls", "3:4"])
def test_the_row_is_that_of_the_backbone(small_weights, query):
    at = opened(2, query=query, one_head="1", answers="true")
    backbone = dino.load(small_weights)
    rgb = dino.decode(bundled_photos()["macaw"].data)
    image, _ = photo.prepare(backbone, rgb, int(SIZE), "floor")
    asked = "cls" if query == "cls" else (3, 4)
    maps = backbone.attention(image, queries=(asked,))
    table = at.dataframe[0].value
    for name, share in zip(table["Key"], table["share, %"], strict=True):
        token = name.removesuffix(" (itself)")
        if token == "CLS":
            expected = maps.prefix[0, 0, 0, 1, 0]
        else:
            row, column = map(int, token.removeprefix("patch ").split(":"))
            expected = maps.weights[0, 0, 0, 1, row, column]
        assert share / 100 == pytest.approx(float(expected), abs=1e-5)
    assert list(table["q·k"] / 4) == pytest.approx(list(table["q·k/√16"]))
    best = float(maps.weights[0, 0, 0, 1].max())
    assert table["share, %"].iloc[1:].max() / 100 == pytest.approx(best, abs=1e-5)


def test_heads_hide_their_entropy_until_it_is_predicted(small_weights):
    at = opened(3)
    backbone = dino.load(small_weights)
    rgb = dino.decode(bundled_photos()["macaw"].data)
    found = photo.attend(backbone, rgb, size=int(SIZE))
    bits = entropy(torch.from_numpy(found.heads)).numpy()
    assert f"entropy {bits[0]:.1f} bits" not in text(at)
    check(at, int(np.argmin(bits)))
    assert f"Right: Head {int(np.argmin(bits))}" in text(at)
    assert all(f"entropy {value:.1f} bits" in text(at) for value in bits)


def test_crops_are_those_training_draws_and_lie_where_they_are_framed():
    rgb = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    found = learn.multi_crops(rgb, 7)
    expected = MultiCrop()(rgb, np.random.default_rng(7))
    assert len(found) == len(expected) == 10
    for crop, pixels in zip(found, expected, strict=True):
        assert np.array_equal(crop.pixels, pixels)
        top, left, height, width = crop.box
        assert top >= 0
        assert left >= 0
        assert top + height <= 90
        assert left + width <= 120
        low, high = (0.4, 1.0) if crop.is_global else (0.05, 0.4)
        assert low * 0.98 <= height * width / (90 * 120) <= high * 1.02


def test_rolling_again_is_another_seed_in_the_link():
    at = opened(5, crop_seed="4")
    before = text(at)
    at.button(key="learn_reroll").click().run()
    assert at.query_params["crop_seed"] == "5"
    assert text(at) != before
    assert opened(5, crop_seed="-3").number_input(key="crop_seed").value == 0


def test_switches_lead_to_both_collapses(monkeypatch):
    trained = count_calls(monkeypatch, (learn, "conclude"))
    at = opened(7, answers="true")
    assert "One-dimensional collapse" in text(at)  # what was asked comes first
    assert "the case you were asked about" in text(at)
    at.toggle(key="centring").set_value(True).run()
    assert "No collapse" in text(at)
    at.toggle(key="sharpening").set_value(False).run()
    assert not at.exception, at.exception
    assert "Uniform collapse" in text(at)
    assert len(trained) == 3  # a run that was made is not made again
    endings = list(at.dataframe[0].value["Ended in"])
    assert endings == ["uniform collapse", "no collapse", "one-dimensional collapse"]


def test_another_seed_is_another_curve():
    at = opened(7, answers="true", training_seed="1")
    at.button(key="learn_train_again").click().run()
    assert at.query_params["training_seed"] == "2"
    first, second = at.dataframe[0].value["Mean answer, bits"]
    assert first != second


def test_without_the_bundled_weights_the_comparison_says_so():
    assert "needs the bundled weights" in text(opened(9))


def test_the_comparison_is_blind_until_it_is_answered(monkeypatch, tmp_path, small_weights):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("dino_vitti16_imagenette", "supervised_vitti16_imagenette"):
        (folder / f"{name}.safetensors").write_bytes(small_weights.read_bytes())
    at = opened(9)
    assert "Entropy of a head" not in text(at)
    check(at, 0)
    assert "Entropy of a head" in text(at)


def watched() -> None:
    """Draw the page with a way to Attention that only notes where it would lead."""
    import streamlit as st

    from app.ui import sidebar, start
    from app.views.learn import page

    def look(**params: str) -> None:
        st.session_state["led_to"] = params

    start.guarded(lambda *given: page.show(*given, open_attention=look), sidebar.choose())


def test_attention_opens_on_the_same_photo_and_weights(small_weights):
    at = AppTest.from_function(watched, default_timeout=TIMEOUT_S)
    for key, value in {"step": "10", "photo": "cat", "size": SIZE}.items():
        at.query_params[key] = value
    at.run().button(key="learn_open").click().run()
    assert not at.exception
    assert at.session_state["led_to"] == {
        "photo": "cat",
        "weights": at.sidebar.selectbox(key="weights").value,
        "panel": "norms",
    }


def test_attention_opens_on_the_head_that_was_chosen(small_weights):
    at = AppTest.from_function(watched, default_timeout=TIMEOUT_S)
    for key, value in {"step": "2", "one_head": "2", "query": "1:2", "size": SIZE}.items():
        at.query_params[key] = value
    at.run().button(key="learn_open").click().run()
    assert at.session_state["led_to"].items() >= {"head": "2", "query": "1:2"}.items()


def test_the_comparison_is_on_a_photo_that_shows_something(monkeypatch, tmp_path, small_weights):
    for name in ("dino_vitti16_imagenette", "supervised_vitti16_imagenette"):
        (tmp_path / f"{name}.safetensors").write_bytes(small_weights.read_bytes())
    monkeypatch.setenv("DINO_CHECKPOINTS", str(tmp_path))
    at = opened(9, photo="macaw")
    assert at.segmented_control(key="pair_on").options == ["cat", "kingfisher", "macaw"]
    check(at, 0)
    at.segmented_control(key="pair_on").set_value("macaw").run()
    assert "Entropy of a head" not in text(at)  # asked anew
    assert at.query_params["pair_on"] == "macaw"
