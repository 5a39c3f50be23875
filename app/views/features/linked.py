"""One choice of patches, made among the points or on the photo, and lit up in both."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from app.cache import canvas as cached_canvas
from app.components.canvas.component import Brush, Picked, Prompts, canvas
from app.state.problems import show_error
from app.state.selection import Choice
from app.ui import layout
from dino.attention.figures import LIT_COLOUR
from dino.attention.photo import PatchFeatures
from dino.features import files
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
        return self.choice.photo.id, self.backbone.fingerprint, self.choice.size

    @property
    def lit(self) -> tuple[int, ...]:
        """Return the chosen patches, row by row; those of another photo or size are forgotten."""
        key, patches = st.session_state.get(_LIT, (None, ()))
        return patches if key == self.key else ()


def photo(scene: Linked) -> None:
    """Draw the photo under its components: patches are compared under the pointer, and chosen by click,
    box or brush."""
    choice, backbone, features = scene.choice, scene.backbone, scene.features
    grid = features.geometry.grid
    canvas(
        _PHOTO,
        [
            cached_canvas.panel(
                choice,
                backbone,
                "features",
                map_picture=files.pca_picture(
                    features, random=backbone.is_random, width=layout.SHOWN_PX
                ),
                alt="First three principal components of the patch features as colours, over: "
                f"{choice.photo.alt}",
            )
        ],
        hint="Point at a patch to see which are like it; click it, or choose several by box or brush, to "
        "find them among the points.",
        help_text=_HELP,
        wipe=True,
        tools=("pick", "fill"),
        brushes=(Brush("Brush", LIT_COLOUR, "Paint over patches to choose them (B)"),),
        prompts=Prompts(painted=label_runs(_labels(scene))),
        follow_picks=False,
        on_pick=lambda picked: _take_patch(scene, picked),
        on_prompts=lambda sent: _light(scene, np.flatnonzero(from_label_runs(sent.painted, grid))),
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


def _labels(scene: Linked) -> np.ndarray:
    """Mark each chosen patch with 1, others with 0: [h,w]."""
    labels = np.zeros(scene.features.geometry.grid, dtype=np.uint8)
    labels.ravel()[list(scene.lit)] = 1
    return labels


def chart(scene: Linked, figure: Any, *, key: str, alt: str) -> None:
    """Draw a chart whose selection becomes the choice of patches."""
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
    """Choose the patches that a chart's selection holds, whichever trace they are of; for the callback."""
    points = st.session_state[key].selection.points
    height, width = scene.features.geometry.grid
    found = set()
    for point in points:
        row, column = (int(value) for value in point.get("customdata", (-1, -1)))
        if 0 <= row < height and 0 <= column < width:
            found.add(row * width + column)
    _light(scene, found)


def _take_patch(scene: Linked, picked: Picked | None) -> None:
    """Choose a patch that was clicked alone; for the callback."""
    if picked is not None:
        _light(scene, [picked.row * scene.features.geometry.grid[1] + picked.column])


def _light(scene: Linked, patches: Iterable[int]) -> None:
    st.session_state[_LIT] = (scene.key, tuple(sorted(map(int, patches))))


def _take_named(scene: Linked) -> None:
    """Choose the patches of a typed box, none where it was emptied; what cannot be one leaves the choice
    as it is. For the callback."""
    st.session_state.pop(_PROBLEM, None)
    text = st.session_state[_NAMED].strip()
    if not text:
        return _light(scene, ())
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
    _light(
        scene,
        (
            row * width + column
            for row in range(min(rows), max(rows) + 1)
            for column in range(min(columns), max(columns) + 1)
        ),
    )
