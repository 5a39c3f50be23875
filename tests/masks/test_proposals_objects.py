"""Masks of objects found in keys: one each, tidied each, together, exported, and proposed."""

import json

import numpy as np
import pytest
from PIL import Image

import dino
from dino.annotation.editing import proposed_state
from dino.attention.photo import attend
from dino.errors import UserError
from dino.masks import coco
from dino.masks.cleanup import clean
from dino.masks.discovery import methods
from dino.masks.discovery.keys import photo_keys
from dino.masks.discovery.methods import lost
from dino.masks.proposals import finish_objects, merge_masks, propose, propose_from, propose_objects
from dino.masks.refine import refine_mask
from dino.masks.settings import Mask, MaskSettings
from dino.media import regions
from dino.system.files import content_id

MASKCUT = MaskSettings(size=96, method="maskcut", objects=4)


@pytest.fixture(scope="module")
def scene(small_weights, photo_file):
    """Backbone, photo and its keys at 96 px."""
    backbone = dino.load(small_weights, precision="fp32")
    rgb = dino.decode(photo_file.read_bytes())
    return backbone, rgb, photo_keys(backbone, rgb, size=96)


def found_by(kept, method: str, **options) -> np.ndarray:
    keys = kept.last.joined()
    found = methods.discover(keys, kept.geometry.grid, method=method, **options)
    return kept.geometry.to_photo(found.masks)


@pytest.mark.parametrize("method", ["lost", "tokencut", "maskcut"])
def test_masks_are_those_of_the_method_at_the_photos_size(scene, method):
    backbone, rgb, kept = scene
    masks = propose_objects(backbone, rgb, MaskSettings(size=96, method=method))
    expected = found_by(kept, method)
    np.testing.assert_array_equal([mask.pixels for mask in masks], expected)
    assert {(m.method, m.mass, m.head) for m in masks} == {(f"{method}, auto keys", None, "0,1,2")}
    whole = propose(backbone, rgb, MaskSettings(size=96, method=method))
    np.testing.assert_array_equal(whole.pixels, expected.any(axis=0))


def test_maskcut_finds_as_many_as_asked_for(scene):
    backbone, rgb, kept = scene
    assert len(propose_objects(backbone, rgb, MASKCUT)) == len(found_by(kept, "maskcut", objects=4))
    one = MaskSettings(size=96, method="maskcut", objects=1)
    assert len(propose_objects(backbone, rgb, one)) == 1


def test_heads_and_what_is_taken_out_of_keys_matter(scene):
    backbone, rgb, kept = scene
    settings = MaskSettings(size=96, method="lost", heads=(1,), keys="plain")
    (mask,) = propose_objects(backbone, rgb, settings)
    found = lost(kept.last.keys[1], kept.geometry.grid)
    np.testing.assert_array_equal(mask.pixels, kept.geometry.to_photo(found.masks)[0])
    assert (mask.method, mask.head) == ("lost, plain keys", "1")


@pytest.mark.parametrize("refine", ["guided", "grabcut"])
def test_each_object_is_tidied_and_refined_by_itself(scene, refine):
    backbone, rgb, kept = scene
    settings = MaskSettings(size=96, method="maskcut", largest=True, fill_holes=True, refine=refine)
    options = {"largest": True, "fill_holes": True}
    expected = [
        clean(refine_mask(rgb, clean(mask, **options), refine), **options)
        for mask in found_by(kept, "maskcut")
    ]
    masks = propose_objects(backbone, rgb, settings)
    for mask, pixels in zip(masks, [one for one in expected if one.any()], strict=True):
        np.testing.assert_array_equal(mask.pixels, pixels)


