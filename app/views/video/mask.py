"""The mask of a video's first frame: pointed at, drawn, from attention, or a picture of one."""

import numpy as np
import streamlit as st

from app.cache import canvas as cached_canvas
from app.cache import pictures as photos
from app.cache import video as cached_video
from app.components.canvas.component import Brush, Prompts, canvas
from app.state.selection import MAX_PHOTO_BYTES, Choice
from app.ui import layout, pointing
from app.ui.networks import instead_of_attention
from dino.attention.mass import DEFAULT_MASS
from dino.media.label_maps import label_overlay, resized_labels
from dino.media.palettes import OBJECT_COLORS, hex_color
from dino.media.regions import from_label_runs
from dino.model.backbone import Backbone
from dino.system.words import counted

WAYS = ("by pointing", "by drawing", "from attention", "a picture of the mask")
POINTING, DRAWING, ATTENTION, _ = WAYS


def choose_labels(frame: Choice, backbone: Backbone) -> np.ndarray | None:
    """Choose the labels [H,W] of the first frame, uint8; None while there are none.

    Raises:
        UserError: a picture that is no mask of this frame.
    """
    way = st.segmented_control(
        "First mask", WAYS, default=WAYS[0], required=True, key="first", bind="query-params",
        help="What is followed: drawn on the first frame, and carried to the others.",
    )  # fmt: skip
    if way == DRAWING:
        return _drawn(frame, backbone)
    if way == POINTING:
        masks = pointing.pointed(frame, backbone)
        if not masks.any():
            st.info(
                "Point at an object in the first frame, and it is followed.",
                icon=":material/touch_app:",
            )
            return None
        return number_masks(masks)
    large, side = st.columns([6, 5], gap="medium")
    with side:
        labels = _attended(frame, backbone) if way == ATTENTION else _uploaded(frame)
    if labels is not None:
        with large:
            _show(frame, labels)
    return labels


def number_masks(masks: np.ndarray) -> np.ndarray:
    """Number masks [n,H,W] that share nothing as labels 1 to n."""
    numbers = np.arange(1, len(masks) + 1, dtype=np.uint8)
    return (masks * numbers[:, None, None]).max(axis=0)


def _attended(frame: Choice, backbone: Backbone) -> np.ndarray | None:
    if not backbone.has_attention:
        instead_of_attention(backbone, "The other ways to a first mask work with it")
        return None
    mass = st.slider(
        "Share of the attention", 0.05, 1.0, DEFAULT_MASS, 0.05, key="film_mass",
        bind="query-params", help="The fewest patches that hold this share of the heads' mean.",
    )  # fmt: skip
    return cached_video.attention_labels(frame, backbone, mass)


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
    return cached_video.uploaded_mask(file.name, file.getvalue(), (height, width))


def _show(frame: Choice, labels: np.ndarray) -> None:
    share, count = (labels > 0).mean(), len(np.unique(labels[labels > 0]))
    objects = counted(count, "object")
    layout.picture(
        label_overlay(photos.pixels(frame.photo), labels),
        alt=f"The first frame with its mask, {share:.0%} of the picture",
        caption=f"First frame; {objects}, {share:.0%} of the picture.",
    )


# Cells along the longer side that are painted; a finer frame takes its labels from the nearest.
_CELLS = 960
_MAX_OBJECTS = 8
_HINT = (
    "Paint over what is to be followed, each object with a brush of its own; the right button or Erase takes "
    "paint away."
)
_HELP = (
    "B takes the next brush, E the eraser, the square brackets size it. Arrow keys move over the frame, "
    "Enter paints a spot, Space sets the brush down and lifts it. Control and Z undoes."
)


def _drawn(frame: Choice, backbone: Backbone) -> np.ndarray | None:
    """Take the labels [H,W] of the first frame, uint8, as they are painted; None while there are none."""
    height, width = photos.pixels(frame.photo).shape[:2]
    shrunk = min(1.0, _CELLS / max(height, width))
    size = max(1, round(height * shrunk)), max(1, round(width * shrunk))
    key = f"drawn_{frame.photo.id}"
    prompts: Prompts = st.session_state.setdefault(key, Prompts())
    large, side = st.columns([6, 5], gap="medium")
    with large:
        canvas(
            "drawing",
            [cached_canvas.panel(frame, backbone, alt=frame.photo.alt, compares=False)],
            hint=_HINT,
            help_text=_HELP,
            tools=(),
            brushes=_brushes(prompts),
            paint_size=size,
            prompts=prompts,
            on_prompts=lambda painted: st.session_state.update({key: painted}),
        )
    labels = from_label_runs(prompts.painted, size)
    with side:
        _show_shares(labels)
    return resized_labels(labels, (height, width)) if labels.any() else None


def _brushes(prompts: Prompts) -> list[Brush]:
    """Make one brush for each object that is painted, and one for the next."""
    count = min(max(prompts.painted[1::2], default=0) + 1, _MAX_OBJECTS)
    return [
        Brush(f"Object {number}", hex_color(color), f"Paints object {number} (B)")
        for number, color in enumerate(OBJECT_COLORS[:count], start=1)
    ]


def _show_shares(labels: np.ndarray) -> None:
    if not labels.any():
        st.info(
            "Paint over an object in the first frame, and it is followed.", icon=":material/brush:"
        )
        return
    shares = [(number, (labels == number).mean()) for number in np.unique(labels[labels > 0])]
    st.markdown(
        "\n".join(f"- Object {number}: {share:.1%} of the frame" for number, share in shares)
    )
    st.caption("A drawing stays in this session; *First mask* below keeps it as a picture.")
