"""Several objects of a photo drawn in colours of their own, and the numbers of a discovery as a file."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from dino.attention.files import npz
from dino.masks.discovery import Discovery
from dino.media import draw
from dino.media.geometry import Geometry

# As many as can be told apart, the first that of a single mask; the editor of masks has the same.
OBJECT_COLORS = (
    draw.MASK_COLOR,
    (86, 180, 233),
    (0, 179, 134),
    (240, 228, 66),
    (204, 121, 167),
    (182, 140, 255),
    (255, 90, 79),
    (155, 229, 100),
    (255, 255, 255),
)


def objects_overlay(
    photo: NDArray[np.uint8], masks: NDArray[np.bool_], *, opacity: float = 0.55
) -> NDArray[np.uint8]:
    """Masks [n,H,W] tinted over a photo, the rest darkened; where two meet the first is on top."""
    picture = (photo * 0.55).astype(np.uint8)
    for number in reversed(range(len(masks))):
        tint = np.full_like(photo, object_color(number))
        picture = np.where(masks[number][..., None], draw.overlay(photo, tint, opacity), picture)
    return picture


def objects_outline(photo: NDArray[np.uint8], masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The photo with each mask's edge as a line that keeps its weight at any size."""
    picture = np.ascontiguousarray(photo.copy())
    thickness = max(2, round(max(photo.shape[:2]) / 250))
    for number in reversed(range(len(masks))):
        edges, _ = cv2.findContours(
            masks[number].astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, edges, -1, (0, 0, 0), thickness + 2)
        cv2.drawContours(picture, edges, -1, object_color(number), thickness)
    return picture


def object_color(number: int) -> tuple[int, int, int]:
    """RGB of object `number`, from 0; they come round again."""
    return OBJECT_COLORS[number % len(OBJECT_COLORS)]


def discovery_npz(found: Discovery, geometry: Geometry, *, settings: str) -> bytes:
    """`objects.npz`: masks [n,h,w], scores [n,h,w], seeds [n,2], boxes [n,4] in patches, and how."""
    return npz(
        {
            "masks": found.masks,
            "scores": found.scores,
            "seeds": _table(found.seeds, 2),
            "boxes": _table(found.boxes, 4),
            "grid": found.grid,
            "original_hw": geometry.original,
            "resized_hw": geometry.resized,
            "settings": settings,
        }
    )


def _table(rows: Sequence[tuple[int, ...]], columns: int) -> NDArray[np.int64]:
    return np.array(rows, dtype=np.int64).reshape(-1, columns)
