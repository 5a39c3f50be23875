"""Photos of a folder opened large on the canvas, whole, where patches are compared under the pointer."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from app.cache import canvas as cached_canvas
from app.cache import gallery as services
from app.cache.gallery import Gallery
from app.components.canvas.component import canvas
from app.state.problems import show_error
from app.state.selection import Choice
from dino.errors import UserError
from dino.model.backbone import Backbone

MOST = 4
_ALONE = "Point at a patch to see which are like it."
_TOGETHER = "Point at a patch: what is like it lights up in every photo, the best of the others framed in blue."


def show(
    key: str,
    of: Gallery,
    rows: Sequence[int],
    choice: Choice,
    backbone: Backbone,
    *,
    captions: Sequence[str] | None = None,
) -> None:
    """The first photos by row, at the size in the sidebar; what cannot be read is told in a sentence."""
    panels = []
    for number, row in enumerate(rows[:MOST]):
        try:
            panels.append(
                cached_canvas.panel(
                    replace(choice, photo=services.photo(of, row)),
                    backbone,
                    f"{key}-{number}",
                    caption=captions[number] if captions else of.photos.paths[row],
                )
            )
        except UserError as error:
            show_error(error, "broken_image")
    if not panels:
        return
    canvas(
        key,
        panels,
        hint=_ALONE if len(panels) == 1 else _TOGETHER,
        help_text="Arrow keys move over the patches, plus and minus zoom, Escape ends.",
        link="match",
    )
    st.caption(
        f"Whole, at {choice.size} px (the sidebar's size); the folder was embedded by the middle of each "
        f"photo at {of.size} px."
    )
