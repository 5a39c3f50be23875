"""The first frame's mask, and a video with the mask that is carried along."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dino.errors import UserError
from dino.media.label_maps import read_label_map
from dino.model.backbone import Backbone
from dino.video.tracking import track

MOST_OBJECTS = 32


def read_first_mask(path: Path) -> np.ndarray:
    """Labels of a mask picture, uint8 [H,W]: 0 background, objects from 1.

    A mask of black and one grey, such as 0 and 255, is one object.

    Raises:
        UserError: no mask, an empty one, or one with too many objects.
    """
    return as_labels(read_label_map(path), name=str(path))


def as_labels(values: np.ndarray, *, name: str) -> np.ndarray:
    """Values [H,W] of a mask picture as labels; `name` and errors as in `read_first_mask`."""
    found = np.unique(values[values > 0])
    if not len(found):
        raise UserError(f"{name} marks nothing; expected an object of another value than 0")
    if len(found) == 1:
        return (values > 0).astype(np.uint8)
    if found[-1] > MOST_OBJECTS:
        raise UserError(
            f"{name} has labels up to {found[-1]}; expected {MOST_OBJECTS} objects at most, so export "
            "it as an indexed PNG without soft edges"
        )
    return values


def tracked(
    backbone: Backbone, frames: Iterable[np.ndarray], first: np.ndarray, *, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each frame [H,W,3] with its labels [H,W]; two frames are held at most.

    Args:
        first: labels of the first frame, uint8 [H,W].
        size: longer side in px of the network's input.
    Raises:
        UserError: as `dino.video.tracking.track`.
    """
    short_side = size * min(first.shape) // max(first.shape)
    if short_side < backbone.patch_size:
        raise UserError(
            f"at size {size} px the shorter side has {short_side} px, less than a patch of "
            f"{backbone.patch_size}; choose a larger size"
        )
    shown, followed = itertools.tee(frames)
    labels = track(backbone, followed, first, short_side=short_side)
    yield from zip(shown, labels, strict=False)
