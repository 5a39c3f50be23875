"""Make masks by pointing: + and − points, scribbles and a box, several objects, answered by feature
similarity.

What was pointed at is in the link as "12:7:+,3:4:-,b2:1:9:8,p21:28:120_3+77_4-|5:5:+". Objects stand
between bars: points (row:column:sign), a box (b, top:left:bottom:right) and what was painted (p,
rows:columns: of the grid, then patches in runs, each with its sign or _ for none).
"""

import re
from dataclasses import dataclass

import numpy as np
import streamlit as st

from app.cache import canvas as cached_canvas
from app.cache import masks as cached_masks
from app.cache import pictures
from app.components.canvas.component import Brush, Prompts, canvas
from app.state import url
from app.state.selection import Choice
from app.ui import layout
from app.ui.masks import REFINEMENTS, MaskDownloads, shrink_masks
from app.ui.widgets import choose_one
from dino.attention.photo import PatchFeatures
from dino.masks.prompts import DEFAULT_LIKENESS, Prompt, prompted_objects
from dino.masks.settings import Mask
from dino.media.draw import objects_overlay
from dino.media.regions import LabelRuns, check_label_runs, from_label_runs
from dino.model.backbone import Backbone
from dino.system.words import counted

MOST_OBJECTS = 8
BRUSHES = (
    Brush("+ brush", "#16813a", "Scribble on the object (B)"),
    Brush("− brush", "#b3261e", "Scribble off the object (B again)"),
)
_BRUSH_SIGNS = np.array([0, 1, -1], dtype=np.int8)  # of the brushes' labels
_SIGNS = "_+-"  # of the labels of paint, in links
_POINT = re.compile(r"(\d{1,3}):(\d{1,3}):([+-])")
_BOX = re.compile(r"b(\d{1,3}):(\d{1,3}):(\d{1,3}):(\d{1,3})")
_PAINTED = re.compile(r"p(\d{1,3}):(\d{1,3}):((?:\d{1,6}[_+-])+)")
_RUN = re.compile(r"(\d+)([_+-])")
_HINT = (
    "Click the object or scribble on it; − point and − brush say what does not belong; Box holds the mask "
    "back. A click on a point takes it away."
)
_HELP = (
    "Arrow keys move over the patches, Enter sets a point, Shift and Enter one off the object; with Box, Enter at two corners. B takes a "
    "brush, E the eraser; Space sets the brush down and lifts it, the square brackets size it. Control and "
    "Z undoes."
)


@dataclass(frozen=True)
class PointedObjects:
    """What is pointed at of each object on a grid (h, w) of patches: in the session under `key`, and in the
    link."""

    key: str
    grid: tuple[int, int]

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def prompts(self) -> list[Prompts]:
        """Give what is pointed at of each object; at the beginning what the link says."""
        if self.key not in st.session_state:
            st.session_state[self.key] = read_marks(st.query_params.get("points", ""), self.grid)
        return st.session_state[self.key]

    @property
    def marks(self) -> str:
        """Write all of it as text, as the link has it."""
        return marks_text(self.prompts, self.grid)

    def replace(self, number: int, *prompts: Prompts) -> None:
        """Put others in the place of object `number`, and all into the link; for callbacks."""
        self.prompts[number : number + 1] = prompts
        url.link("points", self.marks or None)


def show(choice: Choice, backbone: Backbone) -> None:
    """Draw the canvas, what was pointed at, and downloads."""
    _downloads(choice, backbone, pointed(choice, backbone))


def pointed(choice: Choice, backbone: Backbone) -> np.ndarray:
    """Draw the canvas and what was pointed at; return the objects' masks at the photo's own size, bool
    [n,H,W]."""
    features, _ = pictures.features(choice, backbone)
    grid = features.geometry.grid
    objects = PointedObjects(f"objects_{choice.photo.id}_{grid}", grid)
    large, side = st.columns([6, 5], gap="medium")
    with side:
        number = _object(objects)
        likeness = st.slider(
            "How alike", 0.0, 1.0, DEFAULT_LIKENESS, 0.01, key="likeness", bind="query-params",
            help="How far from the least alike patch (0) to the points themselves (1) a patch must be.",
        )  # fmt: skip
        edges = choose_one(
            "Edges",
            list(REFINEMENTS),
            key="edges",
            help="Whole patches, or drawn to the photo's own edges.",
        )
    with large:
        masks = _masks(
            choice, backbone, features, objects, likeness=likeness, refine=REFINEMENTS[edges]
        )
        _canvas(choice, backbone, objects, number, masks)
    with side:
        _show_objects(objects.prompts, masks)
    return masks


