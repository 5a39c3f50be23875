"""Mask settings that say what they mean, and the masks they make."""

import numpy as np
import pytest
import torch

import dino
from dino.attention import photo
from dino.attention.mass import attention_mask
from dino.attention.thresholds import cluster_mask, otsu_mask
from dino.errors import UserError
from dino.masks.cleanup import clean
from dino.masks.proposals import cluster_labels, patch_mask, propose, propose_from
from dino.masks.refine import refine_mask
from dino.masks.settings import MaskSettings

FULL = MaskSettings(
    size=96,
    mass=0.7,
    heads=(0, 2),
    combine="union",
    method="kmeans",
    clusters=3,
    largest=True,
    fill_holes=True,
    min_area=0.01,
    refine="guided",
    fit="pad",
)


@pytest.fixture(scope="module")
def scene(small_weights, photo_file):
    """Backbone, photo, attention and features at 96 px."""
    backbone = dino.load(small_weights, precision="fp32")
    rgb = dino.decode(photo_file.read_bytes())
    attention = photo.attend(backbone, rgb, size=96)
    return backbone, rgb, attention, photo.features(backbone, rgb, size=96)


@pytest.mark.parametrize("settings", [MaskSettings(), FULL])
def test_settings_survive_json(settings):
    assert MaskSettings.from_json(settings.to_json()) == settings
    assert hash(MaskSettings.from_json(settings.to_json())) == hash(settings)


def test_settings_that_are_not_named_take_their_defaults():
    assert MaskSettings.from_json('{"heads": [1]}') == MaskSettings(heads=(1,))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[1]", "expected an object"),
        ('{"masss": 1}', "unknown mask settings masss"),
        ('{"mass": 0}', "mass is 0"),
        ('{"mass": "0.6"}', "mass is '0.6'"),
        ('{"mass": true}', "mass is True"),
        ('{"mass": NaN}', "mass is nan"),
        ('{"size": 0}', "size is 0"),
        ('{"size": 96.5}', "size is 96.5"),
        ('{"heads": []}', "heads is"),
        ('{"heads": ["a"]}', "heads is"),
        ('{"heads": "0,1"}', "heads is"),
        ('{"combine": "max"}', "combine is 'max'"),
        ('{"combine": ["mean"]}', "combine is"),
        ('{"method": "sam"}', "method is 'sam'"),
        ('{"clusters": 1}', "clusters is 1"),
        ('{"largest": 1}', "largest is 1"),
        ('{"fill_holes": "no"}', "fill_holes is 'no'"),
        ('{"min_area": 1}', "min_area is 1"),
        ('{"min_area": null}', "min_area is None"),
        ('{"refine": "snap"}', "refine is 'snap'"),
        ('{"fit": "crop"}', "fit is 'crop'"),
        ('{"objects": 0}', "objects is 0"),
        ('{"objects": true}', "objects is True"),
        ('{"keys": "raw"}', "keys is 'raw'"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(text, says):
    with pytest.raises(UserError) as caught:
        MaskSettings.from_json(text)
    assert says in str(caught.value)
    assert "expected" in str(caught.value) or "known" in str(caught.value) or "{" in text


def test_the_default_is_the_mass_mask_of_the_heads_mean(scene):
    backbone, rgb, attention, _ = scene
    mask = propose(backbone, rgb, MaskSettings(size=96))
    weights = torch.from_numpy(attention.heads)
    expected = attention_mask(weights, 0.6, combine="mean").numpy()
    np.testing.assert_array_equal(mask.pixels, attention.geometry.to_photo(expected))
    assert (mask.method, mask.mass, mask.head) == ("mass, mean of heads", 0.6, "0,1,2")


@pytest.mark.parametrize("combine", ["mean", "union"])
@pytest.mark.parametrize("method", ["otsu", "kmeans"])
def test_each_method_takes_the_mean_of_heads_or_any_of_them(scene, method, combine):
    _, rgb, attention, features = scene
    settings = MaskSettings(method=method, combine=combine, heads=(0, 2), clusters=3)
    maps = attention.heads[[0, 2]]
    if combine == "mean":
        maps = maps.mean(axis=0, keepdims=True)
    labels = cluster_labels(features, settings)
    per_map = otsu_mask(maps) if method == "otsu" else cluster_mask(maps, labels)
    mask = propose_from(attention, rgb, settings, features=features)
    expected = attention.geometry.to_photo(per_map.any(axis=0))
    np.testing.assert_array_equal(mask.pixels, expected)
    assert 0 < mask.pixels.mean() < 1
    assert mask.mass is None


def test_a_mask_is_tidied_refined_and_tidied_again(scene):
    _, rgb, attention, _ = scene
    settings = MaskSettings(largest=True, fill_holes=True, min_area=0.002, refine="guided")
    raw = attention.geometry.to_photo(patch_mask(attention, settings))
    options = {"largest": True, "fill_holes": True, "min_area": 0.002}
    expected = clean(refine_mask(rgb, clean(raw, **options), "guided"), **options)
    mask = propose_from(attention, rgb, settings)
    np.testing.assert_array_equal(mask.pixels, expected)
    assert not np.array_equal(mask.pixels, raw)
    assert mask.method == (
        "mass, mean of heads, pieces of at least 0.2 % of the photo, largest piece, holes filled, "
        "guided edge"
    )


def test_what_is_there_already_gives_the_same_mask(scene):
    backbone, rgb, attention, features = scene
    settings = MaskSettings(size=96, method="kmeans", refine="grabcut")
    np.testing.assert_array_equal(
        propose(backbone, rgb, settings).pixels,
        propose_from(attention, rgb, settings, features=features).pixels,
    )


def test_kmeans_needs_features_and_heads_must_exist(scene):
    _, rgb, attention, _ = scene
    with pytest.raises(UserError, match="needs the photo's patch features"):
        propose_from(attention, rgb, MaskSettings(method="kmeans"))
    with pytest.raises(UserError, match="head 9 does not exist"):
        propose_from(attention, rgb, MaskSettings(heads=(9,)))
