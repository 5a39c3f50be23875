"""Masks by pointing: + and − points and a box, several objects, answered by feature similarity."""

import re
from dataclasses import replace

import numpy as np
import streamlit as st

from app import canvas_services, mask_services, services
from app.components.canvas import Prompts, canvas
from app.state import Choice
from app.views import layout
from dino import export, objects_export, render
from dino.backbone import Backbone
from dino.masks import Mask
from dino.prompts import DEFAULT_LIKENESS, prompted_objects
from dino.proposals import MaskSettings

MOST_OBJECTS = 8
REFINEMENTS = {"patches": "none", "guided filter": "guided", "GrabCut": "grabcut"}
_HINT = (
    "Click the object; a click on a point takes it away. Shift and click, or − point, says what does not "
    "belong; Box holds the mask back."
)
_HELP = (
    "Arrow keys move over the patches, Enter sets a point, Shift and Enter one off the object; with Box, "
    "Enter at two corners."
)
_POINT = re.compile(r"(\d{1,3}):(\d{1,3}):([+-])")
_BOX = re.compile(r"b(\d{1,3}):(\d{1,3}):(\d{1,3}):(\d{1,3})")


def show(choice: Choice, backbone: Backbone) -> None:
    """The canvas, what was pointed at, and downloads."""
    _downloads(choice, backbone, pointed(choice, backbone))


def pointed(choice: Choice, backbone: Backbone) -> np.ndarray:
    """The canvas and what was pointed at; the objects' masks at the photo's own size, bool [n,H,W]."""
    large, side = st.columns([6, 5], gap="medium")
    key = f"objects_{choice.photo.id}_{services.geometry(choice, backbone).grid}"
    objects: list[Prompts] = st.session_state.setdefault(key, read_link(_asked()))
    with side:
        number = _object(key, objects)
        likeness = st.slider(
            "How alike", 0.0, 1.0, DEFAULT_LIKENESS, 0.01, key="likeness", bind="query-params",
            help="How far from the least alike patch (0) to the points themselves (1) a patch must be.",
        )  # fmt: skip
        refine = st.segmented_control(
            "Edges", list(REFINEMENTS), default="patches", required=True, key="edges",
            bind="query-params", help="Whole patches, or drawn to the photo's own edges.",
        )  # fmt: skip
    grids = _grid_masks(choice, backbone, objects, likeness)
    masks = _finished(choice, backbone, grids, REFINEMENTS[refine])
    with large:
        _canvas(choice, backbone, key, number, masks)
    with side:
        _told(objects, grids)
    return masks


def link(objects: list[Prompts]) -> str:
    """Points and boxes as a part of a URL: "12:7:+,3:4:-,b2:1:9:8|5:5:+"; objects between bars."""
    parts = []
    for one in objects:
        words = [f"{row}:{column}:{'+' if sign > 0 else '-'}" for row, column, sign in one.points]
        words += ["b" + ":".join(map(str, one.box))] if one.box else []
        parts.append(",".join(words))
    return "|".join(parts)


def read_link(text: str) -> list[Prompts]:
    """The objects of a `link`; what is not readable in it is left out. One empty object at least."""
    objects = []
    for part in text.split("|")[:MOST_OBJECTS]:
        points = [
            (int(m[1]), int(m[2]), 1 if m[3] == "+" else -1)
            for m in map(_POINT.fullmatch, part.split(","))
            if m
        ]
        boxes = [m for m in map(_BOX.fullmatch, part.split(",")) if m]
        box = tuple(int(value) for value in boxes[0].groups()) if boxes else None
        objects.append(Prompts(tuple(points), box))  # type: ignore[arg-type]
    return objects


def _asked() -> str:
    return st.query_params.get("points", "")


def _object(key: str, objects: list[Prompts]) -> int:
    """Which object is pointed at; buttons for another and for less."""
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
            args=(key,),
        )
        st.button(
            "Remove it",
            icon=":material/delete:",
            disabled=len(objects) < 2 and not (objects[0].points or objects[0].box),
            on_click=_remove,
            args=(key, number),
        )
    return number


def _add(key: str) -> None:
    objects = st.session_state[key]
    objects.append(Prompts())
    st.session_state[f"{key}_chosen"] = len(objects) - 1
    _keep(objects)


def _remove(key: str, number: int) -> None:
    objects = st.session_state[key]
    del objects[number]
    if not objects:
        objects.append(Prompts())
    st.session_state[f"{key}_chosen"] = max(0, number - 1)
    _keep(objects)


def _prompt(key: str, number: int, prompts: Prompts) -> None:
    objects = st.session_state[key]
    objects[number] = prompts
    _keep(objects)


