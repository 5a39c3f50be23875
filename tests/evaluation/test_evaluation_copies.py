"""Copies made of photos, descriptors and whitening by hand, and finding originals."""

import hashlib

import numpy as np
import pytest
import torch
from helpers.retrieval_cases import pattern, save
from PIL import Image

import dino
from dino.errors import UserError
from dino.evaluation.copies import copy_detection
from dino.evaluation.copies_data import is_copydays, open_copydays, open_photos
from dino.evaluation.descriptors import descriptors, fit_whitening, gem, kept_descriptors
from dino.evaluation.distortions import DISTORTIONS, Square, SquareCopies, copies, distort
from dino.features.cache import FeatureCache
from dino.media.photo_folders import open_folder


@pytest.fixture(scope="module")
def backbone(small_weights):
    return dino.load(small_weights, precision="fp32", device="cpu")


@pytest.fixture
def photos(tmp_path):
    for number in range(12):
        save(pattern(number), tmp_path / "photos" / f"{number:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def copydays(tmp_path):
    """Three originals, copies of two in strong/, of all in jpegqual/, and exact ones in crops/."""
    root = tmp_path / "copydays"
    for number in range(3):
        rgb = pattern(number)
        save(rgb, root / "original" / f"20{number:02}00.jpg")
        save(rgb, root / "crops" / "10" / f"20{number:02}00.jpg")
        save(rgb[:, 8:], root / "jpegqual" / "5" / f"20{number:02}00.jpg")
    for name, number in (("200001", 0), ("200002", 0), ("200201", 2)):
        save(pattern(number)[4:, 4:], root / "strong" / f"{name}.jpg")
    for number in range(20, 30):
        save(pattern(number), root.parent / "others" / f"{number}.png")
    return root


def fingerprint(pictures: dict) -> dict:
    return {name: hashlib.sha256(p.tobytes()).hexdigest() for name, p in pictures.items()}


# Distortions -----------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes():
    rgb = pattern(1, 120, 160)
    first = fingerprint(copies(rgb, np.random.default_rng((0, 7))))
    assert list(first) == list(DISTORTIONS)
    assert len(set(first.values())) == len(DISTORTIONS)
    assert fingerprint(copies(rgb, np.random.default_rng((0, 7)))) == first
    other = fingerprint(copies(rgb, np.random.default_rng((0, 8))))
    drawn = {name for name in first if other[name] != first[name]}
    assert {"crop-50", "text", "strong"} <= drawn
    assert not drawn & {"jpeg-10", "blur-1"}


def test_each_copy_is_the_same_whichever_others_are_asked_for():
    rgb = pattern(2, 120, 160)
    every = fingerprint(copies(rgb, np.random.default_rng((0, 1))))
    some = fingerprint(copies(rgb, np.random.default_rng((0, 1)), ["strong", "crop-20"]))
    assert some == {name: every[name] for name in ("strong", "crop-20")}


@pytest.mark.parametrize(
    ("name", "removed"), [("crop-20", 0.2), ("crop-50", 0.5), ("crop-80", 0.8)]
)
def test_a_crop_is_a_part_of_the_photo(name, removed):
    rgb = np.random.default_rng(0).integers(0, 256, (100, 200, 3), dtype=np.uint8)
    found = distort(rgb, name, np.random.default_rng(3))
    height, width = found.shape[:2]
    assert height * width / 20000 == pytest.approx(1 - removed, abs=0.01)
    assert width / height == pytest.approx(2, abs=0.05)
    windows = np.lib.stride_tricks.sliding_window_view(rgb[..., 0], (height, width))
    assert (windows == found[..., 0]).all(axis=(2, 3)).sum() == 1


def test_a_quarter_turn_loses_nothing():
    rgb = pattern(3, 40, 60)
    turned = {distort(rgb, "rotation-90", np.random.default_rng(n)).tobytes() for n in range(8)}
    assert turned == {np.rot90(rgb).tobytes(), np.rot90(rgb, -1).tobytes()}
    slanted = distort(rgb, "rotation-15", np.random.default_rng(0))
    assert slanted.shape[0] > 40
    assert not slanted[0, 0].any()


def test_jpeg_and_blur_lose_detail_by_degrees():
    rgb = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    rng = np.random.default_rng(0)

    def error(name):
        return np.abs(distort(rgb, name, rng).astype(int) - rgb).mean()

    assert 0 < error("jpeg-30") < error("jpeg-10") < error("jpeg-3")
    assert distort(rgb, "jpeg-3", rng).shape == rgb.shape
    assert rgb.std() > distort(rgb, "blur-1", rng).std() > distort(rgb, "blur-4", rng).std() > 0


def test_text_changes_a_part_only():
    rgb = np.full((120, 160, 3), 128, np.uint8)
    written = (distort(rgb, "text", np.random.default_rng(0)) != rgb).any(axis=2)
    assert 0.05 < written.mean() < 0.6


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 200, 3), (5, 4, 3)])
def test_tiny_photos_are_distorted_too(shape):
    rgb = np.full(shape, 90, np.uint8)
    for picture in copies(rgb, np.random.default_rng(0)).values():
        assert picture.ndim == 3
        assert picture.dtype == np.uint8
        assert picture.size
    assert len(SquareCopies(16)(rgb, np.random.default_rng(0))) == len(DISTORTIONS)


