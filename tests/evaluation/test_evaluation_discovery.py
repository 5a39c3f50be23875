"""Measures of discovery counted by hand on photos of 4×4 px, and against masks enlarged."""

import numpy as np
import pytest
from PIL import Image

import dino
from dino.errors import UserError
from dino.evaluation.mask_data import MaskData, Objects, open_masks
from dino.evaluation.mask_measures import (
    PatchCounts,
    box_ious,
    everything_found,
    f_curve,
    f_measure,
    mean_scores,
    photo_box,
    score_found,
)
from dino.evaluation.segmentation import attention_jaccard
from dino.masks.coco import read_coco
from dino.masks.discovery.methods import Discovery
from dino.media.preprocessing import plan
from dino.media.regions import box_of

NOTHING = np.zeros((4, 4), dtype=bool)
GEOMETRY = plan((4, 4), size=4, patch_size=2, fit="stretch")


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((4, 4), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def found_as(*masks, scores=None, method: str = "tokencut") -> Discovery:
    """A discovery of these masks of 2×2 patches."""
    stacked = np.array(masks, dtype=bool).reshape(-1, 2, 2)
    values = stacked if scores is None else np.array([scores])
    boxes = tuple(box_of(mask) for mask in stacked)
    return Discovery(method, stacked, ((0, 0),) * len(masks), boxes, values.astype(np.float32))


def scored(found: Discovery, *objects: np.ndarray, ignore: np.ndarray = NOTHING):
    known = Objects(np.stack(objects), ignore)
    return score_found(found, PatchCounts.of(known, GEOMETRY), known.boxes, GEOMETRY)


LEFT, BOTTOM, CORNER = [[1, 0], [1, 0]], [[0, 0], [1, 1]], [[1, 0], [0, 0]]


def test_jaccard_of_the_best_and_of_the_first_mask():
    """Objects: left half, bottom half. Masks: the top left patch (4 px), the bottom half."""
    one = scored(found_as(CORNER, BOTTOM, method="maskcut"), box(0, 0, 4, 2), box(2, 0, 4, 4))
    # Left half: 4/8 by the first, 4/12 by the second. Bottom half: 0/12 and 1.
    assert one.best_mask == pytest.approx((4 / 8 + 1) / 2)
    assert one.first_mask == pytest.approx((4 / 8 + 0) / 2)
    assert one.num_found == 2
    assert one.curve is None


def test_iou_accuracy_and_f_of_all_masks_with_all_objects():
    """Masks together: top left and the bottom half, 12 px. Object: left half, 8 px; 8 in both."""
    one = scored(found_as(CORNER, BOTTOM, method="maskcut"), box(0, 0, 4, 2))
    assert one.iou == pytest.approx(8 / 12)
    assert one.accuracy == pytest.approx(12 / 16)
    precision, recall = 8 / 12, 1.0
    assert one.f_beta == pytest.approx(1.3 * precision * recall / (0.3 * precision + recall))


def test_pixels_to_ignore_count_nowhere():
    """The mask is the left half; of the object, the top half, its right 4 px are ignored."""
    one = scored(found_as(LEFT), box(0, 0, 2, 4), ignore=box(0, 2, 2, 4))
    assert one.first_mask == pytest.approx(4 / 8)
    assert one.iou == pytest.approx(4 / 8)
    assert one.accuracy == pytest.approx(8 / 12)
    precision, recall = 4 / 8, 1.0
    assert one.f_beta == pytest.approx(1.3 * precision * recall / (0.3 * precision + recall))


def test_f_weighs_precision_more():
    assert f_measure(np.array(4), np.array(8), 4) == pytest.approx(1.3 * 0.5 / (0.15 + 1))
    assert f_measure(np.array(4), np.array(4), 8) == pytest.approx(1.3 * 0.5 / (0.3 + 0.5))
    assert f_measure(np.array(0), np.array(0), 8) == 0


def test_the_curve_of_f_by_hand():
    """A map of 0, ⅓, ⅔ and 1 for patches a b / c d, of which c and d are the object. Marked are at
    threshold 0 all, up to ⅓ b c d, up to ⅔ c d, above d alone."""
    known = Objects(box(2, 0, 4, 4)[None], NOTHING)
    curve = f_curve(np.array([[[3, 4], [5, 6]]], np.float32), PatchCounts.of(known, GEOMETRY))
    all_, three, two, one = (f_measure(np.array(b), np.array(m), 8) for b, m in
                             ((8, 16), (8, 12), (8, 8), (4, 4)))  # fmt: skip
    assert curve[0] == pytest.approx(all_)
    np.testing.assert_allclose(curve[1:86], three)
    np.testing.assert_allclose(curve[86:171], two)
    np.testing.assert_allclose(curve[171:], one)
    assert two == pytest.approx(1.0)


def test_max_f_takes_one_threshold_for_the_set():
    """Two photos whose best thresholds differ: the mean of both at one, not of each one's best."""
    curves = [np.array([0.2, 0.9, 0.1]), np.array([0.3, 0.2, 0.8])]
    photos = [scored(found_as(LEFT), box(0, 0, 4, 2)) for _ in curves]
    photos = [type(one)(**{**vars(one), "curve": c}) for one, c in zip(photos, curves, strict=True)]
    assert mean_scores("tokencut", photos).max_f == pytest.approx(0.55)


def test_boxes_meet_by_their_areas():
    boxes = np.array([[0, 0, 4, 2], [2, 0, 4, 4], [0, 2, 4, 4]], float)
    np.testing.assert_allclose(box_ious((0, 0, 4, 2), boxes), [1, 4 / 12, 0])


def test_corloc_wants_more_than_half():
    """The found box is the left half, 8 px². An object of the left 3 columns meets it with 8/12;
    the whole photo with ½, which is not enough."""
    near, whole = box(0, 0, 4, 3), box(0, 0, 4, 4)
    assert scored(found_as(LEFT), near).is_located
    assert not scored(found_as(LEFT), whole).is_located
    assert scored(found_as(LEFT), whole, near).is_located  # any object will do
    # Of several masks the first one's box is taken.
    assert not scored(found_as(BOTTOM, LEFT, method="maskcut"), near).is_located
    photos = [scored(found_as(LEFT), one) for one in (near, whole, whole, near, near)]
    assert mean_scores("tokencut", photos).corloc == pytest.approx(3 / 5)


def test_boxes_lie_in_photo_pixels():
    geometry = plan((30, 60), size=4, patch_size=2, fit="stretch")
    assert photo_box(found_as(BOTTOM), geometry) == (15, 0, 30, 60)


def test_where_nothing_is_found_all_is_missed():
    one = scored(found_as(), box(0, 0, 1, 4))
    assert (one.best_mask, one.first_mask, one.iou, one.f_beta, one.num_found) == (0, 0, 0, 0, 0)
    assert not one.is_located
    assert one.accuracy == pytest.approx(12 / 16)
    assert not one.curve.any()


def test_the_whole_photo_as_an_object():
    one = scored(everything_found(GEOMETRY), box(0, 0, 4, 3))
    assert one.first_mask == one.iou == one.accuracy == pytest.approx(12 / 16)
    assert one.is_located  # 12/16 is above ½
    assert one.curve.max() == pytest.approx(one.f_beta)


def test_measures_are_those_of_masks_enlarged():
    rng = np.random.default_rng(0)
    geometry = plan((23, 31), size=24, patch_size=4, fit="stretch")
    masks = np.zeros((2, *geometry.grid), bool)
    masks[0, 1:3, 2:5], masks[1, 4:, :3] = True, True
    objects = Objects(rng.random((3, 23, 31)) > 0.6, rng.random((23, 31)) > 0.9)
    found = Discovery("maskcut", masks, ((1, 2), (4, 0)), tuple(map(box_of, masks)),
                      masks.astype(np.float32))  # fmt: skip
    one = score_found(found, PatchCounts.of(objects, geometry), objects.boxes, geometry)
    counts, large = ~objects.ignore, geometry.to_photo(masks)
    each = [[dino.jaccard(m[counts], o[counts]) for o in objects.masks] for m in large]
    assert one.best_mask == pytest.approx(np.max(each, axis=0).mean())
    both = large.any(0)[counts], objects.masks.any(0)[counts]
    assert one.iou == pytest.approx(dino.jaccard(*both))
    assert one.accuracy == pytest.approx((both[0] == both[1]).mean())


# Boxes of objects ------------------------------------------------------------------------------


def test_boxes_are_as_given_else_those_of_the_masks():
    masks = np.stack([box(1, 2, 3, 4), box(0, 0, 4, 1)])
    np.testing.assert_array_equal(Objects(masks, NOTHING).boxes, [[1, 2, 3, 4], [0, 0, 4, 1]])
    given = Objects(masks, NOTHING, ((0.5, 2, 3, 4.25), None))
    np.testing.assert_array_equal(given.boxes, [[0.5, 2, 3, 4.25], [0, 0, 4, 1]])
    assert Objects(masks[:0], NOTHING).boxes.shape == (0, 4)


def test_coco_tells_boxes_and_leaves_crowds_out(tmp_path):
    import json

    outline = [[0, 0, 4, 0, 4, 2, 0, 2]]
    nowhere = [[8, 8, 9, 8, 9, 9]]
    annotations = [
        {"segmentation": {"size": [4, 4], "counts": [12, 4]}, "iscrowd": 1, "bbox": [0, 3, 4, 1]},
        {"segmentation": nowhere, "bbox": [8, 8, 1, 1]},
        {"segmentation": outline, "bbox": [0, 0, 4, 2.5]},
        {"segmentation": outline},
    ]
    document = {
        "images": [{"id": 7, "file_name": "x.png", "height": 4, "width": 4}],
        "annotations": [{"image_id": 7, **one} for one in annotations],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "x.png")
    data = open_masks(tmp_path / "a.json")
    # What has no pixel in the photo is no object, and its box goes with it.
    np.testing.assert_array_equal(data.objects(data.paths[0]).boxes, [[0, 0, 2.5, 4], [0, 0, 2, 4]])
    document["annotations"][2]["bbox"] = ["left", 0, 1, 1]
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="not a COCO annotation file"):
        read_coco(tmp_path / "a.json")


