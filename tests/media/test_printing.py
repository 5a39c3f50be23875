"""Figures to print, read back: pixels of a PNG, texts of an SVG, objects of a PDF."""

import base64
import io
import re
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from dino.errors import UserError
from dino.media import printing
from dino.media.printing import Bar, Panel, figure_kind, print_alone, print_figure
from dino.version import VERSION

pytest.importorskip("matplotlib")
SVG = "{http://www.w3.org/2000/svg}"


def flat(colour: tuple[int, ...], size: tuple[int, int] = (60, 80)) -> np.ndarray:
    return np.full((*size, len(colour)), colour, np.uint8)


def chunk(name: bytes, content: bytes) -> bytes:
    checked = name + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def texts(svg: bytes) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_a_png_shows_each_panel_in_its_place():
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    data = print_figure([Panel(flat(colour)) for colour in colours], kind="png", scale=1)
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert pixels.shape[1] == 7.2 * 150
    for number, colour in enumerate(colours):
        middle = pixels[60, round((number + 0.5) * pixels.shape[1] / 3)]
        assert tuple(middle) == colour
    assert tuple(pixels[2, 2]) == (255, 255, 255)


def test_twice_the_scale_is_twice_the_pixels():
    sizes = []
    for scale in (1, 2, 4):
        data = print_figure([Panel(flat((9, 9, 9)))], kind="png", scale=scale)
        sizes.append(Image.open(io.BytesIO(data)).size)
    assert sizes[0][0] == 3.5 * 150
    np.testing.assert_allclose(np.array(sizes[1:]), np.outer((2, 4), sizes[0]), atol=3)


def test_more_than_seven_panels_go_on_in_another_row():
    one, two = (
        Image.open(io.BytesIO(print_figure([Panel(flat((1, 2, 3)))] * n, kind="png", scale=1)))
        for n in (7, 8)
    )
    assert two.width == one.width
    assert two.height > 1.5 * one.height


def test_an_svg_holds_its_texts_as_text_and_its_pictures():
    panels = [
        Panel(flat((10, 20, 30)), "photo", mark=(30, 40)),
        Panel(flat((40, 50, 60)), "head 0", Bar("viridis", 0.0123, 1.849, "%", clipped=True)),
    ]
    made_by = ["a network", "block 11"]
    caption = "What costs $5 & $6 <b>?"
    data = print_figure(panels, kind="svg", caption=caption, made_by=made_by)
    found = texts(data)
    assert {"photo", "head 0", "0.012", "≥ 1.85 %", caption} <= set(found)
    assert " ".join(found).count(f"a network · block 11 · DINO Explorer {VERSION}") == 1
    images = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(code))).convert("RGB"))
        for code in re.findall(rb"data:image/png;base64,\s*([\w+/=\s]+)\"", data)
    ]
    assert [tuple(image[0, 0]) for image in images[:2]] == [(10, 20, 30), (40, 50, 60)]
    assert images[0].shape == (60, 80, 3)  # embedded as it is, not enlarged
    np.testing.assert_array_equal(images[2][0], printing.COLORMAPS["viridis"])


def test_a_pdf_embeds_pictures_and_fonts():
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    data = print_figure([Panel(picture, "photo")], kind="pdf")
    assert data.startswith(b"%PDF")
    (image,) = (part for part in data.split(b"endobj") if b"/Subtype /Image" in part)
    assert b"/Width 80" in image
    assert b"/Height 60" in image
    # Its rows are predicted as those of a PNG: with a PNG's head before them they are one.
    pixels = image[image.index(b"stream") + len(b"stream\n") : image.rindex(b"\nendstream")]
    head = struct.pack(">IIBBBBB", 80, 60, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels)
    embedded = np.asarray(Image.open(io.BytesIO(png + chunk(b"IEND", b""))))
    np.testing.assert_array_equal(embedded[::-1], picture)  # a PDF counts rows from the bottom
    assert b"/Subtype /TrueType" in data or b"/CIDFontType2" in data


@pytest.mark.parametrize("kind", printing.KINDS)
def test_the_same_figure_has_the_same_bytes_and_no_date(kind):
    panel = Panel(flat((10, 20, 30)), "photo", Bar("gray", 0, 1), mark=(3, 4))
    first, second = (print_figure([panel], kind=kind, caption="one") for _ in range(2))
    assert first == second
    assert not re.search(rb"CreationDate|dc:date|Matplotlib v", first)


def test_a_user_s_settings_of_matplotlib_change_nothing():
    import matplotlib

    plain = print_figure([Panel(flat((1, 2, 3)), "photo")], kind="png")
    with matplotlib.rc_context({"font.size": 30, "savefig.bbox": "tight", "text.color": "red"}):
        assert print_figure([Panel(flat((1, 2, 3)), "photo")], kind="png") == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_a_long_caption_is_broken_into_lines_that_stay_on_the_page():
    caption = "attention " * 60
    data = print_figure([Panel(flat((1, 2, 3)))], kind="svg", caption=caption)
    lines = [line for line in texts(data) if line.startswith("attention")]
    assert len(lines) > 5
    assert " ".join(lines) == caption.strip()


def test_a_picture_alone_keeps_its_transparency():
    picture = flat((10, 20, 30, 0))
    picture[:, 40:, 3] = 255
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(print_alone(picture, kind="png", width_px=80)))), picture
    )
    svg = print_alone(picture, kind="svg", width_px=80)
    (code,) = re.findall(rb"data:image/png;base64,\s*([\w+/=\s]+)\"", svg)
    inside = np.asarray(Image.open(io.BytesIO(base64.b64decode(code))))
    np.testing.assert_array_equal(inside[..., 3], picture[..., 3])
    assert texts(svg) == []
    assert b"/SMask" in print_alone(picture, kind="pdf", width_px=80)


@pytest.mark.parametrize("name", ["figure.jpg", "figure", "png"])
def test_other_names_are_refused(name):
    with pytest.raises(UserError, match=r"ends in \.png, \.pdf or \.svg"):
        figure_kind(name)


@pytest.mark.parametrize("name", ["folder/figure.png", "../figure.pdf"])
def test_a_name_with_a_folder_is_refused_with_where_figures_go(name):
    with pytest.raises(UserError, match=r"expected one without a folder, such as figure\.p"):
        figure_kind(name)


def test_where_matplotlib_is_missing_a_sentence_says_what_to_install(monkeypatch):
    assert figure_kind("Heads.PDF") == "pdf"
    monkeypatch.setattr(printing.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"not installed; install it with `pip install"):
        figure_kind("heads.pdf")


def test_a_scale_out_of_range_is_refused():
    with pytest.raises(UserError, match="expected 1 to 4"):
        print_figure([Panel(flat((1, 2, 3)))], kind="png", scale=5)
