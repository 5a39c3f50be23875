"""The canvas: one or several photos whose patches are compared in the browser under the pointer.

Patch features travel once, as half precision at an address; what a pointer, finger or key asks of them
is answered where they lie, without the server. Python hears of picks, points and boxes only.
"""

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from dino.errors import UserError
from dino.render import colorize

MAX_POINTS = 64
TOOLS = ("pick", "plus", "minus", "box")

# Read in the order of their names: each part builds on those before.
_PARTS = Path(__file__).parent / "canvas_parts"
_component = st.components.v2.component(
    "dino_canvas",
    html=(_PARTS / "canvas.html").read_text(),
    css=(_PARTS / "canvas.css").read_text(),
    js="\n".join(path.read_text() for path in sorted(_PARTS.glob("*.js"))),
)
_PICK = re.compile(r"([0-3]):(\d{1,4}):(\d{1,4})")


@dataclass(frozen=True)
class Panel:
    """One photo on the canvas, covered by its patches from edge to edge.

    `photo` and `map` (what is shown over it until a patch is pointed at) are addresses, `features` the
    address of float16 [N,D] of unit length, row by row of the grid (`rows`, `columns`); None compares
    nothing. `width` and `height` in px give the shape.
    """

    photo: str
    alt: str
    rows: int
    columns: int
    width: int
    height: int
    features: str | None = None
    map: str | None = None
    caption: str = ""


@dataclass(frozen=True)
class Picked:
    """A patch of a panel, both from 0."""

    panel: int
    row: int
    column: int


@dataclass(frozen=True)
class Prompts:
    """Points (row, column, +1 or −1) and a box (top, left, bottom, right; ends excluded) in patches."""

    points: tuple[tuple[int, int, int], ...] = ()
    box: tuple[int, int, int, int] | None = None


def canvas(
    key: str,
    panels: Sequence[Panel],
    *,
    hint: str,
    help_text: str,
    colormap: str = "inferno",
    opacity: float = 0.7,
    link: str | None = None,
    chosen: Picked | None = None,
    lines: Sequence[Sequence[float]] = (),
    wipe: bool = False,
    tools: Sequence[str] = ("pick",),
    prompts: Prompts | None = None,
    on_pick: Callable[[Picked | None], None] | None = None,
    on_prompts: Callable[[Prompts], None] | None = None,
) -> None:
    """Draw the canvas.

    Args:
        hint: a line below while nothing is pointed at; `help_text` what a screen reader says of keys.
        link: how panels answer together: "match" compares with the patch under the cursor and marks
            the best, "position" with the patch at the same place in each, None each by itself.
        lines: (row, column, row, column, cosine) from the first panel to the second.
        wipe: a slider between photo and map.
        tools: of `TOOLS`; "pick" alone, or points and box on the first panel.
        on_pick, on_prompts: called before the run that follows; a pick of None clears.
    """

    def picked() -> None:
        found = st.session_state[key].picked
        if found is not None and on_pick:
            on_pick(read_pick(found, panels))

    def prompted() -> None:
        found = st.session_state[key].prompts
        if found is not None and on_prompts:
            on_prompts(read_prompts(found, panels[0]))

    palette = colorize(np.linspace(0, 1, 256)[None], colormap)[0]
    shown = prompts or Prompts()
    data = {
        "panels": [asdict(panel) for panel in panels],
        "palette": base64.b64encode(palette.tobytes()).decode(),
        "opacity": opacity,
        "link": link,
        "chosen": asdict(chosen) if chosen else None,
        "lines": [list(line) for line in lines],
        "wipe": wipe,
        "picks": on_pick is not None,
        "map_on_pick": on_pick is not None and any(panel.map for panel in panels),
        "tools": list(tools),
        "points": [list(point) for point in shown.points],
        "box": list(shown.box) if shown.box else None,
        "hint": hint,
        "help": help_text,
    }
    _component(key=key, data=data, on_picked_change=picked, on_prompts_change=prompted)


def read_pick(told: Any, panels: Sequence[Panel]) -> Picked | None:
    """What a browser sent as a pick, believed in nothing; None clears.

    Raises:
        UserError: it is no patch of these panels.
    """
    if told == "clear":
        return None
    match = _PICK.fullmatch(told) if isinstance(told, str) else None
    if match:
        number, row, column = map(int, match.groups())
        if number < len(panels) and row < panels[number].rows and column < panels[number].columns:
            return Picked(number, row, column)
    raise UserError("the browser picked a patch that is not there; reload the page")


def read_prompts(told: Any, panel: Panel) -> Prompts:
    """What a browser sent as points and a box on a panel, believed in nothing.

    Raises:
        UserError: it is not within the panel, or too many points.
    """
    try:
        points, box = list(told["points"]), told["box"]
        found = None if box is None else _box(box, panel)
        kept = tuple(_point(point, panel) for point in points[: MAX_POINTS + 1])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("the browser sent points that are not there; reload the page") from error
    if len(points) > MAX_POINTS:
        raise UserError(f"got {len(points)} points, expected {MAX_POINTS} at most; undo some")
    return Prompts(kept, found)


def _point(told: Sequence[Any], panel: Panel) -> tuple[int, int, int]:
    row, column, sign = _whole(told, 3)
    if not (0 <= row < panel.rows and 0 <= column < panel.columns and sign in (-1, 1)):
        raise ValueError
    return row, column, sign


def _box(told: Sequence[Any], panel: Panel) -> tuple[int, int, int, int]:
    top, left, bottom, right = _whole(told, 4)
    if not (0 <= top < bottom <= panel.rows and 0 <= left < right <= panel.columns):
        raise ValueError
    return top, left, bottom, right


def _whole(told: Sequence[Any], count: int) -> list[int]:
    if not isinstance(told, Sequence) or len(told) != count:
        raise ValueError
    if any(type(value) is not int for value in told):
        raise TypeError
    return list(told)
