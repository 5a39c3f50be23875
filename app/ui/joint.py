"""See several photos as one network does, and draw them in the colours of one basis."""

from collections.abc import Sequence

import numpy as np

from app.cache import pictures
from app.state.selection import Choice
from app.ui import layout
from dino.features.files import JointPhoto, joint_picture
from dino.features.joint import JointPca, foreground_mask
from dino.model.backbone import Backbone


def see(
    choices: Sequence[Choice], backbone: Backbone, share: float | None
) -> tuple[list[JointPhoto], float]:
    """See the chosen photos as the network does, and the seconds of their forwards when those were made.

    Args:
        share: of the attention, heads averaged, that the foreground holds; None finds none.
    """
    seen, total = [], 0.0
    for choice in choices:
        features, seconds = pictures.features(choice, backbone)
        mask = None
        if share is not None:
            mask = foreground_mask(pictures.attention(choice, backbone)[0], share)
        rgb = pictures.shown(choice.photo, layout.SHOWN_PX)
        seen.append(JointPhoto(choice.photo.file_name, rgb, features, mask))
        total += seconds
    return seen, total


def paint(photos: Sequence[JointPhoto], joint: JointPca, backbone: Backbone) -> list[np.ndarray]:
    """Draw photos in their joint colours, uint8 [H,W,3] at most `SHOWN_PX` wide."""
    pairs = zip(photos, joint.colours, strict=True)
    return [layout.marked(joint_picture(photo, colours), backbone) for photo, colours in pairs]
