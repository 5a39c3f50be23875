"""Any block and query of a photo: files read back, against the library and by hand."""

import io

import numpy as np
import pytest
import torch
from helpers.attention_cases import small_vit
from helpers.backbone_cases import wrapped
from PIL import Image

import dino
from dino.attention import layers
from dino.attention.files import Style, layers_files, layers_npz
from dino.attention.layers import look, trace
from dino.attention.photo import LOGITS, ROLLOUT, attend
from dino.attention.rollout import rollout
from dino.errors import TooLargeError, UserError
from dino.media import draw
from dino.model.stream import stream_of
from dino.system.files import content_id


@pytest.fixture(scope="module")
def photo():
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 256, (3, 4, 3), np.uint8), np.ones((16, 16, 1), np.uint8))


@pytest.fixture(scope="module")
def backbone():
    return wrapped(small_vit())


@pytest.fixture(scope="module")
def looked(backbone, photo):
    kept = trace(backbone, photo, size=48)
    asked = {"layers": (0, -1), "queries": ("cls", (1, 2))}
    return look(backbone, kept, **asked, rolled=True, projected=True)


def test_the_last_cls_row_is_what_attend_gives(backbone, photo, looked):
    attention = attend(backbone, photo, size=48)
    last = looked.select(1, 0)
    np.testing.assert_allclose(last.weights, attention.weights, atol=1e-6)
    np.testing.assert_allclose(last.prefix, attention.prefix, atol=1e-6)
    assert last.geometry == attention.geometry
    assert (last.layers, last.queries) == (attention.layers, attention.queries) == ((2,), ("cls",))


def test_a_selection_is_the_asked_block_and_query(backbone, photo, looked):
    image, _ = dino.preprocess(photo, size=48, patch_size=8, mean=(0, 0, 0), std=(1, 1, 1))
    maps = backbone.attention(image, layers=(0,), queries=((1, 2),), logits=True)
    np.testing.assert_allclose(looked.select(0, 1).heads, maps.weights[0, 0, 0], atol=1e-6)
    logits = looked.select(0, 1, LOGITS)
    np.testing.assert_allclose(logits.heads, maps.logits[0, 0, 0], atol=1e-5)
    np.testing.assert_allclose(logits.prefix[0, 0], maps.prefix_logits[0, 0, 0], atol=1e-5)


def test_a_rollout_is_one_map_a_block(backbone, photo, looked):
    image, _ = dino.preprocess(photo, size=48, patch_size=8, mean=(0, 0, 0), std=(1, 1, 1))
    expected, _ = rollout(
        backbone, stream_of(backbone, image), layers=(0, 2), queries=("cls", (1, 2))
    )
    rolled = looked.select(1, 1, ROLLOUT)
    assert rolled.num_heads == 1
    np.testing.assert_allclose(rolled.heads[0], expected[0, 1, 1], atol=1e-6)
    assert rolled.weights.sum() + rolled.prefix.sum() == pytest.approx(1, abs=1e-5)


def test_rollout_not_asked_for_is_refused(backbone, photo):
    found = look(backbone, trace(backbone, photo, size=48), layers=(0,), queries=("cls",))
    with pytest.raises(UserError, match=r"rollout was not kept; .*rolled=True"):
        found.select(0, 0, ROLLOUT)
    with pytest.raises(UserError, match=r"logits was not kept; dino\.layers\.look keeps it"):
        attend(backbone, photo, size=48).values(LOGITS)


def test_a_stream_of_images_without_a_photo_is_refused(backbone):
    stream = stream_of(backbone, torch.zeros(1, 3, 16, 16))
    with pytest.raises(UserError, match=r"expected what dino\.layers\.trace gives"):
        look(backbone, stream, layers=(0,), queries=("cls",))


def test_what_cannot_be_kept_is_refused_with_numbers(monkeypatch, backbone, photo):
    monkeypatch.setattr(layers, "free_bytes", lambda device: 10_000)
    monkeypatch.setattr(layers, "check_fits", lambda *args, **options: None)
    with pytest.raises(TooLargeError, match=r"all 3 blocks at 24 patches .* choose a smaller"):
        trace(backbone, photo, size=48)


