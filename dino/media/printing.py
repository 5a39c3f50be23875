"""Pictures → a figure to print: panels in rows, colour bars, a caption, and below it what made them.

    figure = print_figure([Panel(photo, "photo"), Panel(head, "head 0")], kind="pdf", made_by=["dino_vits16"])

By matplotlib, an extra that is imported when a figure is made. Text stays text in PDF and SVG, pictures are
embedded; there is no date in a file, so that the same figure has the same bytes.
"""

import importlib.util
import io
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import cv2
import numpy as np

from dino.errors import UserError
from dino.media.draw import COLORMAPS, encode_png
from dino.version import VERSION

KINDS = ("png", "pdf", "svg")
MAX_SCALE = 4
# Inches. Of one column and of both on a page of a journal (89 and 183 mm).
_ONE_COLUMN, _PAGE = 3.5, 7.2
_MARGIN, _GAP = 0.05, 0.06
_TITLE, _BAR, _BAR_TEXT, _LINE, _SMALL_LINE = 0.17, 0.05, 0.13, 0.15, 0.1
_MOST_IN_A_ROW = 7  # the photo and the six heads of a ViT-S
_MOST_WIDE = 2  # so many stand in one column of the journal
# Points, and what a letter is wide on average, in shares of its size.
_FONT, _SMALL_FONT, _LETTER = 7.0, 5.0, 0.56
_DPI = 150  # of pictures and PNGs at scale 1
_LOOK = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "svg.fonttype": "none",
    "svg.hashsalt": "figure",  # ids of an SVG are random otherwise
    "pdf.fonttype": 42,  # TrueType: text can be edited
    "image.composite_image": False,
}
# Settings of matplotlib are its module's: figures are made one after the other.
_TURN = threading.Lock()


@dataclass(frozen=True)
class Bar:
    """What the colours of a panel mean: the values of the first and the last one, and their unit. `clipped`:
    what is above has the last colour too."""

    colormap: str
    low: float
    high: float
    unit: str = ""
    clipped: bool = False

    @property
    def ends(self) -> tuple[str, str]:
        """Write the values of both ends."""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.low:.2g}", f"{'≥ ' if self.clipped else ''}{self.high:.3g}{unit}"


@dataclass(frozen=True)
class Panel:
    """A picture, uint8 [H,W,3] or [H,W,4], with its title, colour bar, and the place (y, x) of a mark in px of
    the picture."""

    picture: np.ndarray
    title: str = ""
    bar: Bar | None = None
    mark: tuple[float, float] | None = None