def _keep(objects: list[Prompts]) -> None:
    text = link(objects)
    if text:
        st.query_params["points"] = text
    elif "points" in st.query_params:
        del st.query_params["points"]


def _grid_masks(
    choice: Choice, backbone: Backbone, objects: list[Prompts], likeness: float
) -> np.ndarray:
    """The patches of each object, bool [n,h,w]; none of one that is not pointed at yet."""
    features, _ = services.features(choice, backbone)
    grid = features.geometry.grid
    prompts = []
    for one in objects:  # a link may have been made at another size
        points = [p for p in one.points if p[0] < grid[0] and p[1] < grid[1]]
        fits = one.box and one.box[0] < one.box[2] <= grid[0] and one.box[1] < one.box[3] <= grid[1]
        prompts.append((points, one.box if fits else None))
    return prompted_objects(features.patches, grid, prompts, likeness=likeness)


def of_their_own(masks: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Masks [n,H,W] that share no pixel: what several have goes to the one that had it in `first`,
    [n,H,W] without doubles, else to the earliest of them."""
    shared = masks.sum(axis=0) > 1
    claims = masks & (first | ~first.any(axis=0))
    claims = np.where(claims.any(axis=0), claims, masks)
    earliest = np.arange(len(masks))[:, None, None] == claims.argmax(axis=0)
    return masks & (~shared | earliest)


def _finished(choice: Choice, backbone: Backbone, grids: np.ndarray, refine: str) -> np.ndarray:
    """The masks at the photo's own size, bool [n,H,W]."""
    enlarged = services.geometry(choice, backbone).to_photo(grids)
    if refine == "none" or not grids.any():
        return enlarged
    settings = MaskSettings(size=choice.size, refine=refine)
    refined = [
        mask_services.finished(choice, backbone, settings, one[None])[0] if one.any() else one
        for one in enlarged
    ]
    return of_their_own(np.stack(refined), enlarged)


def _canvas(choice: Choice, backbone: Backbone, key: str, number: int, masks: np.ndarray) -> None:
    width = canvas_services.CANVAS_PX
    photo = services.shown(choice.photo, width)
    drawn = None
    if masks.any():
        small = [render.shrink(one.astype(np.uint8) * 255, width) >= 128 for one in masks]
        drawn = objects_export.objects_overlay(photo, np.stack(small))
        drawn = render.mark_random(drawn) if backbone.is_random else drawn
    panel = canvas_services.panel(
        choice,
        backbone,
        "masks-points",
        map_picture=drawn,
        alt=f"Masks of {len(masks)} objects over: {choice.photo.alt}",
    )
    canvas(
        "points",
        [replace(panel, features=None)],  # the mask stays in view under the pointer
        hint=_HINT,
        help_text=_HELP,
        tools=("plus", "minus", "box"),
        prompts=st.session_state[key][number],
        on_prompts=lambda prompts: _prompt(key, number, prompts),
    )


def _told(objects: list[Prompts], grids: np.ndarray) -> None:
    lines = []
    for index, (one, mask) in enumerate(zip(objects, grids, strict=True), start=1):
        on = sum(sign > 0 for _, _, sign in one.points)
        off = len(one.points) - on
        box = ", a box" if one.box else ""
        lines.append(
            f"- Object {index}: {on} on it, {off} off it{box}; {mask.mean():.0%} of the photo"
        )
    st.markdown("\n".join(lines))
    st.caption(
        "A patch belongs when its feature is alike enough to a point on the object (cosine), and nearer to "
        "it than to any point off it. A box alone takes what is unlike its outside."
    )


def _downloads(choice: Choice, backbone: Backbone, masks: np.ndarray) -> None:
    kept = [one for one in masks if one.any()]
    if not kept:
        st.info("Point at an object to make a mask.", icon=":material/touch_app:")
        return
    stem = export.stem(choice.photo.file_name, choice.photo.id)
    described = [Mask(one, "points") for one in kept]
    whole = Mask(np.logical_or.reduce(kept, axis=0), "points")

    def files() -> list[export.File]:
        photo = services.pixels(choice.photo)
        random = backbone.is_random
        return list(export.mask_files(photo, whole, objects=described, random=random))

    def coco() -> bytes:
        return export.coco_json([(choice.photo.file_name, described)])

    layout.downloads(
        ("Mask (PNG)", f"{stem}-mask.png", "contrast", lambda: dict(files())["mask.png"]),
        ("Cut-out (PNG)", f"{stem}-cutout.png", "content_cut", lambda: dict(files())["cutout.png"]),
        ("COCO (JSON)", f"{stem}-coco.json", "data_object", coco),
        ("All files (ZIP)", f"{stem}-points.zip", "folder_zip",
         lambda: export.zip_files([*files(), ("coco.json", coco())])),
    )  # fmt: skip
