"""Average precision against the original's figures and by hand; features of several scales."""

import math

import numpy as np
import pytest
import torch
from helpers.retrieval_cases import class_folder, pattern, save
from torch.nn import functional as F

import dino
from dino.errors import UserError
from dino.evaluation import mean_average_precision
from dino.evaluation.retrieval import Truth, rankings, same_class, score_ranking, search
from dino.evaluation.retrieval_data import PhotoSet, open_classes, spread
from dino.evaluation.scales import SCALES, at_scale, multiscale_cls, multiscale_features, thumbnail


@pytest.fixture(scope="module")
def backbone(small_weights):
    return dino.load(small_weights, precision="fp32", device="cpu")


def photo_set(paths, boxes=None) -> PhotoSet:
    return PhotoSet(paths[0].parent, tuple(paths), tuple(boxes or [None] * len(paths)))


def test_scores_equal_the_original(golden):
    arrays = golden("retrieval")
    num = arrays["ranks"].shape[1]
    truth = [{"ok": arrays[f"{q}/ok"], "junk": arrays[f"{q}/junk"]} for q in range(num)]
    found = mean_average_precision(arrays["ranks"], truth, arrays["kappas"].tolist())
    np.testing.assert_allclose(found.map, arrays["map"], atol=1e-5)
    np.testing.assert_allclose(found.aps, arrays["aps"], atol=1e-5)
    np.testing.assert_allclose(found.pr, arrays["pr"], atol=1e-5)
    assert found.prs.shape == (num, 3)


def test_average_precision_by_hand():
    # Found at places 0 and 2 of 5: trapezoids (1 + 1)/2 and (1/2 + 2/3)/2, each half of the recall.
    order = np.array([4, 0, 2, 1, 3])
    precision, (first, third) = score_ranking(order, Truth([4, 2]), (1, 3))
    assert precision == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert (first, third) == (1.0, pytest.approx(2 / 3))


def test_junk_is_passed_over():
    order = np.array([9, 4, 8, 0, 2, 7])
    with_junk = score_ranking(order, Truth([4, 2], [9, 8, 7]))
    without = score_ranking(np.array([4, 0, 2]), Truth([4, 2]))
    assert with_junk == without
    # What is both relevant and junk is junk.
    assert score_ranking(order, Truth([4, 2, 9], [9, 8, 7])) == without


def test_what_is_not_ranked_counts_as_not_found():
    found, (at_one,) = score_ranking(np.array([3, 1]), Truth([1, 5]), (1,))
    assert found == pytest.approx((0 / 1 + 1 / 2) / 2 / 2)
    assert at_one == 0
    assert score_ranking(np.array([3, 1]), Truth([1]), (1,), depth=1) == (0.0, [0.0])


def test_precision_looks_no_further_than_the_last_relevant_image():
    _, precisions = score_ranking(np.arange(20), Truth([0, 2]), (1, 2, 5, 10))
    assert precisions == pytest.approx([1, 1 / 2, 2 / 3, 2 / 3])


def test_queries_with_nothing_to_find_count_nowhere():
    ranks = np.array([[0, 1], [1, 0]])
    found = mean_average_precision(ranks, [{"ok": []}, {"ok": [0]}])
    assert math.isnan(found.aps[0])
    assert found.map == found.aps[1] == pytest.approx(0.25)
    with pytest.raises(UserError, match="none of the 2 queries"):
        mean_average_precision(ranks, [{"ok": []}, {"ok": [0], "junk": [0]}])


@pytest.mark.parametrize(
    ("ranks", "truth", "kappas", "says"),
    [
        (np.zeros((3, 2)), [{"ok": [0]}], (1,), "a column each"),
        (np.zeros(3), [{"ok": [0]}], (1,), "a column each"),
        (np.array([[0]]), [{"easy": [0]}], (1,), 'expected "ok"'),
        (np.array([[0]]), [{"ok": [0]}], (0,), "1 or more"),
    ],
)
def test_what_does_not_fit_is_named(ranks, truth, kappas, says):
    with pytest.raises(UserError, match=says):
        mean_average_precision(ranks, truth, kappas)