def figure_kind(name: str) -> str:
    """Read the kind of figure from a file's name, before anything slow is done.

    Raises:
        UserError: another ending than those of `KINDS`, or no matplotlib.
    """
    kind = PurePath(name).suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise UserError(
            f"the figure's name is {name!r}; expected a file name that ends in .png, .pdf or .svg"
        )
    if PurePath(name).name != name:
        raise UserError(
            f"the figure's name is {name!r}; expected one without a folder, such as "
            f"{PurePath(name).name}: it goes beside the other files of each photo, below --out"
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError(
            "figures are printed with matplotlib, which is not installed; install it with "
            "`pip install 'matplotlib>=3.9'`"
        )
    return kind


def print_figure(
    panels: Sequence[Panel],
    *,
    kind: str,
    scale: int = 2,
    caption: str = "",
    made_by: Sequence[str] = (),
    columns: int = _MOST_IN_A_ROW,
    is_wide: bool = False,
) -> bytes:
    """Print panels in rows, as wide as a page of a journal, or as its column where there are one or two.

    Args:
        kind: of `KINDS`.
        scale: pictures, and a PNG as a whole, have 150 times so many dots an inch, 1 to 4.
        caption: stands below, broken into lines.
        made_by: network and settings, small below the caption; the project's version is added.
        is_wide: as wide as a page in any case.
    Raises:
        UserError: a scale out of range.
    """
    _check_scale(scale)
    columns = min(columns, len(panels))
    width = _PAGE if is_wide or columns > _MOST_WIDE else _ONE_COLUMN
    side = (width - 2 * _MARGIN - (columns - 1) * _GAP) / columns
    tallest = max(panel.picture.shape[0] / panel.picture.shape[1] for panel in panels)
    foot = " · ".join([*made_by, f"DINO Explorer {VERSION}"])
    captions = _lines(caption, width, _FONT)
    feet = _lines(foot, width, _SMALL_FONT)
    head = _TITLE if any(panel.title for panel in panels) else 0.0
    below = _BAR + _BAR_TEXT + 0.02 if any(panel.bar for panel in panels) else 0.0
    row_height = head + side * tallest + below
    rows = -(-len(panels) // columns)
    text_height = len(captions) * _LINE + len(feet) * _SMALL_LINE + 0.08
    height = 2 * _MARGIN + rows * row_height + (rows - 1) * _GAP + text_height
    with _canvas(width, height, kind, scale, description=foot) as sheet:
        for number, panel in enumerate(panels):
            row, column = divmod(number, columns)
            left = _MARGIN + column * (side + _GAP)
            top = _MARGIN + row * (row_height + _GAP) + head
            _draw_panel(sheet, panel, left, top, side)
        y = height - _MARGIN - text_height + 0.06
        y = sheet.write(captions, _MARGIN, y, _FONT, _LINE)
        sheet.write(feet, _MARGIN, y, _SMALL_FONT, _SMALL_LINE, colour="0.4")
    return sheet.data


def print_alone(picture: np.ndarray, *, kind: str, width_px: int) -> bytes:
    """Print one picture, uint8 [H,W,3] or [H,W,4], without a margin; what is transparent stays so.

    Args:
        width_px: of the photo, which sets how wide a PDF or SVG is: 150 px an inch.
    """
    if kind == "png":
        return encode_png(picture)
    width = width_px / _DPI
    height = width * picture.shape[0] / picture.shape[1]
    with _canvas(width, height, kind, 1, description="") as sheet:
        sheet.place(picture, 0, 0, width, height)
    return sheet.data


class _Sheet:
    """A page of matplotlib's, addressed in inches from the top left."""

    def __init__(self, figure: Any, size: tuple[float, float], dots: int, *, is_vector: bool):
        self.figure, self.data = figure, b""
        self._width, self._height = size
        self._dots, self._is_vector = dots, is_vector

    def place(
        self, picture: np.ndarray, left: float, top: float, width: float, height: float
    ) -> Any:
        """Place a picture; gives the axes it fills, in px of the picture."""
        fitted = _fitted(picture, round(width * self._dots), enlarge=not self._is_vector)
        box = (left / self._width, 1 - (top + height) / self._height)
        axes = self.figure.add_axes((*box, width / self._width, height / self._height))
        axes.set_axis_off()
        h, w = picture.shape[:2]
        interpolation = "none" if self._is_vector else "nearest"
        axes.imshow(fitted, extent=(0, w, h, 0), aspect="auto", interpolation=interpolation)
        return axes

    def write(
        self,
        lines: Sequence[str],
        x: float,
        y: float,
        size: float,
        step: float,
        *,
        colour: str = "black",
        align: str = "left",
    ) -> float:
        """Write lines with the first one's top at y; gives where the next would begin."""
        for line in lines:
            self.figure.text(
                x / self._width,
                1 - y / self._height,
                line,
                size=size,
                color=colour,
                ha=align,
                va="top",
                parse_math=False,  # names and captions may hold $
            )
            y += step
        return y


@contextmanager
def _canvas(
    width: float, height: float, kind: str, scale: int, *, description: str
) -> Iterator[_Sheet]:
    """Open a page of so many inches; when it is closed, its `data` are the file's bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    dots = _DPI * scale
    # Without dates and versions of libraries, which PNG, PDF and SVG name differently.
    metadata: dict[str, Any] = {
        "png": {"Software": None, "Description": description},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None, "Subject": description},
        "svg": {"Date": None, "Creator": None, "Description": description},
    }[kind]
    with _TURN, matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own settings would change the figure
        matplotlib.rcParams.update(_LOOK)
        figure = Figure(figsize=(width, height), dpi=dots)
        figure.patch.set_alpha(1.0 if description else 0.0)
        sheet = _Sheet(figure, (width, height), dots, is_vector=kind != "png")
        yield sheet
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=dots, metadata=metadata)
        sheet.data = buffer.getvalue()


def _draw_panel(sheet: _Sheet, panel: Panel, left: float, top: float, side: float) -> None:
    height = side * panel.picture.shape[0] / panel.picture.shape[1]
    if panel.title:
        middle = left + side / 2
        sheet.write([panel.title], middle, top - _TITLE + 0.03, _FONT, 0, align="center")
    axes = sheet.place(panel.picture, left, top, side, height)
    if panel.mark is not None:
        y, x = panel.mark
        for size, colour in ((5, "black"), (3.6, "white")):
            axes.plot([x], [y], "o", ms=size, mfc="none", mec=colour, mew=1.0)
    if panel.bar is not None:
        colours = COLORMAPS[panel.bar.colormap][None]
        y = top + height + 0.03
        sheet.place(colours, left, y, side, _BAR)
        low, high = panel.bar.ends
        sheet.write([low], left, y + _BAR + 0.02, _SMALL_FONT, 0)
        sheet.write([high], left + side, y + _BAR + 0.02, _SMALL_FONT, 0, align="right")


def _fitted(picture: np.ndarray, width: int, *, enlarge: bool) -> np.ndarray:
    """Resize a picture to so many px in width; where it is embedded it is never enlarged."""
    height, full = picture.shape[:2]
    if full == width or (full < width and not enlarge):
        return picture
    size = (width, max(1, round(height * width / full)))
    flag = cv2.INTER_AREA if width < full else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=flag))


def _lines(text: str, width: float, size: float) -> list[str]:
    letters = int((width - 2 * _MARGIN) * 72 / (size * _LETTER))
    return [line for part in text.splitlines() for line in textwrap.wrap(part, letters)]


def _check_scale(scale: int) -> None:
    if not 1 <= scale <= MAX_SCALE:
        raise UserError(f"the figure's scale is {scale}; expected 1 to {MAX_SCALE}")
