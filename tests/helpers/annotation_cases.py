"""Photos and masks that the tests of annotation share."""

from pathlib import Path

import numpy as np
from PIL import Image

from dino.annotation.creation import create
from dino.annotation.session import MaskObject, PhotoState, Session
from dino.masks.settings import MaskSettings
from dino.media import regions

SIZE = (120, 160)


def disc(centre: tuple[int, int], radius: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Draw a filled circle, centre (row, column)."""
    y, x = np.indices(size)
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def ring() -> np.ndarray:
    """Draw a disc with a hole."""
    return disc((60, 80), 40) & ~disc((60, 80), 15)


def write_photos(folder: Path, count: int) -> Path:
    """Write `count` small photos that all differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rgb = np.full((*SIZE, 3), 90, np.uint8)
        rgb[0, 0] = (number % 256, number // 256, 7)
        rgb[disc((60, 80), 25)] = (250, 220, 40)
        Image.fromarray(rgb).save(folder / f"photo-{number:04}.png", compress_level=1)
    return folder


def begin(folder: Path, photos: Path, **changes) -> Session:
    """Begin a session with two classes and no real weights."""
    options = {
        "classes": ["cat", "dog"],
        "settings": MaskSettings(size=96, mass=0.5),
        "weights": "small",
        "weights_sha256": "0" * 64,
    }
    return create(folder, photos, **{**options, **changes})


def state_of(*masks: np.ndarray, status: str = "accepted") -> PhotoState:
    """Build a state with one object a mask, of the classes 0, 1 and 0."""
    objects = tuple(
        MaskObject(number, kind, regions.encode(mask))
        for number, (mask, kind) in enumerate(zip(masks, (0, 1, 0), strict=False), start=1)
    )
    return PhotoState(status, masks[0].shape if masks else SIZE, objects)


def area(corners: np.ndarray) -> float:
    """Measure the area a polygon [n,2] encloses, px²."""
    x, y = corners[:, 0].astype(np.float64), corners[:, 1].astype(np.float64)
    return abs(float(x @ np.roll(y, -1) - np.roll(x, -1) @ y)) / 2