def test_an_unknown_distortion_is_named():
    with pytest.raises(UserError, match="got the distortion 'melt', expected one of crop-20"):
        distort(pattern(0), "melt", np.random.default_rng(0))


# Descriptors -----------------------------------------------------------------------------------


def test_gem_by_hand():
    patches = torch.tensor([[[1.0, -5.0], [2.0, -7.0], [3.0, 0.0]]])
    expected = [((1 + 16 + 81) / 3) ** 0.25, 1e-6]
    np.testing.assert_allclose(gem(patches)[0], expected, rtol=1e-5)
    np.testing.assert_allclose(gem(patches, power=1.0)[0, 0], 2.0, rtol=1e-6)


def test_a_descriptor_is_cls_and_pooled_patches(backbone):
    images = torch.randn(2, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    tokens = backbone.tokens(images)
    found = descriptors(backbone, images)
    np.testing.assert_allclose(found[:, :48], tokens.cls, atol=1e-6)
    by_hand = (tokens.patches[1].clamp(min=1e-6) ** 4).mean(0) ** 0.25
    np.testing.assert_allclose(found[1, 48:], by_hand, rtol=1e-5)


@pytest.mark.parametrize(
    ("samples", "components", "kept"), [(200, None, 12), (9, None, 4), (9, 99, 8)]
)
def test_whitened_features_have_the_identity_as_covariance(samples, components, kept):
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(samples, 12, generator=rng) @ torch.randn(12, 12, generator=rng) + 5
    whitened = fit_whitening(features, components=components).apply(features)
    assert whitened.shape == (samples, kept)
    np.testing.assert_allclose(whitened.mean(dim=0), 0, atol=1e-5)
    np.testing.assert_allclose(whitened.T @ whitened / samples, np.eye(kept), atol=1e-5)


def test_whitening_by_hand():
    # Variances 9·2/4 along (1, 0) and 1·2/4 along (0, 1), about (10, 20).
    features = torch.tensor([[13.0, 20.0], [7.0, 20.0], [10.0, 21.0], [10.0, 19.0]])
    found = fit_whitening(features, components=2).apply(torch.tensor([[13.0, 21.0]]))[0]
    np.testing.assert_allclose(found.abs(), [3 / 4.5**0.5, 1 / 0.5**0.5], rtol=1e-6)
    one = fit_whitening(features, components=1)
    assert one.basis.shape == (2, 1)


def test_directions_without_variance_are_left_out():
    features = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    flat = torch.cat([features, features[:, :1], torch.ones(50, 1)], dim=1)
    assert fit_whitening(flat, components=5).basis.shape == (5, 3)
    with pytest.raises(UserError, match="all alike"):
        fit_whitening(torch.ones(5, 3))
    with pytest.raises(UserError, match="expected 2 or more"):
        fit_whitening(torch.ones(1, 3))


def test_every_view_is_embedded_in_the_order_of_the_table(backbone, photos):
    folder = open_folder(photos)
    found, rows = kept_descriptors(
        FeatureCache(None), backbone, folder, SquareCopies(32), size=32, seed=5, workers=0
    )
    assert rows == list(range(12))
    assert found.shape == (12, len(DISTORTIONS), 96)
    rgb = copies(folder.read(3), np.random.default_rng((5, 0, 3)))["strong"]
    pixels = np.array(Image.fromarray(rgb).resize((32, 32), Image.Resampling.BICUBIC)) / 255
    normed = (pixels - np.array(backbone.mean)) / np.array(backbone.std)
    image = torch.from_numpy(normed).float().permute(2, 0, 1)[None]
    alone = descriptors(backbone, image)[0]
    np.testing.assert_allclose(found[3, list(DISTORTIONS).index("strong")], alone, atol=1e-4)


# Finding originals -----------------------------------------------------------------------------


def test_a_small_random_network_finds_light_copies_first(backbone, photos):
    result = copy_detection(backbone, open_photos(photos), size=64, workers=0)
    assert (result.num_originals, result.num_distractors) == (6, 6)
    assert list(result.scores) == [*DISTORTIONS, "all"]
    assert result.scores["blur-1"].map == 1.0
    assert result.scores["blur-1"].first == 1.0
    assert result.scores["blur-1"].num_queries == 6
    assert result.scores["all"].num_queries == 6 * len(DISTORTIONS)
    each = [result.scores[name].map for name in DISTORTIONS]
    assert result.scores["all"].map == pytest.approx(np.mean(each))
    assert result.components == 3  # half of the held-out photos
    plain = copy_detection(backbone, open_photos(photos), size=64, workers=0, whiten=False)
    assert plain.components is None
    assert plain.scores["jpeg-30"].map == 1.0
    assert plain.scores["strong"].map < 0.5


def test_copies_of_another_kind_are_others_and_cached_apart(
    backbone, photos, tmp_path, monkeypatch
):
    said = []
    cache = FeatureCache(tmp_path / "cache", said.append)
    data = open_photos(photos)

    def measure(seed):
        said.clear()
        result = copy_detection(backbone, data, size=32, seed=seed, workers=0, cache=cache)
        return result, sum("computed before" in line for line in said)

    first, kept = measure(0)
    assert kept == 0
    assert measure(0) == (first, 3)
    with monkeypatch.context() as patch:  # a distortion is changed
        patch.setitem(DISTORTIONS, "text", DISTORTIONS["strong"])
        other, kept = measure(0)
    assert kept == 2
    assert other.scores["text"] != first.scores["text"]
    again, kept = measure(1)
    assert kept == 2  # the originals and the distractors are the same
    assert again.scores != first.scores


def test_copydays_is_known_by_its_folders(backbone, copydays):
    assert is_copydays(copydays)
    assert not is_copydays(copydays / "original")
    data = open_copydays(copydays, distractors=copydays.parent / "others")
    assert list(data.blocks) == ["strong", "crops/10", "jpegqual/5"]
    assert data.blocks["strong"].originals == (0, 0, 2)
    result = copy_detection(backbone, data, size=64, workers=0)
    assert (result.num_originals, result.num_distractors) == (3, 10)
    assert [score.num_queries for score in result.scores.values()] == [3, 3, 3, 9]
    assert result.scores["crops/10"].first == 1.0
    assert result.components == 5
    some = open_copydays(copydays, limit=1)
    assert some.blocks["strong"].originals == (0, 0)
    assert len(some.blocks["crops/10"].photos) == 1


def test_a_separate_set_may_teach_the_whitening(backbone, copydays, photos):
    data = open_copydays(copydays, distractors=copydays.parent / "others", whitening=photos)
    result = copy_detection(backbone, data, size=64, workers=0)
    assert (result.num_distractors, result.components) == (10, 6)
    assert data.whitening_is == str(photos)


def test_unreadable_photos_are_left_out_and_listed(backbone, photos, copydays):
    (photos / "02.png").write_bytes(b"no photo")
    (photos / "03.png").write_bytes(b"no photo")
    result = copy_detection(backbone, open_photos(photos), size=32, workers=0)
    assert [path.name for path in result.unreadable] == ["02.png", "03.png"]
    assert (result.num_originals, result.num_distractors) == (5, 5)
    assert result.scores["strong"].num_queries == 5
    (copydays / "original" / "200000.jpg").write_bytes(b"no photo")
    (copydays / "strong" / "200201.jpg").write_bytes(b"no photo")
    data = open_copydays(copydays, distractors=photos)
    result = copy_detection(backbone, data, size=32, workers=0)
    assert "strong" not in result.scores  # nothing of it is left
    assert result.scores["crops/10"].num_queries == 2
    assert len(result.unreadable) == 4


def test_what_cannot_be_searched_is_one_sentence(backbone, copydays, photos):
    with pytest.raises(UserError, match="by --distractors or --whitening, or give --no-whiten"):
        copy_detection(backbone, open_copydays(copydays), size=32, workers=0)
    alone = copy_detection(backbone, open_copydays(copydays), size=32, workers=0, whiten=False)
    assert alone.num_distractors == 0
    with pytest.raises(UserError, match="both an original and a distractor"):
        open_photos(photos, distractors=photos)
    with pytest.raises(UserError, match="expected 4 or more"):
        open_photos(photos, limit=3)
    save(pattern(0), copydays / "strong" / "209901.jpg")
    with pytest.raises(
        UserError, match=r"209901\.jpg has no original; expected original/209900\.jpg"
    ):
        open_copydays(copydays)
    save(pattern(0), copydays / "original" / "200001.jpg")
    with pytest.raises(UserError, match="several photos of one number"):
        open_copydays(copydays)


def test_a_square_is_the_whole_photo():
    rgb = pattern(1, 48, 64)
    (found,) = Square(32)(rgb, np.random.default_rng(0))
    expected = Image.fromarray(rgb).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(found, np.asarray(expected))
