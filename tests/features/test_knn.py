"""k-NN against the original implementation's figures, and votes counted by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

import dino
from dino.errors import UserError
from dino.evaluation import knn_accuracy
from dino.features.data import center_crop
from dino.features.embedding import embed_folder
from dino.features.knn import knn_votes
from dino.media.photo_folders import open_folder


@pytest.mark.parametrize("k", [5, 10, 20, 100])
def test_accuracy_equals_the_original(golden, k):
    arrays = golden("knn")
    train, labels, test, test_labels = (
        torch.from_numpy(arrays[name]) for name in ("train", "train_labels", "test", "test_labels")
    )
    found = knn_accuracy(train, labels, test, test_labels, k=k, temperature=float(arrays["T"]))
    np.testing.assert_allclose(found, arrays[f"k{k}"], atol=1e-5)


def test_votes_are_weighted_by_the_exponential_of_the_cosine():
    train = torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])
    labels = torch.tensor([0, 1, 1])
    votes = knn_votes(train, labels, torch.tensor([[3.0, 0.0]]), k=2, temperature=0.5)
    np.testing.assert_allclose(votes, [[np.exp(2.0), 1.0]], rtol=1e-6)


def test_more_neighbours_than_images_means_all():
    features, labels = torch.eye(4), torch.arange(4)
    assert knn_accuracy(features, labels, features, labels, k=100) == (100.0, 100.0)


def test_labels_above_the_training_classes_are_never_right():
    features = torch.eye(2)
    found = knn_accuracy(features, torch.tensor([0, 1]), features, torch.tensor([0, 7]), k=1)
    assert found.top1 == 50.0


@pytest.mark.parametrize(
    ("train", "labels", "test", "options", "says"),
    [
        (torch.eye(3), torch.arange(3), torch.eye(2), {}, "of one width"),
        (torch.eye(3), torch.arange(2), torch.eye(3), {}, "a label for each"),
        (torch.eye(3), torch.arange(3), torch.eye(3), {"k": 0}, "1 or more"),
        (torch.eye(3), torch.arange(3), torch.eye(3), {"temperature": 0.0}, "above 0"),
    ],
)
def test_what_does_not_fit_together_is_named(train, labels, test, options, says):
    with pytest.raises(UserError, match=says):
        knn_accuracy(train, labels, test, torch.zeros(len(test), dtype=torch.long), **options)


def test_the_centre_crop_is_the_middle_of_the_photo():
    rgb = np.arange(8 * 16 * 3, dtype=np.uint8).reshape(8, 16, 3)
    np.testing.assert_array_equal(center_crop(rgb, size=4, resize=8), rgb[2:6, 6:10])
    assert center_crop(rgb, size=7).shape == (7, 7, 3)  # short side 8 = 7 · 256/224
    np.testing.assert_array_equal(center_crop(rgb, size=7), rgb[0:7, 4:11])


def test_unreadable_photos_are_left_out_and_listed(tmp_path, small_weights):
    for name in "abc":
        pixels = np.full((40, 40, 3), 80 * "abc".index(name), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    backbone = dino.load(small_weights, precision="fp32")
    whole = embed_folder(backbone, open_folder(tmp_path), size=16, workers=0)
    (tmp_path / "b.png").write_bytes(b"no picture")
    found = embed_folder(backbone, open_folder(tmp_path), size=16, workers=0, batch_size=1)
    assert [path.name for path in found.paths] == ["a.png", "c.png"]
    assert [path.name for path in found.unreadable] == ["b.png"]
    np.testing.assert_allclose(found.cls, whole.cls[[0, 2]], atol=1e-5)
