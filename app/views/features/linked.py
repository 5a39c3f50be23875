"""Choose patches among the points or on the photo, and light them up in both."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from app.cache import canvas as cached_canvas
from app.cache import pictures
from app.components.canvas.component import Brush, Picked, Prompts, canvas
from app.state.problems import show_error
from app.state.selection import Choice
from app.ui import layout
from dino.attention.photo import PatchFeatures
from dino.features.files import pca_picture
from dino.media.palettes import CHOSEN_COLOR
from dino.media.regions import from_label_runs, label_runs
from dino.model.backbone import Backbone

_LIT, _PHOTO = "lit_patches", "patch_photo"
_NAMED, _PROBLEM = "named_patches", "named_patches_problem"
_BOX = re.compile(r"(\d{1,5}):(\d{1,5})(?:\s*-\s*(\d{1,5}):(\d{1,5}))?")
_HELP = (
    "Arrow keys move over the patches, Enter chooses one. B takes the brush, E the eraser; Space sets it "
    "down and lifts it. Plus and minus zoom, Escape ends."
)


@dataclass(frozen=True)
class Linked:
    """A photo's patches, as a network sees them."""

    choice: Choice
    backbone: Backbone
    features: PatchFeatures

    @property
    def key(self) -> tuple[str, str, int]:
        """Name the photo, weights and size that a choice of patches is of."""
        return pictures.key_of(self.choice, self.backbone)

    @property
    def lit(self) -> tuple[int, ...]:
        """Return the chosen patches, row by row; those of another photo or size are forgotten."""
        key, patches = st.session_state.get(_LIT, (None, ()))
        return patches if key == self.key else ()


def photo(scene: Linked) -> None:
    """Draw the photo under its components: patches are compared under the pointer, and chosen by click,
    box or brush."""
    features, grid, random = scene.features, scene.features.geometry.grid, scene.backbone.is_random
    lit = np.zeros(grid, dtype=np.uint8)
    lit.ravel()[list(scene.lit)] = 1
    panel = cached_canvas.panel(
        scene.choice,
        scene.backbone,
        map_picture=pca_picture(features, random=random, width=layout.SHOWN_PX),
        alt="First three principal components of the patch features as colours, over: "
        f"{scene.choice.photo.alt}",
    )
    canvas(
        _PHOTO,
        [panel],
        hint="Point at a patch to see which are like it; click it, or choose several by box or brush, to "
        "find them among the points.",
        help_text=_HELP,
        wipe=True,
        tools=("pick", "fill"),
        brushes=(Brush("Brush", CHOSEN_COLOR, "Paint over patches to choose them (B)"),),
        prompts=Prompts(painted=label_runs(lit)),
        follow_picks=False,
        on_pick=lambda picked: _take_patch(scene, picked),
        on_prompts=lambda sent: _light(scene, from_label_runs(sent.painted, grid)),
    )
    if scene.lit:
        st.caption(f"{len(scene.lit)} of {len(features.patches)} patches chosen.")
    else:
        st.caption(
            "Click the photo, or draw round points in a plot of 2 dimensions: the patches light up in both."
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
        show_error(problem, "grid_on")


def chart(scene: Linked, figure: Any, *, key: str, alt: str) -> None:
    """Draw a chart whose selection becomes the choice of patches."""
    st.plotly_chart(
        figure,
        width="stretch",
        key=key,
        on_select=lambda: _take_points(scene, key),
        selection_mode=("points", "box", "lasso"),
        config={"displaylogo": False},
        alt=alt,
    )


def _take_points(scene: Linked, key: str) -> None:
    """Choose the patches that a chart's selection holds, whichever trace they are of; for the callback."""
    lit = np.zeros(scene.features.geometry.grid, dtype=bool)
    for point in st.session_state[key].selection.points:
        row, column = map(int, point.get("customdata", (-1, -1)))
        if 0 <= row < lit.shape[0] and 0 <= column < lit.shape[1]:
            lit[row, column] = True
    _light(scene, lit)


def _take_patch(scene: Linked, picked: Picked | None) -> None:
    """Choose a patch that was clicked alone; for the callback."""
    if picked is not None:
        lit = np.zeros(scene.features.geometry.grid, dtype=bool)
        lit[picked.row, picked.column] = True
        _light(scene, lit)


def _take_named(scene: Linked) -> None:
    """Choose the patches of a typed box, none where it was emptied; what cannot be one leaves the choice
    as it is. For the callback."""
    st.session_state.pop(_PROBLEM, None)
    text = st.session_state[_NAMED].strip()
    lit = np.zeros(scene.features.geometry.grid, dtype=bool)
    if not text:
        return _light(scene, lit)
    height, width = lit.shape
    found = _BOX.fullmatch(text)
    numbers = [int(n) for n in found.groups(default="") if n] if found else []
    rows, columns = numbers[::2], numbers[1::2]
    if not numbers or max(rows) >= height or max(columns) >= width:
        st.session_state[_PROBLEM] = (
            f"{text[:40]!r} names no patches of the grid of {height} rows and {width} columns; "
            f"expected row:column from 0:0 to {height - 1}:{width - 1}, or two with - between"
        )
        return
    lit[min(rows) : max(rows) + 1, min(columns) : max(columns) + 1] = True
    _light(scene, lit)


def _light(scene: Linked, lit: np.ndarray) -> None:
    """Keep the choice of the patches [h,w] that are not 0."""
    st.session_state[_LIT] = (scene.key, tuple(np.flatnonzero(lit).tolist()))