def test_boxes_of_the_reference_material_are_those_of_its_masks(shared):
    data = open_masks(shared / "data" / "coco-masks")
    apart = []
    for path in data.paths[::12]:
        objects = data.objects(path)
        own = Objects(objects.masks, objects.ignore).boxes
        apart.append(np.abs(objects.boxes - own).max(axis=1))
    assert np.mean(np.concatenate(apart) < 2) > 0.95  # px


# From photos -----------------------------------------------------------------------------------


def test_discovery_of_a_set(small_weights, photo_file, tmp_path):

    y, x = np.mgrid[0:120, 0:160]
    disc = (y - 60) ** 2 + (x - 100) ** 2 < 30**2
    objects = Objects(disc[None], np.zeros_like(disc))
    data = MaskData(photo_file.parent, "by hand", (photo_file,), lambda path: objects)
    backbone = dino.load(small_weights, precision="fp32")
    plain = attention_jaccard(backbone, data, size=64, masses=[0.6])
    both = attention_jaccard(
        backbone,
        data,
        size=64,
        masses=[0.6],
        discovery=("lost", "maskcut", "lost"),
        keys="centered",
    )
    assert plain.discovery == ()
    assert both.masses[0].heads == pytest.approx(plain.masses[0].heads, abs=1e-6)
    assert [one.method for one in both.discovery] == ["lost", "maskcut", "all foreground"]
    image, geometry = dino.preprocess(
        dino.decode(photo_file.read_bytes()), size=64, patch_size=8, fit="stretch",
        resample="bicubic", mean=backbone.mean, std=backbone.std,
    )  # fmt: skip
    lost = dino.discover(backbone, image, method="lost", keys="centered")
    expected = dino.jaccard(geometry.to_photo(lost.masks)[0], disc)
    assert both.discovery[0].first_mask == pytest.approx(expected)
    assert both.discovery[-1].best_mask == pytest.approx(both.all_foreground)
    with pytest.raises(UserError, match="method is 'sam'"):
        attention_jaccard(backbone, data, size=64, discovery=["sam"])
    with pytest.raises(UserError, match="keys is 'raw'"):
        attention_jaccard(backbone, data, size=64, keys="raw")