def test_numbers_are_read_back_as_they_were(looked):
    with np.load(io.BytesIO(layers_npz(looked))) as arrays:
        assert arrays["weights"].shape == (2, 2, 3, 4, 6)
        assert arrays["prefix"].shape == (2, 2, 3, 3)
        np.testing.assert_array_equal(arrays["weights"], looked.weights)
        assert arrays["layers"].tolist() == [0, 2]
        assert arrays["queries"].tolist() == ["cls", "1:2"]
        assert arrays["grid"].tolist() == [4, 6]
        assert "logits" not in arrays.files
        total = arrays["rollout"].sum((-2, -1)) + arrays["rollout_prefix"].sum(-1)
        np.testing.assert_allclose(total, 1, atol=1e-5)
        # The rows follow from the q and k that stand beside them.
        q, k = arrays["q"], arrays["k"]
        assert arrays["v"].shape == q.shape == (2, 3, 3 + 24, 8)
        logits = (q[1, :, :1] @ k[1].transpose(0, 2, 1))[:, 0] / 8**0.5
        rows = torch.from_numpy(logits).softmax(-1)[:, 3:]
        np.testing.assert_allclose(arrays["weights"][1, 0].reshape(3, -1), rows, atol=1e-6)
    with np.load(io.BytesIO(layers_npz(looked, logits=True))) as arrays:
        whole = np.concatenate(
            [arrays["prefix_logits"], arrays["logits"].reshape(2, 2, 3, -1)], axis=-1
        )
        rows = torch.from_numpy(whole).softmax(-1)[..., 3:].reshape(2, 2, 3, 4, 6)
        np.testing.assert_allclose(arrays["weights"], rows, atol=1e-6)


def test_a_sheet_has_a_row_a_layer_and_a_column_a_head(looked, photo):
    files = dict(layers_files(looked, photo, Style()))
    assert set(files) == {
        *("layers-cls.png", "layers-1-2.png", "rollout-cls.png", "rollout-1-2.png", "layers.npz")
    }
    sheet = np.asarray(Image.open(io.BytesIO(files["layers-1-2.png"])))
    # render.sheet's measures: gaps of 12 px, captions of 26, a title of 34; photos are not enlarged.
    tile, left, top = 240, 12, 34 + 12 + 26
    cell = 48 + 26 + 12
    last = draw.colorize(np.ones((1, 1)))[0, 0]
    for row in range(2):
        for head in range(3):
            y, x = np.unravel_index(looked.weights[row, 1, head].argmax(), (4, 6))
            # The photo is 64 px wide, 6 patches: the middle of the strongest patch.
            place = top + row * cell + int((y + 0.5) * 12), left + head * (tile + 12)
            pixel = sheet[place[0], place[1] + int((x + 0.5) * 64 / 6)]
            np.testing.assert_array_equal(pixel, last)


def test_random_weights_mark_every_sheet(monkeypatch, looked, photo):
    marked = []
    real = draw.mark_random
    monkeypatch.setattr(draw, "mark_random", lambda p: (marked.append(1), real(p))[1])
    list(layers_files(looked, photo, Style(), random=True))
    assert len(marked) == 4


def test_attend_exports_any_layer_and_query(cli, photo_file, small_weights, tmp_path):
    options = ("--layers", "all", "--queries", "cls,3:5", "--rollout", "--qkv", "--logits")
    code, _, err = cli("attend", photo_file, "--size", 96, "--precision", "fp32", *options)
    assert code == 0, err
    folder = tmp_path / "out" / f"{photo_file.stem}-{content_id(photo_file.read_bytes())[:8]}"
    assert {path.name for path in folder.iterdir()} == {
        *("layers-cls.png", "layers-3-5.png", "rollout-cls.png", "rollout-3-5.png", "layers.npz")
    }
    backbone = dino.load(small_weights, precision="fp32")
    rgb = dino.decode(photo_file.read_bytes())
    image, _ = dino.preprocess(rgb, size=96, patch_size=8, mean=backbone.mean, std=backbone.std)
    maps = backbone.attention(image, layers=(0, 1), queries=("cls", (3, 5)))
    with np.load(folder / "layers.npz") as arrays:
        np.testing.assert_allclose(arrays["weights"], maps.weights[0], atol=1e-6)
        np.testing.assert_allclose(arrays["prefix"], maps.prefix[0], atol=1e-6)
        assert arrays["rollout"].shape == (2, 2, 9, 12)
        assert arrays["logits"].shape == arrays["weights"].shape == (2, 2, 3, 9, 12)
        assert arrays["k"].shape == (2, 3, 1 + 108, 16)


def test_the_last_layer_and_cls_are_what_is_meant_by_nothing(cli, photo_file, tmp_path):
    assert cli("attend", photo_file, "--size", 64, "--rollout", "--layers", "1,-1")[0] == 0
    (folder,) = (tmp_path / "out").iterdir()
    with np.load(folder / "layers.npz") as arrays:
        assert arrays["layers"].tolist() == [1]
        assert arrays["queries"].tolist() == ["cls"]
        assert "q" not in arrays.files


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--layers", "one"), 2, "--layers is 'one'; expected all, or numbers"),
        (("--layers", "0,2"), 2, "layer 2 does not exist; small has 2 blocks"),
        (("--queries", "cls,middle"), 2, "query is 'middle'; expected cls, mean, register:N"),
        (("--queries", "register:0"), 1, "small has 'cls', 'mean'"),
        (("--queries", "99:0"), 1, "outside the grid of 6×8 patches"),
    ],
)
def test_wrong_use_is_one_sentence(cli, photo_file, options, code, says):
    got, _, err = cli("attend", photo_file, "--size", 64, *options)
    assert got == code
    assert says in err
    assert "Traceback" not in err
