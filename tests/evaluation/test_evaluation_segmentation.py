"""Jaccard of attention masks: counted by hand on photos of 4×4 px, and against masks enlarged one by one."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

import dino
from dino.errors import UserError
from dino.evaluation.mask_data import MaskData, Objects, open_masks
from dino.evaluation.random_twin import random_twin
from dino.evaluation.segmentation import attention_jaccard, foreground_jaccards, jaccards
from dino.media.preprocessing import plan

# Two heads over 2×2 patches: the first looks at the top left, the second at the bottom row.
HEADS = torch.tensor([[[0.7, 0.1], [0.1, 0.1]], [[0.1, 0.1], [0.4, 0.4]]])
NOTHING = np.zeros((4, 4), dtype=bool)
# A photo of 4×4 px seen as 2×2 patches of 2 px.
GEOMETRY = plan((4, 4), size=4, patch_size=2, fit="stretch")


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((4, 4), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


# J by hand -------------------------------------------------------------------------------------


def test_jaccard_of_each_head_with_each_object_by_hand():
    """At 60 % the first head keeps the top left 4 px, the second the bottom 8 px."""
    objects = Objects(np.stack([box(0, 0, 2, 4), box(2, 0, 4, 4)]), NOTHING)
    found = jaccards(HEADS, objects, GEOMETRY, [0.6, 1.0])
    np.testing.assert_allclose(found[0], [[4 / 8, 0], [0, 1]])
    np.testing.assert_allclose(found[1], np.full((2, 2), 8 / 16))  # 100 %: the whole photo


def test_pixels_to_ignore_count_on_neither_side():
    """Object: top row of 4 px, of which 1 is ignored, as is 1 of the mask's other pixels."""
    ignore = NOTHING.copy()
    ignore[0, 0] = ignore[1, 1] = True
    objects = Objects(box(0, 0, 1, 4)[None], ignore)
    # The mask's 4 px lose two; of the object's 4 px 3 are left; one is in both: 1 / (2 + 3 − 1).
    np.testing.assert_allclose(jaccards(HEADS, objects, GEOMETRY, [0.6])[0, 0], [1 / 4])
    np.testing.assert_allclose(foreground_jaccards(objects), [3 / 14])


def test_the_whole_photo_as_foreground_by_hand():
    objects = Objects(np.stack([box(0, 0, 1, 1), box(0, 0, 4, 3)]), NOTHING)
    np.testing.assert_allclose(foreground_jaccards(objects), [1 / 16, 12 / 16])


def network(*maps: torch.Tensor) -> SimpleNamespace:
    """A stand-in for a backbone of patch 2 that answers with one prepared map a photo."""
    answers = iter(maps)
    return SimpleNamespace(
        patch_size=2,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        device=torch.device("cpu"),
        precision="fp32",
        embed_dim=8,
        num_registers=0,
        default_query="cls",
        attention=lambda image, queries: SimpleNamespace(weights=next(answers)[None, None, None]),
    )


@pytest.fixture
def photos(tmp_path):
    """Three photos of 4×4 px."""
    paths = tuple(tmp_path / f"{name}.png" for name in "abc")
    for path in paths:
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    return paths


def data_of(photos, *objects: list[np.ndarray]) -> MaskData:
    stacked = [np.stack(masks) if masks else np.zeros((0, 4, 4), bool) for masks in objects]
    known = {p: Objects(m, NOTHING) for p, m in zip(photos, stacked, strict=False)}
    return MaskData(photos[0].parent, "by hand", tuple(known), known.__getitem__)


def test_means_go_over_objects_first_and_photos_second(photos):
    """Photo a: J ½ and 1, so ¾ (best heads 0 and 1); photo b: 1; without object: no part."""
    data = data_of(photos, [box(0, 0, 2, 4), box(2, 0, 4, 4)], [box(0, 0, 2, 2)], [])
    found = attention_jaccard(network(HEADS, HEADS), data, size=4, masses=[0.6])
    at = found.at(0.6)
    assert at.best_head == pytest.approx((0.75 + 1) / 2)  # over all three objects it were 0.83
    assert at.heads == pytest.approx(((0.25 + 1) / 2, (0.5 + 0) / 2))
    assert at.mean_head == pytest.approx((0.625 + 0.25) / 2)
    assert found.all_foreground == pytest.approx((8 / 16 + 4 / 16) / 2)
    assert (found.num_photos, found.num_objects, found.num_without_object) == (2, 3, 1)


