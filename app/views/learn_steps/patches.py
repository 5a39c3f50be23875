"""Step 1: a photo becomes patches, and each patch a token."""

from functools import partial

import cv2
import numpy as np
import streamlit as st

from app import canvas_services, learn_services, services
from app.components.canvas import Picked, canvas
from app.views import attention_controls, layout
from app.views.learn_frame import SHOWN_PX, Lesson, Question, Step, linked, predict, told
from dino.geometry import Geometry

_SIZES_PX = (8, 14, 16, 32)
_ENLARGED_PX = 288


def show(lesson: Lesson) -> None:
    """The grid, one patch's pixels, and what another patch size would cost."""
    choice, backbone = lesson.choice, lesson.backbone
    geometry = services.geometry(choice, backbone)
    rows, columns = geometry.grid
    patch, count = backbone.patch_size, rows * columns
    told(
        f"A vision transformer does not see pixels one by one. Your photo is cut into squares of "
        f"{patch}×{patch} px, here {rows} rows of {columns}: **{count:,} patches**. The {3 * patch**2:,} "
        f"numbers of each are multiplied by one learned matrix and become a **token**, {backbone.embed_dim} "
        "numbers long; where the patch lay is added. Click a patch to see what the network is given of it."
    )
    left, right = st.columns([3, 2], gap="medium")
    place = _chosen(geometry)
    with left:
        canvas(
            "learn_patches",
            [
                canvas_services.panel(
                    choice,
                    backbone,
                    "learn-patches",
                    map_picture=learn_services.grid_picture(choice.photo, geometry, SHOWN_PX),
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
        pixels = learn_services.patch_pixels(choice, backbone, *place)
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
        if predict(lesson, _QUESTION, name="patches"):
            _other_size(lesson)


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
    """The same photo, cut otherwise."""
    own = lesson.backbone.patch_size
    sizes = sorted({*_SIZES_PX, own})
    size = linked(
        "cut",
        sizes,
        own,
        lambda: st.select_slider("Patches of, px", sizes, key="cut", persist_state="session"),
    )
    geometry = learn_services.cut(lesson.choice.photo, lesson.choice.size, size)
    rows, columns = geometry.grid
    layout.picture(
        learn_services.grid_picture(lesson.choice.photo, geometry, SHOWN_PX),
        alt=f"The photo cut into {rows} by {columns} patches of {size} px",
        caption=f"{size} px: {rows}×{columns} = {rows * columns:,} tokens, {(rows * columns) ** 2:,} pairs",
    )


def _chosen(geometry: Geometry) -> tuple[int, int]:
    """The patch in the link, or the middle one."""
    rows, columns = geometry.grid
    parts = attention_controls.seeded("patch", "").split(":")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts):
        row, column = (int(part[:5]) for part in parts)
        if row < rows and column < columns:
            attention_controls.link("patch", f"{row}:{column}", "")
            return row, column
    attention_controls.link("patch", "", "")
    return rows // 2, columns // 2


def _pick(geometry: Geometry, picked: Picked | None) -> None:
    attention_controls.choose(patch=f"{picked.row}:{picked.column}" if picked else "")


STEP = Step(
    "Pixels, patches, tokens",
    show,
    controls={"patch": "", "cut": lambda backbone: backbone.patch_size},
)
