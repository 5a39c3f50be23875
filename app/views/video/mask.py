"""The mask of a video's first frame: pointed at, drawn, from attention, or a picture of one."""

from pathlib import Path

import numpy as np
import streamlit as st

from app.cache import pictures as photos
from app.cache import video as services
from app.state.selection import MAX_PHOTO_BYTES, Choice
from app.ui import layout, pointing
from app.views.video import drawing
from dino.attention.mass import DEFAULT_MASS
from dino.media.label_maps import label_overlay
from dino.model.backbone import Backbone

WAYS = ("by pointing", "by drawing", "from attention", "a picture of the mask")
POINTING, DRAWING, ATTENTION, _ = WAYS


def choose(frame: Choice, backbone: Backbone) -> np.ndarray | None:
    """Labels [H,W] of the first frame, uint8; None while there are none.

    Raises:
        UserError: a picture that is no mask of this frame.
    """
    way = st.segmented_control(
        "First mask", WAYS, default=WAYS[0], required=True, key="first", bind="query-params",
        help="What is followed: drawn on the first frame, and carried to the others.",
    )  # fmt: skip
    if way == DRAWING:
        return drawing.drawn(frame, backbone)
    if way == POINTING:
        masks = pointing.pointed(frame, backbone)
        if not masks.any():
            st.info(
                "Point at an object in the first frame, and it is followed.",
                icon=":material/touch_app:",
            )
            return None
        return _labels(masks)
    large, side = st.columns([6, 5], gap="medium")
    with side:
        labels = _attended(frame, backbone) if way == ATTENTION else _uploaded(frame)
    if labels is not None:
        with large:
            _show(frame, labels)
    return labels


def download(path: Path, data: bytes) -> None:
    """The first mask, which the command needs."""
    layout.downloads(("First mask (PNG)", path.name, "contrast", lambda: data))


def _labels(masks: np.ndarray) -> np.ndarray:
    """Masks [n,H,W] that share nothing as labels 1 to n."""
    numbers = np.arange(1, len(masks) + 1, dtype=np.uint8)
    return (masks * numbers[:, None, None]).max(axis=0)


def _attended(frame: Choice, backbone: Backbone) -> np.ndarray:
    mass = st.slider(
        "Share of the attention", 0.05, 1.0, DEFAULT_MASS, 0.05, key="film_mass",
        bind="query-params", help="The fewest patches that hold this share of the heads' mean.",
    )  # fmt: skip
    return services.attended(frame, backbone, mass)


def _uploaded(frame: Choice) -> np.ndarray | None:
    file = st.file_uploader(
        "Mask of the first frame",
        type=["png"],
        key="first_mask",
        max_upload_size=MAX_PHOTO_BYTES // 2**20,
        help="PNG of indices or grey levels: 0 background, each object a value.",
    )
    if file is None:
        return None
    height, width = photos.pixels(frame.photo).shape[:2]
    return services.uploaded_mask(file.name, file.getvalue(), (height, width))


def _show(frame: Choice, labels: np.ndarray) -> None:
    picture = label_overlay(photos.pixels(frame.photo), labels)
    share, count = (labels > 0).mean(), len(np.unique(labels[labels > 0]))
    objects = "1 object" if count == 1 else f"{count} objects"
    layout.picture(
        picture,
        alt=f"The first frame with its mask, {share:.0%} of the picture",
        caption=f"First frame; {objects}, {share:.0%} of the picture.",
    )