def _object(objects: PointedObjects) -> int:
    """Choose which object is pointed at; buttons for another and for less."""
    chosen = f"{objects.key}_chosen"
    st.session_state[chosen] = min(st.session_state.get(chosen, 0), len(objects) - 1)

    def add() -> None:
        st.session_state[chosen] = len(objects)
        objects.replace(len(objects), Prompts())

    def remove() -> None:
        objects.replace(number, *[Prompts()] * (len(objects) == 1))
        st.session_state[chosen] = max(0, number - 1)

    with st.container(horizontal=True, vertical_alignment="bottom"):
        number = (
            st.segmented_control(
                "Object",
                range(len(objects)),
                format_func=lambda index: str(index + 1),
                required=True,
                key=chosen,
            )
            or 0
        )
        st.button(
            "Another object",
            icon=":material/add:",
            disabled=len(objects) >= MOST_OBJECTS,
            on_click=add,
        )
        st.button(
            "Remove it",
            icon=":material/delete:",
            disabled=objects.prompts == [Prompts()],
            on_click=remove,
        )
    return number


def _on_grid(prompts: Prompts, grid: tuple[int, int]) -> Prompt:
    """Keep the points, box and paint that lie on the grid; a link may have been made at another size."""
    points = [point for point in prompts.points if point[0] < grid[0] and point[1] < grid[1]]
    box = prompts.box
    fits = box and box[0] < box[2] <= grid[0] and box[1] < box[3] <= grid[1]
    painted = _BRUSH_SIGNS[from_label_runs(prompts.painted, grid)] if prompts.painted else None
    return Prompt(points, box if fits else None, painted)


def _patches_of(prompts: list[Prompt], grid: tuple[int, int], sign: int) -> np.ndarray:
    """Mark the patches somebody said are on (+1) or off (−1) each object, bool [n,h,w]."""
    marked = np.zeros((len(prompts), grid[0] * grid[1]), dtype=bool)
    for row, prompt in zip(marked, prompts, strict=True):
        row[prompt.patches(sign, grid[1])] = True
    return marked.reshape(-1, *grid)


