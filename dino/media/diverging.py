"""Signed maps as pictures: orange above zero, blue below, the photo where nothing changes."""

import numpy as np

from dino.media import draw
from dino.media.geometry import Geometry

# Apart for every common colour-vision deficiency, and of like lightness.
ABOVE, BELOW = (255, 140, 0), (40, 120, 255)


def diverging_heat(
    values: np.ndarray, geometry: Geometry, photo: np.ndarray
) -> tuple[np.ndarray, float]:
    """A signed map [h,w] laid over a photo that is darkened to grey.

    Args:
        photo: uint8 [H,W,3], at most the size of `geometry.original`.
    Returns:
        The picture [H,W,3], and the largest absolute value, which has the full colour.
    """
    most = float(np.abs(values).max())
    frame = draw.scaled(geometry, photo.shape[1])
    strength = frame.to_photo(np.abs(values) / most if most else np.zeros_like(values))[..., None]
    above = frame.to_photo(values > 0)[..., None]
    grey = np.repeat(photo.mean(axis=-1, keepdims=True) * 0.45, 3, axis=-1)
    mixed = grey * (1 - strength) + np.where(above, ABOVE, BELOW) * strength
    return np.rint(mixed).clip(0, 255).astype(np.uint8), most