def test_a_flat_photo_counts_as_nothing_found(tmp_path, small_weights):
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(tmp_path / "flat.png")
    objects = Objects(np.ones((1, 32, 32), bool), np.zeros((32, 32), bool))
    data = MaskData(tmp_path, "by hand", (tmp_path / "flat.png",), lambda path: objects)
    backbone = dino.load(small_weights, precision="fp32")
    # One patch: nothing to cut.
    found = attention_jaccard(backbone, data, size=8, masses=[0.6], discovery=("tokencut", "lost"))
    cut, lost, _ = found.discovery
    assert (cut.best_mask, cut.corloc, cut.num_found) == (0, 0, 0)
    assert (lost.best_mask, lost.corloc, lost.num_found) == (1, 1, 1)


def test_discovery_on_a_voc_folder(tmp_path, small_weights, photo_file):
    """Two objects and a border that counts nowhere, as VOC2012 has them."""
    y, x = np.mgrid[0:120, 0:160]
    distance = (y - 60) ** 2 + (x - 100) ** 2
    labels = np.where(distance < 30**2, 1, np.where(distance < 34**2, 255, 0)).astype(np.uint8)
    labels[:20, :40] = 2
    for folder in ("JPEGImages", "SegmentationObject", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    with Image.open(photo_file) as picture:
        picture.save(tmp_path / "JPEGImages" / "x.jpg")
    Image.fromarray(labels).save(tmp_path / "SegmentationObject" / "x.png")
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("x\n")
    data = open_masks(tmp_path)
    np.testing.assert_array_equal(
        data.objects(data.paths[0]).boxes, [[31, 71, 90, 130], [0, 0, 20, 40]]
    )
    backbone = dino.load(small_weights, precision="fp32")
    found = attention_jaccard(backbone, data, size=64, masses=[0.6], discovery=("maskcut",))
    whole = found.discovery[-1]
    counts = (labels != 255).sum()
    shares = [(labels == number).sum() / counts for number in (1, 2)]
    assert whole.best_mask == pytest.approx(np.mean(shares))
    assert whole.iou == pytest.approx(sum(shares))
    assert found.num_objects == 2