def test_an_object_of_which_nothing_is_left_is_left_out(scene):
    rgb = scene[1]
    masks = np.zeros((2, 120, 160), bool)
    masks[0, :60], masks[1, 0, 0] = True, True
    kept = finish_objects(rgb, masks, MaskSettings(method="maskcut", min_area=0.1))
    np.testing.assert_array_equal(kept, masks[:1])
    none = finish_objects(rgb, masks[1:], MaskSettings(method="maskcut", min_area=0.1))
    assert none.shape == (0, 120, 160)
    empty = merge_masks([], (120, 160), MASKCUT)
    assert empty.pixels.shape == (120, 160)
    assert not empty.pixels.any()


def test_attention_is_not_taken_for_keys(scene):
    backbone, rgb, _ = scene
    with pytest.raises(UserError, match="lost needs the photo's keys"):
        propose_from(attend(backbone, rgb, size=96), rgb, MaskSettings(method="lost"))


def test_coco_of_two_objects_and_of_none_by_hand():
    left, right, nothing = (np.zeros((2, 4), bool) for _ in range(3))
    left[:, 0], right[1, 2:] = True, True
    items = [
        ("a.jpg", [Mask(left, "maskcut"), Mask(right, "maskcut")]),
        ("b.jpg", [Mask(nothing, "maskcut")]),
        ("c.jpg", Mask(right, "lost")),
    ]
    document = json.loads(coco.coco_json(items))
    assert [image["id"] for image in document["images"]] == [1, 2, 3]
    written = [(a["id"], a["image_id"], a["bbox"], a["area"]) for a in document["annotations"]]
    assert written == [(1, 1, [0, 0, 1, 2], 2), (2, 1, [2, 1, 2, 1], 2), (3, 3, [2, 1, 2, 1], 2)]
    assert document["annotations"][1]["segmentation"] == {"size": [2, 4], "counts": [5, 1, 1, 1]}


def test_segment_writes_each_object_and_annotates_it(scene, cli, photo_file, tmp_path):
    backbone, rgb, _ = scene
    options = ("--method", "maskcut", "--objects", 4, "--keys", "plain", "--heads", "0,2")
    look = ("--size", 96, "--precision", "fp32", "--fill-holes")
    code, _, err = cli("segment", photo_file, *look, *options)
    assert code == 0, err
    settings = MaskSettings(
        size=96, method="maskcut", objects=4, keys="plain", heads=(0, 2), fill_holes=True
    )
    expected = propose_objects(backbone, rgb, settings)
    assert len(expected) > 1
    folder = tmp_path / "out" / f"disc-{content_id(photo_file.read_bytes())[:8]}"
    names = {f"object-{number}.png" for number in range(1, len(expected) + 1)}
    assert {path.name for path in folder.iterdir()} == names | {"mask.png", "cutout.png"}
    document = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert [a["image_id"] for a in document["annotations"]] == [1] * len(expected)
    for number, (mask, annotation) in enumerate(
        zip(expected, document["annotations"], strict=True), start=1
    ):
        pixels = np.asarray(Image.open(folder / f"object-{number}.png")) > 0
        np.testing.assert_array_equal(pixels, mask.pixels)
        counts = annotation["segmentation"]["counts"]
        decoded = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(160, 120).T
        np.testing.assert_array_equal(decoded, mask.pixels)
    whole = np.asarray(Image.open(folder / "mask.png")) > 0
    np.testing.assert_array_equal(whole, np.any([mask.pixels for mask in expected], axis=0))


def test_a_photo_to_annotate_is_proposed_with_every_object(scene):
    backbone, rgb, kept = scene
    state = proposed_state(backbone, rgb, MASKCUT)
    expected = found_by(kept, "maskcut", objects=4)
    assert [one.id for one in state.objects] == list(range(1, len(expected) + 1))
    for one, mask in zip(state.objects, expected, strict=True):
        np.testing.assert_array_equal(regions.decode(one.counts, state.size), mask)
    flat = np.full_like(rgb, 128)
    nothing_left = MaskSettings(size=96, method="tokencut", min_area=0.99)
    assert proposed_state(backbone, flat, nothing_left).objects == ()
