"""Colours of pictures and charts: what keeps them apart from their ground, and that there is one set of them."""

import re
from pathlib import Path

import pytest

from dino.media.palettes import (
    BELOW,
    CHART_COLORS,
    CHOSEN_COLOR,
    MASK_COLOR,
    OBJECT_COLORS,
    OTHERS_COLOR,
    POINT_COLORS,
    hex_color,
    object_color,
)

ROOT = Path(__file__).parents[2]
STYLES = ("app/ui/layout.py", "app/components/map_grid/map_grid.css", "dino/canvas/canvas.css")


def luminance(color: str) -> float:
    """Compute the relative luminance of "#rrggbb", as WCAG 2 defines it."""
    levels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return sum(part * level for part, level in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_hex_is_rgb_in_two_digits_each():
    assert hex_color((255, 140, 0)) == "#ff8c00"
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("ground", ["#ffffff", "#10191b"])
def test_lines_stand_out_on_white_and_on_black(ground):
    assert [color for color in CHART_COLORS if contrast(color, ground) < 3] == []


def test_the_first_object_has_the_colour_of_a_single_mask_and_colours_come_round_again():
    assert object_color(0) == object_color(len(OBJECT_COLORS)) == MASK_COLOR
    assert len(set(OBJECT_COLORS)) == len(OBJECT_COLORS)


def test_no_module_keeps_a_copy_of_a_palette():
    shared = {c.lower() for c in (*CHART_COLORS, *POINT_COLORS, OTHERS_COLOR, hex_color(BELOW))}
    files = [path for top in ("dino", "app") for path in (ROOT / top).rglob("*.py")]
    copies = [
        (str(path.relative_to(ROOT)), color)
        for path in files
        if path.name != "palettes.py"
        for color in re.findall("#[0-9a-fA-F]{6}", path.read_text())
        if color.lower() in shared
    ]
    assert len(files) > 100
    assert copies == []


@pytest.mark.parametrize("style", STYLES)
def test_style_sheets_frame_what_is_chosen_in_its_colour(style):
    frames = re.findall(r"(?:chosen|pressed)[^{]*\{[^}]*solid (#\w+)", (ROOT / style).read_text())
    assert set(frames) == {CHOSEN_COLOR}
