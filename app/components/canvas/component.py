"""Draw the canvas: one or several photos whose patches are compared in the browser under the pointer.

Photos, patch features (half precision) and maps travel once, as bytes; what a pointer, finger or key asks of
them is answered where they lie, without the server. Python hears of picks, points, boxes, and of how maps look
once the hand rests.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import streamlit as st

from app.components.arrivals.component import bring
from app.state.problems import attempt, show_kept
from dino.canvas import scripts
from dino.canvas.content import Blob, MapSet, Panel, Picked, content, read_pick
from dino.canvas.look import Look, read_look
from dino.errors import UserError
from dino.media.regions import LabelRuns, check_label_runs

MAX_POINTS = 64
TOOLS = ("pick", "plus", "minus", "box", "fill")

_component = st.components.v2.component(
    "dino_canvas",
    html=scripts.MARKUP,
    css=scripts.STYLE,
    js=scripts.APP,
)
_script = st.components.v2.component("dino_canvas_script", js=scripts.SCRIPT)


@dataclass(frozen=True)
class Brush:
    """A brush for one label, which is its place among the brushes from 1: the name on its button, its
    colour as "#rrggbb", and what it is for."""

    name: str
    colour: str
    title: str = ""


@dataclass(frozen=True)
class Prompts:
    """Points (row, column, +1 or −1) and a box (top, left, bottom, right; ends excluded) in patches, and
    what is painted, in runs of labels."""

    points: tuple[tuple[int, int, int], ...] = ()
    box: tuple[int, int, int, int] | None = None
    painted: LabelRuns = ()


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
    brushes: Sequence[Brush] = (),
    paint_size: tuple[int, int] | None = None,
    prompts: Prompts | None = None,
    maps: MapSet | None = None,
    look: Look | None = None,
    follow_picks: bool = True,
    on_look: Callable[[Look], None] | None = None,
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
        tools: of `TOOLS`: "pick" a patch; on the first panel points, a box, or a box that the first
            brush fills.
        brushes: what the first panel can be painted with; an eraser comes with them.
        paint_size: (rows, columns) of the cells that are painted; None paints patches.
        follow_picks: arrow keys pick as they go, and what a pick brings to the map stays in view
            until the pointer leaves; else only a click and Enter pick, and similarity stays in view.
        maps: of the first panel, drawn in the browser as `look` says; then `colormap`, `opacity` and
            `wipe` are not used.
        on_pick, on_prompts, on_look: called before the run that follows; a pick of None clears.
    """
    size = paint_size or (panels[0].rows, panels[0].columns)
    heard, look_heard, problem = f"{key}_heard", f"{key}_look_heard", f"{key}_problem"

    def picked() -> None:
        found = st.session_state[key].picked
        if found is not None and on_pick:
            attempt(problem, lambda: on_pick(read_pick(found, panels)))

    def prompted() -> None:
        found = st.session_state[key].prompts
        if found is None or on_prompts is None:
            return
        st.session_state[heard] = _number(found)
        attempt(problem, lambda: on_prompts(read_prompts(found, panels[0], size, len(brushes))))

    def looked() -> None:
        found = st.session_state[key].look
        if found is None or on_look is None or maps is None:
            return
        st.session_state[look_heard] = _number(found)
        attempt(problem, lambda: on_look(read_look(found, maps.names)))

    look_number = st.session_state.get(look_heard, 0)
    data = content(
        panels,
        hint=hint,
        help_text=help_text,
        maps=maps.message(look or Look(), look_number) if maps else None,
        colormap=colormap,
        opacity=opacity,
        link=link,
        chosen=asdict(chosen) if chosen else None,
        lines=[list(line) for line in lines],
        wipe=wipe,
        picks=on_pick is not None,
        follow_picks=follow_picks,
        map_on_pick=follow_picks
        and on_pick is not None
        and (maps is not None or any(one.map for one in panels)),
        tools=list(tools),
        brushes=[asdict(brush) for brush in brushes],
        paint_rows=size[0],
        paint_columns=size[1],
        **asdict(prompts or Prompts()),
        most_points=MAX_POINTS,
        heard=st.session_state.get(heard, 0),
        page_keys=True,
    )
    with st.container(gap=None):
        _component(
            key=key,
            data=data,
            on_picked_change=picked,
            on_prompts_change=prompted,
            on_look_change=looked,
        )
        _script(key=f"{key}_script", height=1)
        bring(f"{key}_bytes", _bytes_of(panels, maps))
    show_kept(problem)


def _bytes_of(panels: Sequence[Panel], maps: MapSet | None) -> Iterator[Blob]:
    """List what a canvas draws from, the photos first."""
    yield from (panel.photo for panel in panels)
    yield from (panel.features for panel in panels if panel.features)
    if maps:
        yield maps.values


def _number(sent: Any) -> int:
    """Read the number of a message: the browser waits for the answer to its last."""
    number = sent.get("number") if isinstance(sent, Mapping) else None
    return number if type(number) is int else 0


def read_prompts(
    sent: Any, panel: Panel, paint_size: tuple[int, int] = (0, 0), num_brushes: int = 0
) -> Prompts:
    """Check what a browser sent as points, a box and paint on a panel; nothing of it is taken for granted.

    Args:
        paint_size: (rows, columns) that can be painted.
    Raises:
        UserError: it is not within the panel, or too many points.
    """
    try:
        points, box = list(sent["points"]), sent["box"]
        found = None if box is None else _box(box, panel)
        kept = tuple(_point(point, panel) for point in points[: MAX_POINTS + 1])
        painted = check_label_runs(sent["painted"], paint_size, num_brushes)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("the browser sent points that are not there; reload the page") from error
    if len(points) > MAX_POINTS:
        raise UserError(
            f"got {len(points)} points, expected {MAX_POINTS} at most; undo some, or paint"
        )
    return Prompts(kept, found, painted)


def _point(sent: Sequence[Any], panel: Panel) -> tuple[int, int, int]:
    row, column, sign = _whole(sent, 3)
    if not (0 <= row < panel.rows and 0 <= column < panel.columns and sign in (-1, 1)):
        raise ValueError
    return row, column, sign


def _box(sent: Sequence[Any], panel: Panel) -> tuple[int, int, int, int]:
    top, left, bottom, right = _whole(sent, 4)
    if not (0 <= top < bottom <= panel.rows and 0 <= left < right <= panel.columns):
        raise ValueError
    return top, left, bottom, right


def _whole(sent: Sequence[Any], count: int) -> list[int]:
    if not isinstance(sent, Sequence) or len(sent) != count:
        raise ValueError
    if any(type(value) is not int for value in sent):
        raise TypeError
    return list(sent)
