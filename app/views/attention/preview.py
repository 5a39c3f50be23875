"""A first look while a large photo is being looked at: the same at a small size, at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import streamlit as st

from app.cache import pictures
from app.state.selection import Choice
from app.ui import layout
from dino.attention import files
from dino.media import draw
from dino.model.backbone import Backbone

# Fewer patches are looked at about as quickly as a preview is drawn.
_MANY_PATCHES = 1500
_PREVIEW_PX = 224
_SEEN = "attention_seen"
_MOST_SEEN = 64


@contextmanager
def until_ready(choice: Choice, backbone: Backbone) -> Iterator[None]:
    """Show the mean of the heads at a small size while what is inside looks at the photo.

    Nothing is shown where that is quick, or where this session has seen the photo at this size.
    """
    seen: dict[tuple[str, str, int], None] = st.session_state.setdefault(_SEEN, {})
    key = pictures.key_of(choice, backbone)
    height, width = pictures.geometry(choice, backbone).grid
    place = st.empty()
    if height * width > _MANY_PATCHES and key not in seen:
        with place.container():
            _draw(replace(choice, size=_PREVIEW_PX), backbone, choice.size)
    yield
    place.empty()
    seen[key] = None
    while len(seen) > _MOST_SEEN:
        seen.pop(next(iter(seen)))


def _draw(small: Choice, backbone: Backbone, size: int) -> None:
    attention, _ = pictures.attention(small, backbone)
    scaled, _ = draw.normalize(attention.weights.mean(axis=0)[None])
    style = files.Style(opacity=0.8)
    photo = pictures.shown(small.photo, layout.SHOWN_PX)
    picture = files.head_picture(scaled[0], attention, photo, style, width=layout.SHOWN_PX)
    picture = draw.mark_random(picture) if backbone.is_random else picture
    left, _ = st.columns([5, 6], gap="medium")
    with left:
        layout.picture(picture, alt=f"Preview of the attention over: {small.photo.alt}")
        st.caption(f"A first look at {small.size} px; {size} px are on their way.")
