"""Colours by what they stand for: masks, objects, lines and points of charts. One place for all pictures.

Pictures take RGB, charts "#rrggbb" (`hex_color` makes one of the other); spectra are `COLORMAPS` of `draw`.
"""


def hex_color(color: tuple[int, int, int]) -> str:
    """Write RGB as "#rrggbb"."""
    return "#" + bytes(color).hex()


MASK_COLOR = (255, 140, 0)
# Apart for every common colour-vision deficiency, and of like lightness.
ABOVE, BELOW = MASK_COLOR, (40, 120, 255)
# Of the objects and labels in a picture, wherever one is drawn: as many as the eye keeps apart, the first
# that of a single mask.
OBJECT_COLORS = (
    MASK_COLOR,
    (86, 180, 233),
    (0, 179, 134),
    (240, 228, 66),
    (204, 121, 167),
    (182, 140, 255),
    (255, 90, 79),
    (155, 229, 100),
    (255, 255, 255),
)
# In charts: what was chosen or is looked at, and what was not.
CHOSEN_COLOR, OTHERS_COLOR = hex_color(MASK_COLOR), "#8a8f98"
# Of the lines and bars in charts: after Okabe and Ito, of a lightness that stands out (3:1) on white and on
# near black. Bars take the first for what is ours and the grey for what others published.
CHART_COLORS = (
    "#1f8fd1",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#7f7f7f",
    "#b8860b",
    "#d64545",
    "#7d6fd6",
)
OURS, PUBLISHED = 0, 4
# Of points in groups, up to ten beside each other: told apart by most eyes (Okabe and Ito's among them), and
# without a grey, which is that of all other groups.
POINT_COLORS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#d55e00",
    "#56b4e9",
    "#b8a900",
    "#7f5af0",
    "#8c564b",
    "#e5446d",
)


def object_color(number: int) -> tuple[int, int, int]:
    """Choose the RGB of object `number`, from 0; the colours come round again."""
    return OBJECT_COLORS[number % len(OBJECT_COLORS)]