def without_overlap(masks: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Part masks [n,H,W] so that they share no pixel: what several have goes to the one that had it in
    `first`, [n,H,W] without doubles, else to the earliest of them."""
    shared = masks.sum(axis=0) > 1
    claims = masks & (first | ~first.any(axis=0))
    claims = np.where(claims.any(axis=0), claims, masks)
    earliest = np.arange(len(masks))[:, None, None] == claims.argmax(axis=0)
    return masks & (~shared | earliest)


def _masks(
    choice: Choice,
    backbone: Backbone,
    features: PatchFeatures,
    objects: PointedObjects,
    *,
    likeness: float,
    refine: str,
) -> np.ndarray:
    """Make the objects' masks at the photo's own size, bool [n,H,W]; nothing of one that is not pointed at
    yet."""
    geometry, grid = features.geometry, objects.grid
    on_grid = [_on_grid(prompts, grid) for prompts in objects.prompts]
    patches = prompted_objects(features.patches, grid, on_grid, likeness=likeness)
    masks = geometry.to_photo(patches)
    if refine == "none" or not masks.any():
        return masks
    refined = cached_masks.refine_pointed(
        choice,
        backbone,
        refine,
        f"{likeness} {objects.marks}",
        _masks=masks,
        _on=geometry.to_photo(_patches_of(on_grid, grid, 1)),
        _off=geometry.to_photo(_patches_of(on_grid, grid, -1)),
    )
    return without_overlap(refined.unpack(), masks)


def _canvas(
    choice: Choice, backbone: Backbone, objects: PointedObjects, number: int, masks: np.ndarray
) -> None:
    drawn, width = None, cached_canvas.CANVAS_PX
    if masks.any():
        small = np.stack(shrink_masks(masks, width))
        drawn = layout.marked(objects_overlay(pictures.shown(choice.photo, width), small), backbone)
    panel = cached_canvas.panel(
        choice,
        backbone,
        map_picture=drawn,
        alt=f"Masks of {counted(len(masks), 'object')} over: {choice.photo.alt}",
        compares=False,  # the mask stays in view under the pointer
    )
    canvas(
        "points",
        [panel],
        hint=_HINT,
        help_text=_HELP,
        tools=("plus", "minus", "box"),
        brushes=BRUSHES,
        prompts=objects.prompts[number],
        on_prompts=lambda prompts: objects.replace(number, prompts),
    )


def _show_objects(objects: list[Prompts], masks: np.ndarray) -> None:
    lines = []
    for index, (prompts, mask) in enumerate(zip(objects, masks, strict=True), start=1):
        on, off = (_count(prompts, sign) for sign in (1, -1))
        box = ", a box" if prompts.box else ""
        lines.append(
            f"- Object {index}: {on} on it, {off} off it{box}; {mask.mean():.0%} of the photo"
        )
    st.markdown("\n".join(lines))
    st.caption(
        "A patch belongs when its feature is alike enough to a point on the object (cosine), and nearer to "
        "it than to any point off it. Each patch a brush went over is such a point. A box alone takes what "
        "is unlike its outside."
    )


def _count(prompts: Prompts, sign: int) -> int:
    """Count the points and painted patches of a sign."""
    painted = zip(prompts.painted[::2], _BRUSH_SIGNS[list(prompts.painted[1::2])], strict=True)
    return sum(s == sign for _, _, s in prompts.points) + sum(n for n, s in painted if s == sign)


def _downloads(choice: Choice, backbone: Backbone, masks: np.ndarray) -> None:
    kept = [mask for mask in masks if mask.any()]
    if not kept:
        st.info("Point at an object to make a mask.", icon=":material/touch_app:")
        return
    objects = [Mask(mask, "points") for mask in kept]
    whole = Mask(np.logical_or.reduce(kept, axis=0), "points")
    files = MaskDownloads(choice.photo, backbone.is_random, lambda: (whole, objects))
    packed = "All files (ZIP)", f"{files.stem}-points.zip", "folder_zip", files.zip
    layout.downloads(*files.buttons(), packed)


def marks_text(objects: list[Prompts], grid: tuple[int, int]) -> str:
    """Write the objects, pointed at on a grid (h, w) of patches, as text."""
    parts = []
    for prompts in objects:
        words = [
            f"{row}:{column}:{'+' if sign > 0 else '-'}" for row, column, sign in prompts.points
        ]
        words += ["b" + ":".join(map(str, prompts.box))] if prompts.box else []
        if prompts.painted:
            runs = zip(prompts.painted[::2], prompts.painted[1::2], strict=True)
            text = "".join(f"{count}{_SIGNS[label]}" for count, label in runs)
            words.append(f"p{grid[0]}:{grid[1]}:{text}")
        parts.append(",".join(words))
    return "|".join(parts)


def read_marks(text: str, grid: tuple[int, int]) -> list[Prompts]:
    """Read the objects of a `marks_text`; what is not readable in it, or was painted on another grid, is
    left out. There is one empty object at least."""
    objects = []
    for part in text.split("|")[:MOST_OBJECTS]:
        words = part.split(",")
        points = [
            (int(m[1]), int(m[2]), 1 if m[3] == "+" else -1)
            for m in map(_POINT.fullmatch, words)
            if m
        ]
        boxes = [m for m in map(_BOX.fullmatch, words) if m]
        box = tuple(int(value) for value in boxes[0].groups()) if boxes else None
        painted = next((runs for runs in (_painted(word, grid) for word in words) if runs), ())
        objects.append(Prompts(tuple(points), box, painted))  # type: ignore[arg-type]
    return objects


def _painted(word: str, grid: tuple[int, int]) -> LabelRuns:
    found = _PAINTED.fullmatch(word)
    if not found or (int(found[1]), int(found[2])) != grid:
        return ()
    runs = [(int(count), _SIGNS.index(sign)) for count, sign in _RUN.findall(found[3])]
    try:
        return check_label_runs([value for run in runs for value in run], grid, len(_SIGNS) - 1)
    except ValueError:
        return ()
