"""What `attend` draws: looks, maps of any block at the photo's size, masks of pixels, figures and films."""

import io
import re

import numpy as np
import pytest
import torch
from helpers.attention_cases import small_vit
from helpers.backbone_cases import wrapped
from PIL import Image

import dino
from dino.attention import files, photo, printed
from dino.attention.files import LOOKS, Style, style_settings
from dino.attention.layers import look, trace
from dino.attention.mass import mass_mask
from dino.attention.photo import LOGITS, PROBABILITIES
from dino.attention.pixels import attend_finely, fine_attention
from dino.attention.printed import Figure, attention_figure, walk_file
from dino.cli.drawing import Colormap, Look, Scale, Under, Upsample
from dino.errors import UserError
from dino.media import draw
from dino.system.files import content_id


@pytest.fixture(scope="module")
def rgb():
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def backbone():
    return wrapped(small_vit())


@pytest.fixture(scope="module")
def attention(backbone, rgb):
    return photo.attend(backbone, rgb, size=64)


@pytest.fixture
def attend(cli, photo_file, tmp_path):
    """`attend("--sharp", …)` → the files that the command wrote, by name."""

    def run(*options: object, out: str = "out") -> dict[str, bytes]:
        words = ("attend", photo_file, "--size", 96, "--precision", "fp32", "--out", tmp_path / out)
        code, _, err = cli(*words, *options)
        assert code == 0, err
        folder = tmp_path / out / f"{photo_file.stem}-{content_id(photo_file.read_bytes())[:8]}"
        found = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}

    return run


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_the_first_look_is_what_was_drawn_before_looks_had_numbers():
    assert LOOKS[1] == Style("inferno", 1.0, "nearest", shared_scale=False)
    assert (LOOKS[1].scale, LOOKS[1].under) == ("full", "photo")


def test_a_command_draws_the_newest_look_and_with_a_number_that_one(
    attend, small_weights, photo_file
):
    network = dino.load(small_weights, precision="fp32")
    pixels = dino.decode(photo_file.read_bytes())
    found = photo.attend(network, pixels, size=96)
    for options, style in (((), LOOKS[2]), (("--look", 1), LOOKS[1])):
        written = attend(*options, out=f"look{len(options)}")
        expected = dict(files.attention_files(found, pixels, 0.6, style))
        assert written == expected


def test_a_bright_map_is_colours_of_a_robust_scale_over_greys(attention, rgb):
    head = attention.heads[0]
    low, high = head.min(), np.percentile(head, 98.5)
    names, scaled, ranges = files.head_maps(attention, LOOKS[2])
    assert names[0] == "head-0"
    assert ranges[0] == (pytest.approx(low), pytest.approx(high))
    smooth = attention.geometry.to_photo(head, interpolation="bicubic")
    colours = draw.colorize((smooth - low) / (high - low)).astype(float)
    expected = 0.35 * draw.grey(rgb) + 0.65 * colours
    picture = files.head_picture(scaled[0], attention.geometry, rgb, LOOKS[2])
    # A value between two colours may be rounded to either.
    assert np.abs(picture - expected).max() <= 3
    assert np.abs(picture - expected).mean() < 0.3


@pytest.mark.parametrize(
    "style",
    [
        LOOKS[1],
        LOOKS[2],
        Style("magma", 0.4, "bilinear", shared_scale=True),
        Style("YlGnBu_r", 1.0, "guided", scale="robust", under="grey"),
        Style(interpolation="bicubic", under="grey"),
    ],
)
def test_the_options_of_a_style_draw_that_style(style):
    kinds = {"colormap": Colormap, "upsample": Upsample, "scale": Scale, "under": Under}
    given = {
        name: kinds[name](value) if name in kinds else value
        for name, value in style_settings(style).items()
    }
    assert Look(**given).style() == style


def test_a_shared_scale_by_either_option_is_the_full_one_of_all():
    assert Look(scale=Scale.shared).style().shared_scale
    assert Look(scale=Scale.shared).style().scale == "full"
    assert Look(look=1, shared_scale=True).style() == Style(shared_scale=True)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"colormap": "jet"}, "colormap is 'jet'"),
        ({"interpolation": "cubic"}, "expected one of nearest, bilinear, bicubic, guided"),
        ({"scale": "shared"}, "expected one of robust, full"),
        ({"under": "white"}, "expected one of photo, grey"),
        ({"opacity": 1.5}, "expected 0 to 1"),
    ],
)
def test_styles_out_of_range_are_refused(values, words):
    with pytest.raises(UserError, match=words):
        Style(**values)


