"""Give the canvas a photo's picture and features; mirror a photo, and match two."""

import base64
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from app.cache import pictures
from app.cache.pictures import KEYS
from app.components.canvas.component import Panel
from app.state.selection import Choice, Photo
from dino.attention.photo import PatchFeatures
from dino.canvas.content import Blob
from dino.features.correspondence import Matches, mutual_neighbours
from dino.features.files import JointPhoto
from dino.features.neighbours import normalized
from dino.media import draw
from dino.model.backbone import Backbone
from dino.system.files import content_id

# Width in px of a canvas's photo; it can be looked at closer than other pictures.
CANVAS_PX = 1200


@st.cache_data(max_entries=24, show_spinner=False, hash_funcs=KEYS)
def _picture(photo: Photo) -> Blob:
    return Blob.of(draw.encode_jpeg(pictures.shown(photo, CANVAS_PX)))


@st.cache_data(max_entries=24, show_spinner=False, hash_funcs=KEYS)
def _half(choice: Choice, backbone: Backbone, _features: PatchFeatures) -> Blob:
    return Blob.of(normalized(_features.patches).astype("<f2").tobytes())


@st.cache_data(max_entries=4, show_spinner=False, hash_funcs=KEYS)
def mirrored(photo: Photo) -> Photo:
    """Mirror a photo, as a photo of its own."""
    pixels = np.ascontiguousarray(pictures.pixels(photo)[:, ::-1])
    data = draw.encode_jpeg(pixels, quality=95)
    return replace(
        photo,
        name=f"{photo.name}-mirrored",
        data=data,
        id=content_id(data),
        alt=f"Mirror image: {photo.alt}",
    )


@st.cache_data(max_entries=16, show_spinner="Matching the patches …", hash_funcs=KEYS)
def matches(
    first: Choice,
    second: Choice,
    backbone: Backbone,
    share: float | None,
    _photos: Sequence[JointPhoto],
) -> Matches:
    """Find the mutual neighbours among two photos' patches; `share` of attention held keeps the foreground
    of `_photos` only."""
    kept = [None if photo.foreground is None else photo.foreground.ravel() for photo in _photos]
    return mutual_neighbours(
        *(photo.features.patches for photo in _photos), first_kept=kept[0], second_kept=kept[1]
    )


def panel(
    choice: Choice,
    backbone: Backbone,
    *,
    map_picture: np.ndarray | None = None,
    caption: str = "",
    alt: str = "",
    compares: bool = True,
) -> Panel:
    """Make a panel of the chosen photo.

    Args:
        map_picture: uint8 [H,W,3] shown until a patch is pointed at.
        compares: whether its patches can be compared; else no features are made or sent.
    """
    geometry = pictures.geometry(choice, backbone)
    shown = features = None
    if compares:
        features = _half(choice, backbone, pictures.features(choice, backbone)[0])
    if map_picture is not None:
        jpeg = base64.b64encode(draw.encode_jpeg(map_picture)).decode()
        shown = f"data:image/jpeg;base64,{jpeg}"
    height, width = geometry.crop[2:]
    return Panel(
        photo=_picture(choice.photo),
        alt=alt or choice.photo.alt,
        rows=geometry.grid[0],
        columns=geometry.grid[1],
        width=width,
        height=height,
        features=features,
        map=shown,
        caption=caption,
    )
