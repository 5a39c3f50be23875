"""A clip out of a still photo: a window that wanders over it and zooms, a camera's motion with nothing
moving in the picture."""

import math
from collections.abc import Iterator

import cv2
import numpy as np

# Shares of the largest window that fits: the nearest and the farthest zoom.
_NEAR, _FAR = 0.55, 0.85


def moving_crop(
    photo: np.ndarray, *, num_frames: int = 48, long_side: int = 480
) -> Iterator[np.ndarray]:
    """Cut the frames of a window that goes once around the photo's middle and zooms in and out; the end meets
    the beginning.

    Args:
        photo: uint8 [H,W,3].
        long_side: px of a frame's longer side; frames keep the photo's aspect, both sides even.
    Yields:
        uint8 [h,w,3], `num_frames` of them.
    """
    height, width = photo.shape[:2]
    scale = long_side / max(height, width)
    size = tuple(max(2, round(side * scale / 2) * 2) for side in (width, height))
    for number in range(num_frames):
        turn = 2 * math.pi * number / num_frames
        share = (_FAR + _NEAR) / 2 + (_FAR - _NEAR) / 2 * math.cos(turn)
        # The window's corner goes round an ellipse within the room that the window leaves.
        left = (1 - share) * width / 2 * (1 + 0.9 * math.sin(turn))
        top = (1 - share) * height / 2 * (1 - 0.6 * math.sin(2 * turn))
        zoom = np.array([[size[0] / (share * width), 0, 0], [0, size[1] / (share * height), 0]])
        zoom[:, 2] = -zoom[0, 0] * left, -zoom[1, 1] * top
        yield cv2.warpAffine(
            photo, zoom, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
        )
