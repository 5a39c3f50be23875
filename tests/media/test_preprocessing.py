"""RGB pixels → the model's input: against the original, against torchvision, and by hand.

pytest tests/media/test_preprocessing.py
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from dino.errors import UserError
from dino.media import preprocessing
from dino.media.geometry import Geometry
from dino.media.preprocessing import channel_tensor, normalize_images, plan, preprocess

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "attention.npz"
NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


@pytest.mark.skipif(not GOLDEN.is_file(), reason="../shared/golden/attention.npz is absent")
def test_stretch_agrees_with_the_original():
    golden = np.load(GOLDEN)
    tensor, geometry = preprocess(golden["image"], size=(100, 100), patch_size=8, fit="stretch")
    assert tensor.shape == (1, 3, 96, 96)
    assert tensor.dtype == torch.float32
    assert np.abs(tensor[0].numpy() - golden["tensor"]).max() < 1e-6
    assert geometry == Geometry((151, 226), (100, 100), (0, 0, 96, 96), 8)


def reference(rgb, height, width, mode=InterpolationMode.BILINEAR) -> torch.Tensor:
    """torchvision's transforms, one after the other."""
    resized = tv.resize(Image.fromarray(rgb), [height, width], mode)
    return tv.normalize(
        tv.to_tensor(resized), preprocessing.IMAGENET_MEAN, preprocessing.IMAGENET_STD
    )[None]


@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
def test_floor_resizes_as_torchvision_does(resample):
    tensor, geometry = preprocess(NOISE, size=50, patch_size=8, resample=resample)
    assert geometry == Geometry((60, 80), (32, 48), (0, 0, 32, 48), 8)
    expected = reference(NOISE, 32, 48, InterpolationMode(resample))
    assert tensor.is_contiguous()
    assert (tensor - expected).abs().max() < 1e-6


def test_stretch_crops_right_and_bottom():
    tensor, geometry = preprocess(NOISE, size=(30, 45), patch_size=16, fit="stretch")
    assert geometry == Geometry((60, 80), (30, 45), (0, 0, 16, 32), 16)
    assert (tensor - reference(NOISE, 30, 45)[:, :, :16, :32]).abs().max() < 1e-6
    assert tensor.is_contiguous()


@pytest.mark.parametrize(
    ("size", "canvas", "resized", "at"),
    [(70, (64, 64), (48, 64), (8, 0)), ((50, 100), (48, 96), (48, 64), (0, 16))],
)
def test_pad_centres_the_photo_on_the_mean_colour(size, canvas, resized, at):
    tensor, geometry = preprocess(NOISE, size=size, patch_size=16, fit="pad")
    top, left = at
    assert geometry == Geometry((60, 80), resized, (-top, -left, *canvas), 16)
    inside = tensor[:, :, top : top + resized[0], left : left + resized[1]]
    assert (inside - reference(NOISE, *resized)).abs().max() < 1e-6
    outside = tensor.clone()
    outside[:, :, top : top + resized[0], left : left + resized[1]] = 0
    assert tensor.shape[2:] == canvas
    assert not outside.any()


def test_own_mean_and_std_are_used():
    white = np.full((16, 16, 3), 255, np.uint8)
    tensor, _ = preprocess(white, size=16, patch_size=16, mean=(0, 0.5, 1), std=(1, 0.5, 2))
    assert tensor[0, :, 3, 3].tolist() == [1.0, 1.0, 0.0]


def test_the_photo_is_not_changed_and_may_be_read_only_or_a_view():
    rgb = NOISE.copy()
    rgb.flags.writeable = False
    plain, _ = preprocess(rgb, size=64, patch_size=16)
    assert np.array_equal(rgb, NOISE)
    flipped, _ = preprocess(rgb[:, ::-1], size=64, patch_size=16)
    assert torch.equal(flipped, preprocess(rgb[:, ::-1].copy(), size=64, patch_size=16)[0])
    assert not torch.equal(flipped, plain)


