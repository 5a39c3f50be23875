"""Ten colour maps of matplotlib's, as tables: each lightens all the way, in steps that look alike.

    COLORMAPS["inferno"][255]        # the colour of 1: uint8 (red, green, blue)

The first five are perceptually uniform and readable with every common colour-vision deficiency; gray and
bone suit a printer without colours. OpenCV has the first five, within one level of
matplotlib; the others are the points and formulas they are made of.
Sources: Smith & van der Walt 2015 (viridis, inferno, magma, plasma); Nuñez, Anderton & Renslow 2018
(cividis); Green 2011 (cubehelix); Harrower & Brewer 2003 (YlGnBu).
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

_LEVELS = np.arange(256) / 255
_BLUE_GREEN_YELLOW = (
    (8, 29, 88),
    (37, 52, 148),
    (34, 94, 168),
    (29, 145, 192),
    (65, 182, 196),
    (127, 205, 187),
    (199, 233, 180),
    (237, 248, 177),
    (255, 255, 217),
)


def _of_opencv(number: int) -> NDArray[np.uint8]:
    levels = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(levels, number)[:, 0, ::-1])


def _table(channels: Sequence[NDArray[np.float64]]) -> NDArray[np.uint8]:
    """Make a table [256,3] of red, green and blue in 0..1, which may reach beyond."""
    shares = np.stack(channels, axis=-1).clip(0, 1)
    return np.ascontiguousarray((shares * 255).round().astype(np.uint8))


def _cubehelix() -> NDArray[np.uint8]:
    """Turn once and a half around the greys, from black to white."""
    angle = 2 * np.pi * (0.5 / 3 - 1.5 * _LEVELS)
    swing = _LEVELS * (1 - _LEVELS) / 2
    weights = ((-0.14861, 1.78277), (-0.29227, -0.90649), (1.97294, 0.0))
    return _table(
        [_LEVELS + swing * (cos * np.cos(angle) + sin * np.sin(angle)) for cos, sin in weights]
    )


def _bone() -> NDArray[np.uint8]:
    early, late = 0.365079, 0.746032
    return _table(
        [
            np.interp(_LEVELS, (0, late, 1), (0, 0.652778, 1)),
            np.interp(_LEVELS, (0, early, late, 1), (0, 0.319444, 0.777778, 1)),
            np.interp(_LEVELS, (0, early, 1), (0, 0.444444, 1)),
        ]
    )


def _between(colours: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """Interpolate between colours at even distances."""
    places = np.linspace(0, 1, len(colours))
    return _table([np.interp(_LEVELS, places, channel) / 255 for channel in np.array(colours).T])


COLORMAPS: dict[str, NDArray[np.uint8]] = {
    "inferno": _of_opencv(cv2.COLORMAP_INFERNO),
    "viridis": _of_opencv(cv2.COLORMAP_VIRIDIS),
    "cividis": _of_opencv(cv2.COLORMAP_CIVIDIS),
    "magma": _of_opencv(cv2.COLORMAP_MAGMA),
    "plasma": _of_opencv(cv2.COLORMAP_PLASMA),
    "cubehelix": _cubehelix(),
    "afmhot": _table([2 * _LEVELS, 2 * _LEVELS - 0.5, 2 * _LEVELS - 1]),
    "gray": _table([_LEVELS] * 3),
    "bone": _bone(),
    "YlGnBu_r": _between(_BLUE_GREEN_YELLOW),
}
