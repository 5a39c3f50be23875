"""Show a first look while a large photo is being looked at: the same at a small size, at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import streamlit as st

from app.cache import pictures
from app.state import look
from app.state.asked import first_view
from app.state.selection import Choice
from app.ui import layout
from app.views.attention.scene import Scene
from dino.model.backbone import Backbone

# Fewer patches are looked at about as quickly as a preview is drawn.
_MANY_PATCHES = 1500
_PREVIEW_PX = 224
_SEEN = "attention_seen"
_MOST_SEEN = 64


@contextmanager
def until_ready(choice: Choice, backbone: Backbone, grid: tuple[int, int]) -> Iterator[None]:
    """Show the mean of the heads at a small size while what is inside looks at the photo.

    Nothing is shown where that is quick, or where this session has seen the photo at this size.
    """
    seen: dict[tuple[str, str, int], None] = st.session_state.setdefault(_SEEN, {})
    key = pictures.key_of(choice, backbone)
    place = st.empty()
    if grid[0] * grid[1] > _MANY_PATCHES and key not in seen:
        with place.container():
            _draw(replace(choice, size=_PREVIEW_PX), backbone, choice.size)
    yield
    place.empty()
    seen[key] = None
    while len(seen) > _MOST_SEEN:
        seen.pop(next(iter(seen)))


def _draw(small: Choice, backbone: Backbone, size: int) -> None:
    attention, _ = pictures.attention(small, backbone)
    style = look.style_of(look.default())
    scene = Scene(small, backbone, first_view(backbone), attention, style)
    names, scaled, _ = scene.maps()
    left, _ = st.columns([5, 6], gap="medium")
    with left:
        picture = scene.draw(scaled[names.index("mean")], layout.SHOWN_PX)
        layout.picture(picture, alt=f"Preview of the attention over: {small.photo.alt}")
        st.caption(f"A first look at {small.size} px; {size} px are on their way.")
