"""Step 1: a photo becomes patches, and each patch a token."""

from functools import partial

import cv2
import numpy as np
import streamlit as st

from app.cache import canvas as cached_canvas
from app.cache import learn, pictures
from app.components.canvas.component import Picked, canvas
from app.state import asked, url
from app.ui import layout
from app.ui.networks import what_it_is
from app.views.learn.frame import SHOWN_PX, Lesson, Question, Step, control, explain, predict
from dino.media.geometry import Geometry
from dino.media.preprocessing import plan

_SIZES_PX = (8, 14, 16, 32)
_ENLARGED_PX = 288


def show(lesson: Lesson) -> None:
    """Show the grid, one patch's pixels, and what another patch size would cost."""
    choice, backbone = lesson.choice, lesson.backbone
    geometry = pictures.geometry(choice, backbone)
    rows, columns = geometry.grid
    patch, count = backbone.patch_size, rows * columns
    explain(
        _without_patches(lesson, rows, columns)
        if not backbone.has_attention
        else f"A vision transformer does not see pixels one by one. Your photo is cut into squares of "
        f"{patch}×{patch} px, here {rows} rows of {columns}: **{count:,} patches**. The {3 * patch**2:,} "
        f"numbers of each are multiplied by one learned matrix and become a **token**, {backbone.embed_dim} "
        "numbers long; where the patch lay is told to it, too. Click a patch to see what the network is given of it."
    )
    left, right = st.columns([3, 2], gap="medium")
    place = _chosen(geometry)
    with left:
        canvas(
            "learn_patches",
            [
                cached_canvas.panel(
                    choice,
                    backbone,
                    map_picture=learn.grid_picture(choice.photo, geometry, SHOWN_PX),
                    alt=f"{choice.photo.alt}, with a grid of {rows} by {columns} patches",
                )
            ],
            hint="Click a patch, or move with the arrow keys.",
            help_text="Arrow keys move over the patches, Enter chooses one, Escape ends.",
            opacity=0.5,
            chosen=Picked(0, *place),
            on_pick=partial(_pick, geometry),
        )
    with right:
        pixels = learn.patch_pixels(choice, backbone, *place)
        big = cv2.resize(pixels, (_ENLARGED_PX,) * 2, interpolation=cv2.INTER_NEAREST)
        st.image(
            big,
            alt=f"The pixels of patch {place[0]}:{place[1]}",
            width=_ENLARGED_PX,
            output_format="PNG",
        )
        red, green, blue = np.rint(pixels.mean(axis=(0, 1))).astype(int)
        st.caption(
            f"Patch {place[0]}:{place[1]} (row:column): {patch}×{patch} px × 3 colours = "
            f"{3 * patch**2:,} numbers → a token of {backbone.embed_dim}. Mean colour: red {red}, green "
            f"{green}, blue {blue} of 255."
        )
        if predict(lesson, _QUESTION):
            _other_size(lesson)


def _without_patches(lesson: Lesson, rows: int, columns: int) -> str:
    backbone = lesson.backbone
    return (
        f"{what_it_is(backbone)}. Its last map of features has a cell for each square of "
        f"{backbone.patch_size}×{backbone.patch_size} px, here {rows} rows of {columns}: **{rows * columns:,} "
        f"cells** of {backbone.embed_dim} numbers, and each has seen more of the photo than its square. A vision "
        "transformer cuts a photo into such squares at once, and each becomes a **token**. Click a cell to see "
        "the pixels below it."
    )


_QUESTION = Question(
    "If patches were half as wide, how much more would there be?",
    (
        "2 times the tokens, 4 times the pairs of tokens",
        "4 times the tokens, 4 times the pairs",
        "4 times the tokens, 16 times the pairs",
    ),
    2,
    "Halving both sides makes four patches of one, and attention compares every token with every token.",
)


def _other_size(lesson: Lesson) -> None:
    """Show the same photo, cut otherwise."""
    own = lesson.backbone.patch_size
    sizes = sorted({*_SIZES_PX, own})
    size = control("cut", sizes, own, st.select_slider, "Patches of, px", sizes)
    height, width = pictures.pixels(lesson.choice.photo).shape[:2]
    geometry = plan((height, width), size=lesson.choice.size, patch_size=size)
    rows, columns = geometry.grid
    layout.picture(
        learn.grid_picture(lesson.choice.photo, geometry, SHOWN_PX),
        alt=f"The photo cut into {rows} by {columns} patches of {size} px",
        caption=f"{size} px: {rows}×{columns} = {rows * columns:,} tokens, {(rows * columns) ** 2:,} pairs",
    )


def _chosen(geometry: Geometry) -> tuple[int, int]:
    """Find the patch in the link, or the middle one."""
    rows, columns = geometry.grid
    parts = url.seeded("patch", "").split(":")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts):
        row, column = (int(part[:5]) for part in parts)
        if row < rows and column < columns:
            url.link("patch", f"{row}:{column}", "")
            return row, column
    url.link("patch", "", "")
    return rows // 2, columns // 2


def _pick(geometry: Geometry, picked: Picked | None) -> None:
    asked.set_asked(patch=f"{picked.row}:{picked.column}" if picked else "")


STEP = Step(
    "Pixels, patches, tokens",
    show,
    controls={"patch": "", "cut": lambda backbone: backbone.patch_size},
)
