"""Masks by pointing: + and − points, scribbles and a box, several objects, answered by feature
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
from app.ui.mask_methods import REFINEMENTS
from dino.masks.coco import coco_json
from dino.masks.files import mask_files
from dino.masks.prompts import DEFAULT_LIKENESS, Prompt, prompted_objects
from dino.masks.settings import Mask
from dino.media import draw
from dino.media.draw import objects_overlay
from dino.media.regions import LabelRuns, check_label_runs, from_label_runs
from dino.model.backbone import Backbone
from dino.system.files import File, results_name, zip_files

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
class Drawn:
    """How edges are drawn, and as text everything the masks of patches come from."""

    refine: str
    marks: str


def show(choice: Choice, backbone: Backbone) -> None:
    """Draw the canvas, what was pointed at, and downloads."""
    _downloads(choice, backbone, pointed(choice, backbone))


def pointed(choice: Choice, backbone: Backbone) -> np.ndarray:
    """Draw the canvas and what was pointed at; return the objects' masks at the photo's own size, bool
    [n,H,W]."""
    large, side = st.columns([6, 5], gap="medium")
    grid = pictures.geometry(choice, backbone).grid
    key = f"objects_{choice.photo.id}_{grid}"
    objects: list[Prompts] = st.session_state.setdefault(
        key, read_marks(st.query_params.get("points", ""), grid)
    )
    with side:
        number = _object(key, grid, objects)
        likeness = st.slider(
            "How alike", 0.0, 1.0, DEFAULT_LIKENESS, 0.01, key="likeness", bind="query-params",
            help="How far from the least alike patch (0) to the points themselves (1) a patch must be.",
        )  # fmt: skip
        refine = st.segmented_control(
            "Edges", list(REFINEMENTS), default="patches", required=True, key="edges",
            bind="query-params", help="Whole patches, or drawn to the photo's own edges.",
        )  # fmt: skip
    prompts = _prompts(objects, grid)
    grids = _grid_masks(choice, backbone, prompts, likeness)
    with large:
        drawn = Drawn(REFINEMENTS[refine], f"{likeness} {marks_text(objects, grid)}")
        masks = _finished(choice, backbone, grids, prompts, drawn)
        _canvas(choice, backbone, key, number, masks)
    with side:
        _show_objects(objects, masks)
    return masks


def _object(key: str, grid: tuple[int, int], objects: list[Prompts]) -> int:
    """Choose which object is pointed at; buttons for another and for less."""
    chosen = f"{key}_chosen"
    st.session_state[chosen] = min(st.session_state.get(chosen, 0), len(objects) - 1)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        number = st.segmented_control(
            "Object",
            range(len(objects)),
            format_func=lambda index: str(index + 1),
            required=True,
            key=chosen,
        )
        st.button(
            "Another object",
            icon=":material/add:",
            disabled=len(objects) >= MOST_OBJECTS,
            on_click=_add,
            args=(key, grid),
        )
        st.button(
            "Remove it",
            icon=":material/delete:",
            disabled=objects == [Prompts()],
            on_click=_remove,
            args=(key, grid, number),
        )
    return number or 0


def _add(key: str, grid: tuple[int, int]) -> None:
    objects = st.session_state[key]
    objects.append(Prompts())
    st.session_state[f"{key}_chosen"] = len(objects) - 1
    _keep(objects, grid)


def _remove(key: str, grid: tuple[int, int], number: int) -> None:
    objects = st.session_state[key]
    del objects[number]
    if not objects:
        objects.append(Prompts())
    st.session_state[f"{key}_chosen"] = max(0, number - 1)
    _keep(objects, grid)


def _prompt(key: str, grid: tuple[int, int], number: int, prompts: Prompts) -> None:
    objects = st.session_state[key]
    objects[number] = prompts
    _keep(objects, grid)


def _keep(objects: list[Prompts], grid: tuple[int, int]) -> None:
    url.link("points", marks_text(objects, grid) or None)


def _prompts(objects: list[Prompts], grid: tuple[int, int]) -> list[Prompt]:
    """Collect what was pointed at, as far as it lies on the grid: a link may have been made at another
    size."""
    prompts = []
    for one in objects:
        points = [p for p in one.points if p[0] < grid[0] and p[1] < grid[1]]
        fits = one.box and one.box[0] < one.box[2] <= grid[0] and one.box[1] < one.box[3] <= grid[1]
        painted = _BRUSH_SIGNS[from_label_runs(one.painted, grid)] if one.painted else None
        prompts.append(Prompt(points, one.box if fits else None, painted))
    return prompts


def _grid_masks(
    choice: Choice, backbone: Backbone, prompts: list[Prompt], likeness: float
) -> np.ndarray:
    """Find the patches of each object, bool [n,h,w]; none of one that is not pointed at yet."""
    features, _ = pictures.features(choice, backbone)
    return prompted_objects(features.patches, features.geometry.grid, prompts, likeness=likeness)


def _patches_of(prompts: list[Prompt], grid: tuple[int, int], sign: int) -> np.ndarray:
    """Mark the patches somebody said are on (+1) or off (−1) each object, bool [n,h,w]."""
    marked = np.zeros((len(prompts), grid[0] * grid[1]), dtype=bool)
    for number, one in enumerate(prompts):
        marked[number, one.patches(sign, grid[1])] = True
    return marked.reshape(-1, *grid)


def without_overlap(masks: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Part masks [n,H,W] so that they share no pixel: what several have goes to the one that had it in
    `first`, [n,H,W] without doubles, else to the earliest of them."""
    shared = masks.sum(axis=0) > 1
    claims = masks & (first | ~first.any(axis=0))
    claims = np.where(claims.any(axis=0), claims, masks)
    earliest = np.arange(len(masks))[:, None, None] == claims.argmax(axis=0)
    return masks & (~shared | earliest)


