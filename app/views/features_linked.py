"""One choice of patches, made among the points or on the photo, and lit up in both."""

import re
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import services
from app.state import Choice
from app.text import plain_text, sentence
from dino import render
from dino.backbone import Backbone
from dino.explore import PatchFeatures
from dino.figures import patch_photo

_LIT, _PHOTO = "lit_patches", "patch_photo"
_NAMED, _PROBLEM = "named_patches", "named_patches_problem"
_BOX = re.compile(r"(\d{1,5}):(\d{1,5})(?:\s*-\s*(\d{1,5}):(\d{1,5}))?")
_SHOWN_PX = 640
_LOWEST_PX = 80  # of the photo's chart; one of a few rows would have no height


@dataclass(frozen=True)
class Linked:
    """A photo's patches, as a network sees them."""

    choice: Choice
    backbone: Backbone
    features: PatchFeatures

    @property
    def key(self) -> tuple[str, str, int]:
        return self.choice.photo.id, self.backbone.fingerprint, self.choice.size

    @property
    def lit(self) -> tuple[int, ...]:
        """The chosen patches, row by row; those of another photo or size are forgotten."""
        key, patches = st.session_state.get(_LIT, (None, ()))
        return patches if key == self.key else ()


def photo(scene: Linked) -> None:
    """The photo, on which patches are chosen by click, box or lasso."""
    geometry = render.scaled(scene.features.geometry, _SHOWN_PX)
    pixels = services.shown(scene.choice.photo, _SHOWN_PX)
    figure = patch_photo(pixels, geometry, lit=scene.lit)
    height = round(480 * pixels.shape[0] / pixels.shape[1])
    figure.update_layout(height=min(max(height, _LOWEST_PX), 560))
    chart(scene, figure, key=_PHOTO, alt=scene.choice.photo.alt)
    with st.container(horizontal=True, vertical_alignment="center"):
        if scene.lit:
            st.caption(f"{len(scene.lit)} of {len(scene.features.patches)} patches chosen.")
            st.button("Choose none", icon=":material/deselect:", on_click=_clear)
        else:
            st.caption(
                "Draw a box on the photo, or round points in a plot of 2 dimensions: the patches light "
                "up in both."
            )
    st.text_input(
        "Or name a patch or a box",
        key=_NAMED,
        placeholder="row:column, or 2:3-8:12",
        on_change=_take_named,
        args=(scene,),
        help="By keyboard: the row and column of a patch, or of two opposite corners, counted from 0.",
    )
    if problem := st.session_state.get(_PROBLEM):
        st.error(plain_text(sentence(problem)), icon=":material/grid_on:")


def chart(scene: Linked, figure: Any, *, key: str, alt: str) -> None:
    """A chart whose selection becomes the choice of patches."""
    st.plotly_chart(
        figure,
        width="stretch",
        key=key,
        on_select=lambda: _take(scene, key),
        selection_mode=("points", "box", "lasso"),
        config={"displaylogo": False},
        alt=alt,
    )


def _take(scene: Linked, key: str) -> None:
    """For the callback: the patches that a chart's selection holds, whichever trace they are of."""
    points = st.session_state[key].selection.points
    height, width = scene.features.geometry.grid
    found = set()
    for point in points:
        row, column = (int(value) for value in point.get("customdata", (-1, -1)))
        if 0 <= row < height and 0 <= column < width:
            found.add(row * width + column)
    st.session_state[_LIT] = (scene.key, tuple(sorted(found)))


def _take_named(scene: Linked) -> None:
    """For the callback: the patches of a typed box; what cannot be one leaves the choice as it is."""
    st.session_state.pop(_PROBLEM, None)
    text = st.session_state[_NAMED].strip()
    if not text:
        return
    height, width = scene.features.geometry.grid
    found = _BOX.fullmatch(text)
    numbers = [int(n) for n in found.groups(default="") if n] if found else []
    corners = list(zip(numbers[::2], numbers[1::2], strict=True))
    if not corners or any(row >= height or column >= width for row, column in corners):
        st.session_state[_PROBLEM] = (
            f"{text[:40]!r} names no patches of the grid of {height} rows and {width} columns; "
            f"expected row:column from 0:0 to {height - 1}:{width - 1}, or two with - between"
        )
        return
    rows, columns = zip(*corners, strict=True)
    st.session_state[_LIT] = (
        scene.key,
        tuple(
            row * width + column
            for row in range(min(rows), max(rows) + 1)
            for column in range(min(columns), max(columns) + 1)
        ),
    )


def _clear() -> None:
    for key in (_LIT, _PROBLEM):
        st.session_state.pop(key, None)
    st.session_state[_NAMED] = ""
