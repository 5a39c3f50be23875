"""The canvas in a notebook: what it sends is what the library computes, and it answers to clicks."""

import builtins
import hashlib

import numpy as np
import pytest
import torch

import dino
from dino.attention.photo import attention_and_features
from dino.canvas.look import Look
from dino.errors import UserError
from dino.features import notebook
from dino.features.neighbours import normalized

SIZE = 96


@pytest.fixture(scope="module")
def backbone(small_weights):
    return dino.load(small_weights, device="cpu")


@pytest.fixture(scope="module")
def rgb(photo_file):
    return dino.decode(photo_file.read_bytes())


@pytest.fixture
def shown(backbone, rgb):
    pytest.importorskip("anywidget")
    return dino.show(backbone, rgb, size=SIZE, head="1", outline=60)


def sent(widget) -> np.ndarray:
    """Read the maps that the browser gets, [K,N]."""
    told = widget.data["maps"]
    values = np.frombuffer(widget.maps[told["id"]], "<f4")
    return values.reshape(len(told["names"]), -1)


def test_the_widget_brings_heads_mean_max_and_features(shown, backbone, rgb):
    attention, features = attention_and_features(backbone, rgb, size=SIZE)
    heads = attention.heads
    expected = np.concatenate([heads, heads.mean(0)[None], heads.max(0)[None]])
    np.testing.assert_allclose(sent(shown), expected.reshape(len(expected), -1), atol=1e-6)
    (panel,) = shown.data["panels"]
    assert (panel["rows"], panel["columns"]) == attention.geometry.grid
    half = np.frombuffer(shown.still[panel["features"]], "<f2").reshape(features.patches.shape)
    np.testing.assert_allclose(half, normalized(features.patches), atol=2e-3)
    for name, data in {**shown.still, **shown.maps}.items():
        assert hashlib.sha256(data).hexdigest() == name
    assert dino.decode(shown.still[panel["photo"]]).shape == rgb.shape
    assert shown.data["maps"]["look"] | {"head": "1", "outline": 60} == shown.data["maps"]["look"]


def test_a_click_asks_what_the_patch_looks_at_and_escape_returns(shown, backbone, rgb):
    first = sent(shown).copy()
    shown.hear({"picked": "0:4:7"})
    assert shown.query == (4, 7)
    image, _ = dino.preprocess(rgb, size=SIZE, patch_size=8, mean=backbone.mean, std=backbone.std)
    rows = backbone.attention(image, queries=((4, 7),)).weights[0, 0, 0].numpy()
    np.testing.assert_array_equal(sent(shown)[:3], rows.reshape(3, -1))
    assert shown.data["chosen"] == {"panel": 0, "row": 4, "column": 7}
    assert shown.data["maps"]["what"] == "attention of patch 4:7"
    shown.hear({"picked": "clear"})
    assert shown.query == "cls"
    np.testing.assert_array_equal(sent(shown), first)


def test_the_look_that_was_chosen_is_known_in_python(shown, backbone):
    shown.hear({"look": {"head": "2", "colours": "viridis", "number": 5}})
    assert shown.look == Look(head="2", colours="viridis")
    kept = dino.mass_mask(torch.from_numpy(shown.weights[2]), 0.7).numpy()
    np.testing.assert_array_equal(shown.mask(0.7), shown.geometry.to_photo(kept))
    shown.ask("mean")
    assert shown.data["maps"]["heard"] == 5  # so that the browser keeps what it has
    assert shown.data["maps"]["look"]["head"] == "2"


@pytest.mark.parametrize(
    "message", [{"picked": "0:99:0"}, {"look": {"head": "9"}}, {"look": 3}, {"picked": 7}]
)
def test_what_a_browser_sends_is_believed_in_nothing(shown, message):
    with pytest.raises(UserError, match="reload the page"):
        shown.hear(message)


def test_without_anywidget_a_sentence_says_what_to_install(backbone, rgb, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "anywidget":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    notebook._widget_class.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install anywidget"):
        dino.show(backbone, rgb, size=SIZE)
    notebook._widget_class.cache_clear()


def test_an_unknown_look_is_refused(backbone, rgb):
    pytest.importorskip("anywidget")
    with pytest.raises(UserError, match="head = '7'"):
        dino.show(backbone, rgb, size=SIZE, head="7")