def test_equal_cosines_keep_the_order_of_the_database():
    database = torch.tensor([[0.0, 1.0], [3.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    (order,) = rankings(database, torch.tensor([[5.0, 0.0]]))
    assert order.tolist() == [1, 2, 3, 0]


def test_a_search_scores_the_ranking_of_all_queries():
    rng = torch.Generator().manual_seed(0)
    database, queries = torch.randn(40, 6, generator=rng), torch.randn(300, 6, generator=rng)
    truths = [Truth([q % 40, (q + 7) % 40], [(q + 1) % 40]) for q in range(300)]
    found = search(database, queries, {"all": truths}, kappas=(1, 5), top=3)
    cosines = F.normalize(database, dim=1) @ F.normalize(queries, dim=1).T
    ranks = np.argsort(-cosines.numpy(), axis=0, kind="stable")
    expected = mean_average_precision(ranks, [{"ok": t.ok, "junk": t.junk} for t in truths], (1, 5))
    np.testing.assert_allclose(found.scores["all"].aps, expected.aps, atol=1e-6)
    np.testing.assert_allclose(found.scores["all"].pr, expected.pr, atol=1e-6)
    for q in (0, 150, 299):
        assert found.first[q].tolist() == [r for r in ranks[:, q] if r != (q + 1) % 40][:3]


def test_first_is_filled_up_where_the_database_ends():
    found = search(torch.eye(2), torch.eye(2), {"c": same_class([0, 0])}, top=3)
    assert found.first.tolist() == [[1, -1, -1], [0, -1, -1]]
    with pytest.raises(UserError, match="of one width"):
        search(torch.eye(2), torch.eye(3)[:2], {"c": same_class([0, 0])})


def test_by_class_nobody_finds_himself():
    truths = same_class([0, 1, 0])
    assert [list(t.ok) for t in truths] == [[0, 2], [1], [0, 2]]
    assert [t.junk for t in truths] == [(0,), (1,), (2,)]
    apart = same_class([0, 1, 0], [1, 5])
    assert [list(t.ok) for t in apart] == [[1], []]


def test_scales_are_cut_to_whole_patches():
    images = torch.arange(2 * 3 * 40 * 56, dtype=torch.float32).view(2, 3, 40, 56)
    assert torch.equal(at_scale(images, 1.0, 16), images[..., :32, :48])
    half = at_scale(images, 0.5, 8)
    assert half.shape[-2:] == (16, 24)
    # Halved bilinearly, a pixel is the mean of four.
    assert half[0, 0, 0, 0] == images[0, 0, :2, :2].mean()
    assert at_scale(images, 0.5, 32).shape[-2:] == (32, 32)


def test_features_are_the_normalised_sum_over_scales(backbone):
    images = torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    half = F.interpolate(images, scale_factor=0.5, mode="bilinear", align_corners=False)
    middle = F.interpolate(images, scale_factor=2**-0.5, mode="bilinear", align_corners=False)
    assert middle.shape[-2:] == (33, 45)
    parts = [backbone.tokens(x).cls for x in (images, middle[..., :32, :40], half)]
    expected = sum(parts) / sum(parts).norm(dim=1, keepdim=True)
    np.testing.assert_allclose(multiscale_cls(backbone, images, SCALES), expected, atol=1e-6)


def test_photos_of_all_shapes_keep_their_aspect_and_their_place(backbone, tmp_path):
    shapes = [(48, 64), (64, 48), (48, 64), (200, 100), (9, 30), (48, 64)]
    paths = [
        save(pattern(number, *shape), tmp_path / f"{number}.png")
        for number, shape in enumerate(shapes)
    ]
    assert thumbnail(pattern(0, 200, 100), 64).shape == (64, 32, 3)
    assert thumbnail(pattern(0, 48, 64), 224).shape == (48, 64, 3)  # never enlarged
    whole, rows = multiscale_features(backbone, photo_set(paths), size=64, workers=1)
    assert rows == list(range(6))
    np.testing.assert_allclose(whole.norm(dim=1), 1, atol=1e-6)
    for row in range(6):
        alone, _ = multiscale_features(backbone, photo_set([paths[row]]), size=64, workers=0)
        np.testing.assert_allclose(whole[row], alone[0], atol=1e-5)
    paths[2].write_bytes(b"no photo")
    left, rows = multiscale_features(backbone, photo_set(paths), size=64, workers=0)
    assert rows == [0, 1, 3, 4, 5]
    np.testing.assert_allclose(left, whole[rows], atol=1e-5)


def test_many_shapes_are_not_held_back_for_ever(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr("dino.evaluation.scales._BATCH_PHOTOS", 2)
    monkeypatch.setattr("dino.evaluation.scales._WAITING_BATCHES", 1)
    paths = [
        save(pattern(number, 24 + 8 * (number % 4), 40), tmp_path / f"{number}.png")
        for number in range(9)
    ]
    batches = []
    few, rows = multiscale_features(
        backbone, photo_set(paths), size=224, workers=0, progress=lambda *done: batches.append(done)
    )
    assert rows == list(range(9))
    assert len(batches) > 4
    assert batches[-1] == (9, 9)
    monkeypatch.undo()
    many, _ = multiscale_features(backbone, photo_set(paths), size=224, workers=0)
    np.testing.assert_allclose(few, many, atol=1e-5)


def test_a_box_cuts_the_query(backbone, tmp_path):
    both = np.concatenate([pattern(3), pattern(4)], axis=1)
    path = save(both, tmp_path / "both.png")
    np.testing.assert_array_equal(thumbnail(both, 64, (64.2, -3, 128, 900)), pattern(4))
    boxed, _ = multiscale_features(backbone, photo_set([path], [(64.0, 0.0, 128.0, 48.0)]), size=64)
    alone = save(pattern(4), tmp_path / "alone.png")
    expected, _ = multiscale_features(backbone, photo_set([alone]), size=64)
    np.testing.assert_allclose(boxed, expected, atol=1e-6)
    outside = photo_set([path], [(130.0, 0.0, 140.0, 10.0)])
    for workers in (0, 1):
        with pytest.raises(UserError, match=r"^\S+both.png: got the box .* inside it") as caught:
            multiscale_features(backbone, outside, size=64, workers=workers)
        assert "Traceback" not in str(caught.value)


def test_a_small_random_network_finds_exact_copies_first(backbone, tmp_path):
    for number in range(8):
        save(pattern(number), tmp_path / f"{number:02}" / "a.png")
        save(pattern(number), tmp_path / f"{number:02}" / "b.png")
    data = open_classes(tmp_path)
    features, rows = multiscale_features(backbone, data.database, size=64, workers=0)
    found = search(features, features, data.without(rows, rows), top=1)
    assert found.scores["class"].map == 1.0
    assert found.first[:, 0].tolist() == [row ^ 1 for row in range(16)]


def test_classes_are_numbered_alike_in_database_and_queries(tmp_path):
    database = class_folder(tmp_path / "database")
    queries = class_folder(tmp_path / "queries", num_classes=2, num_photos=1)
    data = open_classes(database, queries)
    assert [list(truth.ok) for truth in data.protocols["class"]] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert data.asking.paths[1].name == "1-0.png"
    kept = data.without([0, 2, 5, 11], [1])
    assert [list(truth.ok) for truth in kept["class"]] == [[2]]
    (queries / "class-0").rename(queries / "other")
    with pytest.raises(UserError, match="give both folders the same classes"):
        open_classes(database, queries)


def test_photos_without_a_match_are_listed(tmp_path):
    root = class_folder(tmp_path / "photos", num_photos=2)
    save(pattern(9), root / "alone" / "one.png")
    assert [path.name for path in open_classes(root).lonely] == ["one.png"]
    single = class_folder(tmp_path / "single", num_photos=1)
    with pytest.raises(UserError, match="one photo a class"):
        open_classes(single)
    with pytest.raises(UserError, match="in a sub-folder of its own"):
        open_classes(root / "alone")


def test_a_part_of_a_folder_is_spread_over_it():
    assert spread(10, 4) == [0, 2, 5, 7]
    assert spread(3, 5) == spread(3, None) == [0, 1, 2]