def _finished(
    choice: Choice, backbone: Backbone, grids: np.ndarray, prompts: list[Prompt], drawn: Drawn
) -> np.ndarray:
    """Refine the masks at the photo's own size, bool [n,H,W]."""
    geometry = pictures.geometry(choice, backbone)
    enlarged = geometry.to_photo(grids)
    if drawn.refine == "none" or not grids.any():
        return enlarged
    refined = cached_masks.refine_pointed(
        choice,
        backbone,
        drawn.refine,
        drawn.marks,
        masks=enlarged,
        on=geometry.to_photo(_patches_of(prompts, grids.shape[1:], 1)),
        off=geometry.to_photo(_patches_of(prompts, grids.shape[1:], -1)),
    )
    return without_overlap(refined, enlarged)


def _canvas(choice: Choice, backbone: Backbone, key: str, number: int, masks: np.ndarray) -> None:
    width = cached_canvas.CANVAS_PX
    photo = pictures.shown(choice.photo, width)
    drawn = None
    if masks.any():
        small = [draw.shrink(one.astype(np.uint8) * 255, width) >= 128 for one in masks]
        drawn = objects_overlay(photo, np.stack(small))
        drawn = draw.mark_random(drawn) if backbone.is_random else drawn
    panel = cached_canvas.panel(
        choice,
        backbone,
        "masks-points",
        map_picture=drawn,
        alt=f"Masks of {len(masks)} objects over: {choice.photo.alt}",
        compares=False,  # the mask stays in view under the pointer
    )
    canvas(
        "points",
        [panel],
        hint=_HINT,
        help_text=_HELP,
        tools=("plus", "minus", "box"),
        brushes=BRUSHES,
        prompts=st.session_state[key][number],
        on_prompts=lambda prompts: _prompt(key, (panel.rows, panel.columns), number, prompts),
    )


def _show_objects(objects: list[Prompts], masks: np.ndarray) -> None:
    lines = []
    for index, (one, mask) in enumerate(zip(objects, masks, strict=True), start=1):
        on, off = (_count(one, sign) for sign in (1, -1))
        box = ", a box" if one.box else ""
        lines.append(
            f"- Object {index}: {on} on it, {off} off it{box}; {mask.mean():.0%} of the photo"
        )
    st.markdown("\n".join(lines))
    st.caption(
        "A patch belongs when its feature is alike enough to a point on the object (cosine), and nearer to "
        "it than to any point off it. Each patch a brush went over is such a point. A box alone takes what "
        "is unlike its outside."
    )


def _count(one: Prompts, sign: int) -> int:
    """Count the points and painted patches of a sign."""
    painted = zip(one.painted[::2], _BRUSH_SIGNS[list(one.painted[1::2])], strict=True)
    return sum(s == sign for _, _, s in one.points) + sum(n for n, s in painted if s == sign)


def _downloads(choice: Choice, backbone: Backbone, masks: np.ndarray) -> None:
    kept = [one for one in masks if one.any()]
    if not kept:
        st.info("Point at an object to make a mask.", icon=":material/touch_app:")
        return
    stem = results_name(choice.photo.file_name, choice.photo.id)
    described = [Mask(one, "points") for one in kept]
    whole = Mask(np.logical_or.reduce(kept, axis=0), "points")

    def files() -> list[File]:
        photo = pictures.pixels(choice.photo)
        random = backbone.is_random
        return list(mask_files(photo, whole, objects=described, random=random))

    def coco() -> bytes:
        return coco_json([(choice.photo.file_name, described)])

    layout.downloads(
        ("Mask (PNG)", f"{stem}-mask.png", "contrast", lambda: dict(files())["mask.png"]),
        ("Cut-out (PNG)", f"{stem}-cutout.png", "content_cut", lambda: dict(files())["cutout.png"]),
        ("COCO (JSON)", f"{stem}-coco.json", "data_object", coco),
        ("All files (ZIP)", f"{stem}-points.zip", "folder_zip",
         lambda: zip_files([*files(), ("coco.json", coco())])),
    )  # fmt: skip


def marks_text(objects: list[Prompts], grid: tuple[int, int]) -> str:
    """Write the objects, pointed at on a grid (h, w) of patches, as text."""
    parts = []
    for one in objects:
        words = [f"{row}:{column}:{'+' if sign > 0 else '-'}" for row, column, sign in one.points]
        words += ["b" + ":".join(map(str, one.box))] if one.box else []
        if one.painted:
            runs = zip(one.painted[::2], one.painted[1::2], strict=True)
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
