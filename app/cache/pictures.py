"""Keep what one forward of a photo gives, and its pixels; keyed by hashes, never by arrays."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st

from app.state.selection import Choice, Photo
from dino.annotation.editing import proposed_state
from dino.annotation.session import PhotoState
from dino.attention import photo as attention_photo
from dino.attention.photo import PatchFeatures, PhotoAttention
from dino.features import files
from dino.features.projections import Projection, project
from dino.masks.settings import MaskSettings
from dino.media import draw
from dino.media.geometry import Geometry
from dino.media.images import decode
from dino.media.preprocessing import plan
from dino.model.backbone import Backbone

_PROJECTIONS = "projections"
_MAX_PROJECTIONS = 16
_THUMBNAIL_PX = 480
# What is said while a forward is made.
LOOKING = "Looking at the photo …"

# What a result depends on: the photo's bytes, its size in the network, and weights and arithmetic.
KEYS: dict[str | type[Any], Callable[[Any], Any]] = {
    Photo: lambda photo: photo.id,
    Choice: lambda choice: (choice.photo.id, choice.size),
    Backbone: lambda backbone: backbone.fingerprint,
}


# Held as they are, not as copies, which would be made each time: nothing can change them.
@st.cache_resource(max_entries=6, show_spinner=False, hash_funcs=KEYS)
def pixels(photo: Photo) -> np.ndarray:
    """Decode the photo at its own size, uint8 [H,W,3], not to be written to."""
    rgb = decode(photo.data)
    rgb.flags.writeable = False
    return rgb


@st.cache_data(max_entries=24, show_spinner=False, hash_funcs=KEYS)
def shown(photo: Photo, width: int) -> np.ndarray:
    """Shrink the photo to at most `width` px."""
    return draw.shrink(pixels(photo), width)


def thumbnail(photo: Photo) -> bytes:
    """Encode the photo small, as JPEG bytes."""
    return draw.encode_jpeg(shown(photo, _THUMBNAIL_PX))


@st.cache_resource(show_spinner=False)
def forward_lock() -> threading.Lock:
    """Give the lock every forward is made under: sessions take turns.

    Together they would take longer, and each would time the others.
    """
    return threading.Lock()


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEYS)
def _forward(
    choice: Choice, backbone: Backbone
) -> tuple[PhotoAttention | None, PatchFeatures, float]:
    rgb, maps = pixels(choice.photo), None
    with forward_lock():
        started = time.perf_counter()
        if backbone.has_attention:
            maps, patches = attention_photo.attention_and_features(backbone, rgb, size=choice.size)
        else:
            patches = attention_photo.features(backbone, rgb, size=choice.size)
        return maps, patches, time.perf_counter() - started


def geometry(choice: Choice, backbone: Backbone) -> Geometry:
    """Plan how the chosen photo becomes patches; no forward is needed."""
    height, width = pixels(choice.photo).shape[:2]
    return plan((height, width), size=choice.size, patch_size=backbone.patch_size)


def attention(choice: Choice, backbone: Backbone) -> tuple[PhotoAttention, float]:
    """Read the last block's CLS attention on the chosen photo, and the seconds its forward took."""
    backbone.check_attention()
    with st.spinner(LOOKING):
        found, _, seconds = _forward(choice, backbone)
    assert found is not None
    return found, seconds


def features(choice: Choice, backbone: Backbone) -> tuple[PatchFeatures, float]:
    """Read the last block's patch features of the chosen photo, and the seconds their forward took."""
    with st.spinner(LOOKING):
        _, found, seconds = _forward(choice, backbone)
    return found, seconds


def proposed(backbone: Backbone, rgb: np.ndarray, settings: MaskSettings) -> PhotoState:
    """Propose a mask of a photo to annotate; forwards take turns."""
    with forward_lock():
        return proposed_state(backbone, rgb, settings)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEYS)
def patch_colours(choice: Choice, backbone: Backbone, _features: PatchFeatures) -> np.ndarray:
    """Average the chosen photo's colour under each patch, uint8 [N,3]."""
    return files.patch_colours(pixels(choice.photo), _features)


def projection(
    choice: Choice,
    backbone: Backbone,
    patch_features: PatchFeatures,
    *,
    progress: Callable[[float, str], None] | None = None,
    **options: Any,
) -> Projection:
    """Project the chosen photo's patches to points; options and `progress` as in `dino.project`.

    Kept in the session, since a function under st.cache_data may not draw a progress bar.
    """
    kept = st.session_state.setdefault(_PROJECTIONS, {})
    key = (*key_of(choice, backbone), *sorted(options.items()))
    if key not in kept:
        while len(kept) >= _MAX_PROJECTIONS:
            kept.pop(next(iter(kept)))
        kept[key] = project(patch_features.patches, progress=progress, **options)
    return kept[key]


def key_of(choice: Choice, backbone: Backbone) -> tuple[str, str, int]:
    """Name what a result depends on: photo, weights and arithmetic, size."""
    return choice.photo.id, backbone.fingerprint, choice.size