def test_an_unreadable_photo_is_listed_and_left_out(photos):
    photos[1].write_bytes(b"not a picture")
    data = data_of(photos, [box(0, 0, 2, 2)], [box(0, 0, 1, 1)])
    seen = []
    found = attention_jaccard(
        network(HEADS), data, size=4, masses=[0.6], progress=lambda *count: seen.append(count)
    )
    assert found.at(0.6).best_head == 1.0
    assert found.unreadable == (photos[1],)
    assert seen == [(1, 2), (2, 2)]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_counting_by_patch_equals_masks_enlarged_one_by_one(data):
    height, width = data.draw(st.tuples(st.integers(3, 23), st.integers(3, 23)))
    geometry = plan((height, width), size=data.draw(st.sampled_from([8, 12])), patch_size=4,
                    fit=data.draw(st.sampled_from(["stretch", "floor", "pad"])))  # fmt: skip
    unit = st.floats(0, 1, width=32)
    maps = torch.from_numpy(data.draw(arrays(np.float32, (2, *geometry.grid), elements=unit)))
    masks = data.draw(arrays(bool, (2, height, width)))
    ignore = data.draw(arrays(bool, (height, width), elements=st.sampled_from([False, True])))
    masks = masks[[bool((mask & ~ignore).any()) for mask in masks]]
    if not len(masks):
        return
    found = jaccards(maps, Objects(masks, ignore), geometry, [0.3, 0.9])
    for i, mass in enumerate((0.3, 0.9)):
        for head, kept in enumerate(geometry.to_photo(dino.mass_mask(maps, mass).numpy())):
            expected = [dino.jaccard(kept[~ignore], mask[~ignore]) for mask in masks]
            np.testing.assert_allclose(found[i, head], expected, rtol=1e-12)


# Layouts ---------------------------------------------------------------------------------------