def test_rows_of_moved_grids_are_those_of_each_alone(backbone, rgb):
    asked = {"layers": (0, 2), "queries": ("cls", (1, 2))}
    fine = attend_finely(backbone, rgb, size=64, shifts=2, logits=True, **asked)
    for row, layer in enumerate(asked["layers"]):
        for column, query in enumerate(asked["queries"]):
            expected, geometry = fine_attention(
                backbone, rgb, size=64, shifts=2, layer=layer, query=query
            )
            np.testing.assert_allclose(fine.select(row, column).heads, expected, atol=1e-6)
    assert fine.geometry == geometry
    odds = np.exp(fine.logits - fine.logits.max()) / fine.weights
    each = odds[:, :, :, ::2, ::2].reshape(2, 2, 3, -1)  # of one grid, up to a factor a row
    np.testing.assert_allclose(each, np.broadcast_to(each[..., :1], each.shape), rtol=1e-3)
    with np.load(io.BytesIO(files.layers_npz(fine))) as arrays:
        assert arrays["shifts"] == 2
        assert arrays["grid"].tolist() == [12, 16]
        assert arrays["resized_hw"].tolist() == [48, 64]


def test_another_block_and_query_has_maps_and_masks_at_the_photo_s_size(
    attend, small_weights, photo_file
):
    written = attend("--layers", 0, "--queries", "cls,3:5")
    network = dino.load(small_weights, precision="fp32")
    pixels = dino.decode(photo_file.read_bytes())
    rows = look(network, trace(network, pixels, size=96), layers=(0,), queries=("cls", (3, 5)))
    expected = dict(files.block_files(rows, pixels, 0.6, LOOKS[2]))
    folders = {"block-0-cls", "block-0-3-5"}
    names = {f"head-{n}.png" for n in range(3)} | {f"mask-{n}.png" for n in range(3)}
    assert set(expected) == {f"{f}/{n}" for f in folders for n in names | {"mean.png", "max.png"}}
    assert {name: written[name] for name in expected} == expected
    mask = opened(written["block-0-3-5/mask-1.png"]) > 0
    patches = mass_mask(torch.from_numpy(rows.select(0, 1).heads), 0.6).numpy()
    np.testing.assert_array_equal(mask, rows.geometry.to_photo(patches[1]))


def test_pictures_of_all_blocks_are_made_if_asked_for(attend):
    assert not [name for name in attend("--layers", "all", out="a") if "/" in name]
    asked = attend("--layers", "all", "--pictures", "--rollout", "--logits", out="b")
    assert {name.split("/")[0] for name in asked if "/" in name} == {"block-0-cls", "block-1-cls"}
    assert "block-1-cls/rollout.png" in asked
    plain = attend("--layers", "1", out="c")
    assert asked["block-1-cls/head-0.png"] != plain["block-1-cls/head-0.png"]  # logits
    assert asked["block-1-cls/mask-0.png"] == plain["block-1-cls/mask-0.png"]
    assert not [name for name in attend("--layers", 0, "--no-pictures", out="d") if "/" in name]


def test_sharp_maps_and_masks_are_those_of_the_library(attend, small_weights, photo_file):
    written = attend("--sharp", "--mass", 0.7)
    network = dino.load(small_weights, precision="fp32")
    pixels = dino.decode(photo_file.read_bytes())
    maps = dino.attention_map(network, pixels, size=96, shifts=2, upsample="guided")
    for number in range(3):
        expected = dino.mass_mask(torch.from_numpy(maps[number]), 0.7).numpy()
        np.testing.assert_array_equal(opened(written[f"mask-{number}.png"]) > 0, expected)
    with np.load(io.BytesIO(written["attention.npz"])) as arrays:
        assert arrays["weights"].shape == (3, 18, 24)
        assert arrays["shifts"] == 2
    longer = attend("--shifts", 2, "--upsample", "guided", "--pixel-masks", "--mass", 0.7, out="b")
    assert longer == written


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--smooth", "--upsample", "guided"), "leave one out"),
        (("--sharp", "--rollout"), "leave --shifts and --sharp out"),
        (("--figure", "x.jpg"), "ends in .png, .pdf or .svg"),
        (("--figure-alone",), "name one with --figure"),
        (("--caption", "x"), "name one with --figure"),
        (("--figure-head", "1"), "name one with --figure"),
        (("--figure", "x.png", "--figure-alone", "--caption", "x"), "leave --caption out"),
        (("--animate", "heads.avi"), "such as heads.gif"),
        (("--look", "3"), "--look"),
        (("--shifts", "5"), "--shifts"),
    ],
)
def test_wrong_use_ends_before_anything_is_loaded(cli, photo_file, monkeypatch, options, words):
    monkeypatch.setattr("dino.cli.run.Loading.load", lambda self: pytest.fail("loaded"))
    code, _, err = cli("attend", photo_file, *options)
    assert code == 2
    assert words in " ".join(err.split())


