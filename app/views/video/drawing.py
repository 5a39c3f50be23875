"""The mask of a video's first frame, painted over it: up to eight objects, each in a colour."""

import numpy as np
import streamlit as st

from app.cache import canvas as cached_canvas
from app.cache import pictures
from app.components.canvas.component import Brush, Prompts, canvas
from app.components.canvas.painted import labels_of
from app.state.selection import Choice
from dino.media.label_maps import OVERLAY_COLORS, resized_labels
from dino.model.backbone import Backbone

# Cells along the longer side that are painted; a finer frame takes its labels from the nearest.
_CELLS = 960
_HINT = (
    "Paint over what is to be followed, each object with a brush of its own; the right button or Erase takes "
    "paint away."
)
_HELP = (
    "B takes the next brush, E the eraser, the square brackets size it. Arrow keys move over the frame, "
    "Enter paints a spot, Space sets the brush down and lifts it. Control and Z undoes."
)


def drawn(frame: Choice, backbone: Backbone) -> np.ndarray | None:
    """Labels [H,W] of the first frame, uint8, as they are painted; None while there are none."""
    height, width = pictures.pixels(frame.photo).shape[:2]
    shrunk = min(1.0, _CELLS / max(height, width))
    size = max(1, round(height * shrunk)), max(1, round(width * shrunk))
    key = f"drawn_{frame.photo.id}"
    prompts: Prompts = st.session_state.setdefault(key, Prompts())
    large, side = st.columns([6, 5], gap="medium")
    with large:
        canvas(
            "drawing",
            [
                cached_canvas.panel(
                    frame, backbone, "video-drawing", alt=frame.photo.alt, compares=False
                )
            ],
            hint=_HINT,
            help_text=_HELP,
            tools=(),
            brushes=_brushes(prompts),
            paint_size=size,
            prompts=prompts,
            on_prompts=lambda painted: st.session_state.update({key: painted}),
        )
    labels = labels_of(prompts.painted, size)
    with side:
        _show_shares(labels)
    return resized_labels(labels, (height, width)) if labels.any() else None


def _brushes(prompts: Prompts) -> list[Brush]:
    """One for each object that is painted, and one for the next."""
    count = min(max(prompts.painted[1::2], default=0) + 1, len(OVERLAY_COLORS))
    return [
        Brush(f"Object {number}", "#" + bytes(color.tolist()).hex(), f"Paints object {number} (B)")
        for number, color in enumerate(OVERLAY_COLORS[:count], start=1)
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
