"""Every exported file, read back with its format's own reader."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from dino.attention.files import Style, attention_files, head_maps
from dino.attention.mass import mass_mask
from dino.attention.photo import PatchFeatures, PhotoAttention
from dino.features.files import projection_files
from dino.features.projections import project
from dino.masks.files import mask_files
from dino.masks.proposals import propose_from
from dino.masks.settings import MaskSettings
from dino.media import draw
from dino.media.preprocessing import preprocess
from dino.system.files import content_id, results_name, zip_files


@pytest.fixture(scope="module")
def photo():
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((16, 16, 1), np.uint8))  # 96×144, a colour a patch


@pytest.fixture(scope="module")
def attention(photo):
    _, geometry = preprocess(photo, size=144, patch_size=16)
    weights = np.random.default_rng(1).dirichlet(np.ones(54), 3).reshape(3, 6, 9).astype(np.float32)
    prefix = np.full((1, 1, 3, 1), 0.1, np.float32)
    maps = (weights * 0.9)[None, None]
    return PhotoAttention(maps, prefix, geometry, "ab" * 32, "fp32", layers=(11,))


@pytest.fixture(scope="module")
def features(photo):
    _, geometry = preprocess(photo, size=144, patch_size=16)
    patches = np.random.default_rng(2).normal(size=(54, 8)).astype(np.float32)
    return PatchFeatures(patches, patches.mean(0), geometry, "ab" * 32, "fp32")


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_attend_writes_maps_masks_sheet_and_numbers(attention, photo):
    files = dict(attention_files(attention, photo, 0.6, Style()))
    heads = {f"head-{i}.png" for i in range(3)} | {f"mask-{i}.png" for i in range(3)}
    assert set(files) == heads | {"mean.png", "max.png", "sheet.png", "attention.npz"}
    expected = mass_mask(torch.from_numpy(attention.heads), 0.6).numpy()
    for index in range(3):
        mask = opened(files[f"mask-{index}.png"])
        assert set(np.unique(mask)) == {0, 255}
        np.testing.assert_array_equal(mask[8::16, 8::16] > 0, expected[index])
        # The strongest patch of a map on its own scale has the last colour of the map, the weakest the first.
        picture = opened(files[f"head-{index}.png"])
        row, column = np.unravel_index(attention.heads[index].argmax(), (6, 9))
        last = draw.colorize(np.ones((1, 1)))[0, 0]
        np.testing.assert_array_equal(picture[row * 16 + 8, column * 16 + 8], last)
    with np.load(io.BytesIO(files["attention.npz"])) as arrays:
        assert set(arrays.files) == {
            *(
                "weights",
                "prefix",
                "query",
                "grid",
                "original_hw",
                "resized_hw",
                "weights_sha256",
                "precision",
            )
        }
        np.testing.assert_array_equal(arrays["weights"], attention.heads)
        assert arrays["original_hw"].tolist() == [96, 144]
        assert str(arrays["weights_sha256"]) == "ab" * 32


def test_a_shared_scale_keeps_heads_comparable(attention):
    _, own, ranges = head_maps(attention, Style())
    assert own.min((1, 2)).max() == 0
    assert own.max((1, 2)).min() == 1
    _, shared, common = head_maps(attention, Style(shared_scale=True))
    assert len(set(common)) == 1
    assert len(set(ranges)) > 1
    low, high = common[0]
    np.testing.assert_allclose(shared[0] * (high - low) + low, attention.heads[0], atol=1e-6)


def test_random_weights_are_marked_on_every_picture(attention, photo):
    plain = dict(attention_files(attention, photo, 0.6, Style()))
    marked = dict(attention_files(attention, photo, 0.6, Style(), random=True))
    for name in ("head-0.png", "mean.png", "max.png", "sheet.png"):
        foot = slice(-12, None)
        assert (opened(plain[name])[foot] != opened(marked[name])[foot]).any(), name


def test_mask_and_cutout(attention, photo):
    settings = MaskSettings(mass=0.5, heads=(0, 2), combine="union")
    mask = propose_from(attention, photo, settings)
    assert (mask.head, mask.mass) == ("0,2", 0.5)
    files = dict(mask_files(photo, mask))
    np.testing.assert_array_equal(opened(files["mask.png"]) > 0, mask.pixels)
    cutout = opened(files["cutout.png"])
    np.testing.assert_array_equal(cutout[..., 3] > 0, mask.pixels)
    np.testing.assert_array_equal(cutout[mask.pixels][:, :3], photo[mask.pixels])


def test_points_csv_and_projection_npz(features, photo):
    projection = project(features.patches, method="pca", dims=3)
    files = dict(projection_files(projection, features, photo, title="a photo"))
    assert set(files) == {"pca-rgb.png", "points.csv", "points.html", "projection.npz"}
    table = np.genfromtxt(io.BytesIO(files["points.csv"]), delimiter=",", names=True)
    assert len(table) == 54
    np.testing.assert_allclose(
        np.stack([table["x"], table["y"], table["z"]], -1), projection.points, rtol=1e-4, atol=1e-5
    )
    last = table[-1]
    assert (last["row"], last["column"]) == (5, 8)
    assert [last["top_px"], last["left_px"], last["bottom_px"], last["right_px"]] == [
        80,
        128,
        96,
        144,
    ]
    assert [last["red"], last["green"], last["blue"]] == photo[-1, -1].tolist()
    with np.load(io.BytesIO(files["projection.npz"])) as arrays:
        np.testing.assert_array_equal(arrays["features"], features.patches)
    assert opened(files["pca-rgb.png"]).shape == photo.shape
    page = files["points.html"].decode()
    assert "a photo" in page
    assert 'src="http' not in page  # the plot stands alone, without a network


def test_zip_is_the_same_for_the_same_content():
    files = [("a.txt", b"one"), ("b/c.txt", b"two")]
    assert zip_files(files) == zip_files(files)
    with zipfile.ZipFile(io.BytesIO(zip_files(files))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == dict(files)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cat.jpg", "cat"), ("../../etc/passwd", "passwd"), (".jpg", "jpg"), ("a b*c.png", "a-b-c")],
)
def test_result_folders_are_named_after_the_photo_and_stay_in_place(name, expected):
    digest = content_id(b"photo")
    assert results_name(name, digest) == f"{expected}-{digest[:8]}"