def svg_texts(svg: bytes) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.decode())


def test_a_figure_has_the_photo_its_heads_and_what_made_them(attention, rgb):
    pytest.importorskip("matplotlib")
    figure = Figure("svg", caption="Three heads.", network="a network")
    texts = svg_texts(attention_figure(attention, rgb, LOOKS[2], figure))
    assert [t for t in texts if t in ("photo", "head 0", "head 1", "head 2", "mean")] == [
        *("photo", "head 0", "head 1", "head 2")
    ]
    for head in attention.heads:
        assert f"≥ {100 * np.percentile(head, 98.5):.3g} %" in texts
        assert f"{100 * head.min():.2g}" in texts
    small = " ".join(texts)
    assert "Three heads." in texts
    for words in (
        "a network",
        "attention of the CLS token, block 2",
        "64×48 px, 8×6 patches",
        "bicubic",
    ):
        assert words in small


def test_one_map_of_a_patch_is_marked_where_the_patch_is(backbone, rgb, monkeypatch):
    pytest.importorskip("matplotlib")
    rows = look(backbone, trace(backbone, rgb, size=64), layers=(1,), queries=((1, 2),))
    seen = []
    monkeypatch.setattr(
        printed.printing, "print_figure", lambda panels, **options: seen.append(panels) or b""
    )
    for head in ("1", "max", None):
        attention_figure(rows.select(0, 0), rgb, LOOKS[1], Figure("png", head=head))
    fine = attend_finely(backbone, rgb, size=64, shifts=2, layers=(1,), queries=((1, 2),))
    attention_figure(fine, rgb, LOOKS[1], Figure("png", head="1"))
    titles = [[panel.title for panel in panels] for panels in seen]
    assert titles[:2] == [["photo", "head 1"], ["photo", "max"]]
    assert len(titles[2]) == 4
    # Row 1 and column 2 of patches of 8 px: the middle of 8..16 and of 16..24.
    assert [panels[0].mark for panels in seen] == [(12, 20)] * 4
    logits = rows.select(0, 0, LOGITS)
    attention_figure(logits, rgb, LOOKS[1], Figure("png", head="0"), kind=LOGITS)
    bar = seen[-1][1].bar
    assert (bar.low, bar.high, bar.unit) == (logits.heads[0].min(), logits.heads[0].max(), "")


def test_a_map_alone_is_as_opaque_as_it_is_strong(attention, rgb):
    style = Style(interpolation="nearest")
    figure = Figure("png", scale=2, head="1", alone=True)
    rgba = opened(attention_figure(attention, rgb, style, figure))
    assert rgba.shape == (96, 128, 4)
    head = attention.heads[1]
    share = (head - head.min()) / (head.max() - head.min())
    np.testing.assert_allclose(rgba[8::16, 8::16, 3], share * 255, atol=0.51)
    np.testing.assert_array_equal(rgba[8::16, 8::16, :3], draw.colorize(share))


def test_a_head_that_does_not_exist_is_refused(attention, rgb):
    with pytest.raises(UserError, match="head 7 does not exist; there are 3"):
        attention_figure(attention, rgb, LOOKS[1], Figure("png", head="7"))
    with pytest.raises(UserError, match="expected a number from 0, mean or max"):
        attention_figure(attention, rgb, LOOKS[1], Figure("png", head="best"))


def test_a_film_through_heads_shows_each_in_turn(attention, rgb):
    data = walk_file(attention, rgb, LOOKS[1], through="heads", kind="gif")
    film = Image.open(io.BytesIO(data))
    assert film.n_frames == 3
    pictures = dict(files.map_pictures(attention, rgb, LOOKS[1], kind=PROBABILITIES))
    for number in range(3):
        film.seek(number)
        frame = np.asarray(film.convert("RGB"))[38 : 38 + 48, 12 : 12 + 64]
        expected = pictures[f"head-{number}"]
        assert np.abs(frame.astype(int) - expected).max() <= 12  # 256 colours a frame


def test_a_film_through_blocks_has_one_frame_a_block(attend):
    written = attend("--animate", "blocks.mp4", "--figure", "heads.pdf")
    assert written["heads.pdf"].startswith(b"%PDF")
    import av

    with av.open(io.BytesIO(written["blocks.mp4"])) as film:
        assert sum(1 for _ in film.decode(video=0)) == 2  # the small network's depth