def save(path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    if values.ndim == 2 and path.suffix == ".png":
        picture = picture.convert("L")
    picture.save(path)


@pytest.fixture
def voc(tmp_path):
    """A VOC folder: one photo with objects 1 and 2, a border of 255 between them, classes 5 and 5."""
    labels = np.zeros((4, 4), np.uint8)
    labels[:2], labels[2], labels[3] = 1, 255, 2
    save(tmp_path / "JPEGImages" / "x.jpg", np.zeros((4, 4, 3), np.uint8))
    save(tmp_path / "SegmentationObject" / "x.png", labels)
    save(tmp_path / "SegmentationClass" / "x.png", np.where(labels == 2, 1, labels) * 5)
    listed = tmp_path / "ImageSets" / "Segmentation" / "val.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("x\n")
    return tmp_path


def test_voc_labels_are_objects_and_255_is_ignored(voc):
    data = open_masks(voc)
    assert data.layout == "VOC val, SegmentationObject"
    objects = data.objects(data.paths[0])
    np.testing.assert_array_equal(objects.masks, [box(0, 0, 2, 4), box(3, 0, 4, 4)])
    np.testing.assert_array_equal(objects.ignore, box(2, 0, 3, 4))


def test_voc_without_objects_takes_classes_as_objects(voc):
    (voc / "SegmentationObject").rename(voc / "elsewhere")
    labels = np.asarray(Image.open(voc / "SegmentationClass" / "x.png")).copy()
    labels[2] = 255
    save(voc / "SegmentationClass" / "x.png", labels)
    data = open_masks(voc)
    objects = data.objects(data.paths[0])
    np.testing.assert_array_equal(objects.masks, [box(0, 0, 2, 4) | box(3, 0, 4, 4)])


def test_palette_indices_are_labels_whatever_their_colours(voc):
    labels = np.asarray(Image.open(voc / "SegmentationObject" / "x.png"))
    picture = Image.fromarray(labels, mode="P")
    picture.putpalette([0, 0, 0, 9, 9, 9, 0, 0, 0] + [200] * 3 * 253)
    picture.save(voc / "SegmentationObject" / "x.png")
    data = open_masks(voc)
    assert data.objects(data.paths[0]).masks.shape == (2, 4, 4)


@pytest.fixture
def folders(tmp_path):
    """images/ and masks/ with one photo of 4×4 px, its upper half marked faintly."""
    save(tmp_path / "images" / "x.jpg", np.zeros((4, 4, 3), np.uint8))
    save(tmp_path / "masks" / "x.png", box(0, 0, 2, 4).astype(np.uint8))
    return tmp_path


def test_whatever_is_not_zero_in_a_mask_is_the_object(folders):
    data = open_masks(folders)
    objects = data.objects(data.paths[0])
    np.testing.assert_array_equal(objects.masks, [box(0, 0, 2, 4)])
    assert not objects.ignore.any()
    colours = np.zeros((4, 4, 4), np.uint8)
    colours[..., 3], colours[3, :, 2] = 255, 1  # opaque everywhere, blue in the last row
    Image.fromarray(colours).save(folders / "masks" / "x.png")
    np.testing.assert_array_equal(data.objects(data.paths[0]).masks, [box(3, 0, 4, 4)])


def coco(folder, *annotations: dict, name: str = "x.jpg"):
    document = {
        "images": [{"id": 7, "file_name": name, "height": 4, "width": 4}],
        "annotations": [{"image_id": 7, **annotation} for annotation in annotations],
    }
    (folder / "instances.json").write_text(json.dumps(document))
    return folder


def test_coco_objects_and_crowds(folders):
    (folders / "masks" / "x.png").unlink()
    (folders / "masks").rmdir()
    upper = {"segmentation": [[0, 0, 4, 0, 4, 2, 0, 2]], "iscrowd": 0}
    crowd = {"segmentation": {"size": [4, 4], "counts": [12, 4]}, "iscrowd": 1}
    for root in (coco(folders, upper, crowd), coco(folders, upper, crowd) / "instances.json"):
        data = open_masks(root)
        assert data.paths == (folders / "images" / "x.jpg",)
        objects = data.objects(data.paths[0])
        np.testing.assert_array_equal(objects.masks, [box(0, 0, 2, 4)])
        np.testing.assert_array_equal(objects.ignore, box(0, 3, 4, 4))


def test_coco_of_the_reference_material_is_read_whole(shared):
    data = open_masks(shared / "data" / "coco-masks")
    assert len(data.paths) == 94  # 2 of 96 photos have no object
    for path in data.paths[::30]:
        objects = data.objects(path)
        assert objects.masks.shape[1:] == dino.decode(path.read_bytes()).shape[:2]
        assert objects.masks.any(axis=(1, 2)).all()


def test_missing_parts_are_named(tmp_path, folders, voc):
    with pytest.raises(UserError, match="JPEGImages/, or a COCO JSON"):
        open_masks(tmp_path / "ImageSets")
    (voc / "SegmentationObject" / "x.png").unlink()
    with pytest.raises(UserError, match=r"x\.png is missing, but .*val\.txt names it"):
        open_masks(voc)
    with pytest.raises(UserError, match=r"lacks ImageSets/Segmentation/train\.txt"):
        open_masks(voc, split="train")


def test_a_photo_without_its_mask_is_named(folders):
    (folders / "masks" / "x.png").unlink()
    with pytest.raises(UserError, match=r"1 of 1 photos have no mask, the first x\.jpg"):
        open_masks(folders)


def test_a_mask_of_another_size_is_named(folders):
    save(folders / "masks" / "x.png", np.ones((5, 4), np.uint8))
    with pytest.raises(UserError, match=r"x\.jpg is 4×4 px and its mask 5×4"):
        attention_jaccard(network(HEADS), open_masks(folders), size=4)
    (folders / "masks" / "x.png").write_bytes(b"no PNG")
    with pytest.raises(UserError, match="not a readable mask"):
        attention_jaccard(network(HEADS), open_masks(folders), size=4)


def test_coco_that_is_none_or_lacks_its_photos_is_named(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("{}")
    with pytest.raises(UserError, match="not a COCO annotation file"):
        open_masks(file)
    coco(tmp_path, {"segmentation": [[0, 0, 4, 0, 4, 2]]}, name="gone.jpg")
    with pytest.raises(UserError, match=r"names gone\.jpg, .*say where its photos are"):
        open_masks(tmp_path / "instances.json")
    coco(tmp_path)
    with pytest.raises(UserError, match="lists no photo with an object"):
        open_masks(tmp_path / "instances.json")


def test_arguments_out_of_range_are_named(folders):
    data = open_masks(folders)
    with pytest.raises(UserError, match=r"mass is 1\.5"):
        attention_jaccard(network(HEADS), data, size=4, masses=[1.5])
    with pytest.raises(UserError, match="at least one patch"):
        attention_jaccard(network(HEADS), data, size=1)
    save(folders / "masks" / "x.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(UserError, match="no readable photo with an object"):
        attention_jaccard(network(HEADS), data, size=4)


# Real networks ---------------------------------------------------------------------------------


def test_sizes_are_taken_down_to_whole_patches(folders, small_weights):
    backbone, data = dino.load(small_weights, precision="fp32"), open_masks(folders)
    exact, more = (attention_jaccard(backbone, data, size=size) for size in (32, 39))
    assert exact == more


def test_a_random_twin_is_the_same_network_before_learning(small_weights):
    backbone = dino.load(small_weights, precision="fp32")
    before = backbone.module.state_dict()["blocks.0.attn.qkv.weight"].clone()
    twin, again, other = (random_twin(backbone, seed=seed) for seed in (0, 0, 1))
    assert twin.is_random
    assert twin.weights_sha256 == again.weights_sha256 != other.weights_sha256
    state = twin.module.state_dict()
    assert float(state["blocks.1.mlp.fc1.weight"].std()) == pytest.approx(0.02, rel=0.05)
    assert float(state["pos_embed"].std()) == pytest.approx(0.02, rel=0.05)
    bound = (3 * 8 * 8) ** -0.5
    assert 0.9 * bound < float(state["patch_embed.proj.weight"].abs().max()) <= bound
    assert not state["blocks.0.attn.qkv.bias"].any()
    assert bool((state["norm.weight"] == 1).all())
    assert torch.equal(backbone.module.state_dict()["blocks.0.attn.qkv.weight"], before)
    assert not backbone.is_random


def test_trained_attention_covers_objects_better_than_random_and_everything(shared):
    """Every 87th photo, against masks enlarged and compared one by one."""
    weights = shared / "weights" / "vits14_dinov2_saliency.fp16.safetensors"
    backbone = dino.load(weights, precision="fp32")
    data = open_masks(shared / "data" / "caltech-masks")
    data = replace(data, paths=data.paths[::87])
    found = attention_jaccard(backbone, data, size=140, masses=[0.8])
    best = []
    for path in data.paths:
        reference = np.asarray(Image.open(data.root / "masks" / f"{path.stem}.png")) > 127
        image, geometry = dino.preprocess(
            dino.decode(path.read_bytes()), size=140, patch_size=14, fit="stretch",
            resample="bicubic", mean=backbone.mean, std=backbone.std,
        )  # fmt: skip
        masks = dino.mass_mask(backbone.attention(image).weights[0, 0, 0], 0.8).numpy()
        best.append(max(dino.jaccard(mask, reference) for mask in geometry.to_photo(masks)))
    assert found.at(0.8).best_head == pytest.approx(np.mean(best), abs=1e-12)
    random = attention_jaccard(random_twin(backbone), data, size=140, masses=[0.8])
    assert found.at(0.8).best_head > 0.1 + max(random.at(0.8).best_head, found.all_foreground)
