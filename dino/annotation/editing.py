"""Masks on the way to a screen and back: painted on a smaller copy, kept at the photo's own size.

Only what was painted over is taken from the smaller copy. A pixel of the mask that nobody touched is
the one that was there, however small the copy was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dino.annotation.session import (
    EDITED,
    MAX_OBJECTS,
    PROPOSED,
    TODO,
    MaskObject,
    PhotoState,
)
from dino.errors import UserError
from dino.masks.proposals import propose_objects
from dino.masks.settings import MaskSettings
from dino.media import regions
from dino.model.backbone import Backbone

# Longer side in px of the copy that is painted on; a photo up to this is painted on as it is.
EDIT_PX = 1600


@dataclass(frozen=True)
class Painted:
    """An object as it comes back: `mask` [h,w] bool at the size that was painted on."""

    id: int
    class_index: int
    mask: np.ndarray


def edit_size(size: tuple[int, int]) -> tuple[int, int]:
    """Compute (h, w) of the copy of a photo of `size` (H, W) that is painted on, in px."""
    share = min(1.0, EDIT_PX / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def reduce(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Reduce a mask [H,W] bool to a smaller `size` (h, w): set where half of what a pixel covers is."""
    if mask.shape == size:
        return mask
    pixels = mask.astype(np.uint8) * 255
    height, width = size
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA) >= 128


def apply_painting(mask: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Change the mask [H,W] where `painted` [h,w] changed its smaller copy; the mask itself where nothing."""
    changed = reduce(mask, painted.shape) != painted
    if not changed.any():
        return mask
    if mask.shape == painted.shape:
        return painted
    return np.where(_enlarge(changed, mask.shape), _enlarge(painted, mask.shape), mask)


def apply_paintings(
    state: PhotoState, paintings: Sequence[Painted], *, size: tuple[int, int], num_classes: int
) -> PhotoState:
    """Build the state of a photo with the objects as they were painted, in that order.

    Args:
        size: (H, W) of the photo; num_classes: how many there are to choose from.
    Raises:
        UserError: too many objects, two of one number, or a class that does not exist.
    """
    if len(paintings) > MAX_OBJECTS or len({p.id for p in paintings}) < len(paintings):
        raise UserError(f"{len(paintings)} objects came back; expected up to {MAX_OBJECTS}")
    before = {o.id: o for o in state.objects}
    return PhotoState(
        state.status,
        size,
        tuple(_apply_to_object(before.get(p.id), p, size, num_classes) for p in paintings),
    )


def proposed_state(backbone: Backbone, rgb: np.ndarray, settings: MaskSettings) -> PhotoState:
    """Build the state of a photo, uint8 [H,W,3], with the objects as they are proposed; one forward.

    Raises:
        UserError: as `propose`.
    """
    masks = [mask.pixels for mask in propose_objects(backbone, rgb, settings)]
    proposals = (
        MaskObject(number, 0, regions.encode(mask), PROPOSED)
        for number, mask in enumerate(masks, start=1)
    )
    return PhotoState(TODO, (rgb.shape[0], rgb.shape[1]), tuple(proposals))


def _apply_to_object(
    before: MaskObject | None, painted: Painted, size: tuple[int, int], num_classes: int
) -> MaskObject:
    if not 0 <= painted.class_index < num_classes:
        raise UserError(f"class {painted.class_index + 1} does not exist; there are {num_classes}")
    old = np.zeros(size, bool) if before is None else regions.decode(before.counts, size)
    new = apply_painting(old, painted.mask)
    if before is not None and new is old:
        return MaskObject(before.id, painted.class_index, before.counts, before.made)
    return MaskObject(painted.id, painted.class_index, regions.encode(new), EDITED)


def _enlarge(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    height, width = size
    pixels = mask.astype(np.uint8)
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_NEAREST) > 0