@settings(deadline=None, max_examples=200)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    patch=st.sampled_from([1, 4, 7, 8, 14, 16]),
    size=st.integers(16, 200),
)
def test_floor_gives_whole_patches_within_size_and_keeps_the_aspect_within_one(
    height, width, patch, size
):
    rgb = np.zeros((height, width, 3), np.uint8)
    tensor, geometry = preprocess(rgb, size=size, patch_size=patch)
    assert geometry.resized == geometry.crop[2:] == tuple(tensor.shape[2:])
    assert geometry.crop[:2] == (0, 0)
    for side, whole in zip(geometry.resized, (height, width), strict=True):
        assert side % patch == 0
        assert patch <= side <= size
        ideal = whole * (size // patch * patch) / max(height, width)
        assert side == patch or 0 <= ideal - side < patch
    assert max(geometry.resized) == size // patch * patch


@settings(deadline=None, max_examples=200)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    patch=st.sampled_from([1, 7, 8, 16]),
    size=st.tuples(st.integers(16, 90), st.integers(16, 90)),
)
def test_pad_keeps_the_aspect_to_the_pixel_and_fits(height, width, patch, size):
    rgb = np.full((height, width, 3), 255, np.uint8)
    tensor, geometry = preprocess(rgb, size=size, patch_size=patch, fit="pad")
    canvas = tuple(side // patch * patch for side in size)
    assert tuple(tensor.shape[2:]) == canvas == geometry.crop[2:]
    scale = min(canvas[0] / height, canvas[1] / width)
    photo = (tensor[0, 0] != 0).nonzero()
    for axis, whole in enumerate((height, width)):
        side, start = geometry.resized[axis], -geometry.crop[axis]
        assert abs(side - whole * scale) <= 0.5 + 1e-9 or side == 1
        assert abs(start - (canvas[axis] - side) / 2) <= 0.5
        assert photo[:, axis].min() == start
        assert photo[:, axis].max() == start + side - 1


@pytest.mark.parametrize("fit", preprocessing.FITS)
@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (1, 1)])
def test_extreme_aspects_still_give_a_patch(fit, shape):
    tensor, geometry = preprocess(np.zeros((*shape, 3), np.uint8), size=64, patch_size=16, fit=fit)
    assert min(geometry.grid) >= 1
    assert tensor.shape[2:] == geometry.crop[2:]
    if fit == "floor":
        assert geometry.grid == {(1, 5000): (1, 4), (5000, 1): (4, 1), (1, 1): (4, 4)}[shape]


GOOD = {"rgb": NOISE, "size": 64, "patch_size": 16}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rgb": NOISE.astype(np.float32)}, "dtype float32"),
        ({"rgb": NOISE[..., 0]}, r"shape \(60, 80\)"),
        ({"rgb": np.zeros((4, 4, 4), np.uint8)}, r"\(4, 4, 4\)"),
        ({"rgb": np.zeros((0, 4, 3), np.uint8)}, r"\(0, 4, 3\)"),
        ({"rgb": NOISE.tolist()}, "got list"),
        ({"rgb": torch.zeros(4, 4, 3, dtype=torch.uint8)}, "got Tensor"),
        ({"size": 15}, "at least one patch"),
        ({"size": (64, 15)}, "at least one patch"),
        ({"size": 0}, "at least one patch"),
        ({"size": -64}, "at least one patch"),
        ({"size": 7000, "fit": "stretch"}, "at most 40,000,000"),
        ({"size": 64.0}, "whole numbers"),
        ({"size": (64, 64, 64)}, "whole numbers"),
        ({"size": "64"}, "whole numbers"),
        ({"size": None}, "whole numbers"),
        ({"patch_size": 0}, "patch_size 0"),
        ({"patch_size": 1.5}, r"patch_size 1\.5"),
        ({"fit": "crop"}, "'crop', expected one of floor, pad, stretch"),
        ({"resample": "nearest"}, "'nearest', expected one of bilinear, bicubic"),
        ({"mean": (0.5,)}, "1 values as mean"),
        ({"std": (1, 1, 0)}, "above 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_wrong_arguments_are_user_errors_that_say_what_is_expected(wrong, says):
    arguments = GOOD | wrong
    with pytest.raises(UserError, match=says) as caught:
        preprocess(arguments.pop("rgb"), **arguments)
    assert str(caught.value).startswith("got ")
    assert "expected" in str(caught.value)


def test_numpy_integers_are_sizes():
    tensor, _ = preprocess(NOISE, size=np.int64(64), patch_size=np.int32(16))
    assert torch.equal(tensor, preprocess(NOISE, size=64, patch_size=16)[0])


def test_a_plan_is_what_preprocess_does_and_costs_nothing():
    for fit in preprocessing.FITS:
        _, geometry = preprocess(NOISE, size=64, patch_size=16, fit=fit)
        assert plan((60, 80), size=64, patch_size=16, fit=fit) == geometry
    assert plan((3000, 4000), size=8192, patch_size=8).grid == (768, 1024)


def test_batches_are_normalised_as_single_photos_are():
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    expected, _ = preprocess(NOISE[:48], size=(48, 80), patch_size=16, mean=mean, std=std)
    images = torch.from_numpy(NOISE[:48]).permute(2, 0, 1)
    found = normalize_images(torch.stack([images, images]), mean, std)
    assert torch.equal(found, expected.repeat(2, 1, 1, 1))
    assert torch.equal(channel_tensor(std).flatten(), torch.tensor(std))
