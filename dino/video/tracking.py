"""Objects outlined in a video's first frame, followed through the frames after it.

    labels = read_first_mask(Path("first.png"))           # uint8 [H, W]: 0 background, 1 … objects
    for labels in track(backbone, read_frames("walk.mp4"), labels):
        …                                                 # uint8 [H, W], one a frame

Patch tokens of the last block say what looks alike; `dino.video.propagation` carries the labels. Frames
come and go one at a time.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dino.errors import TooLargeError, UserError
from dino.media.label_maps import read_label_map, resized_labels
from dino.media.preprocessing import preprocess
from dino.model.backbone import Backbone
from dino.model.limits import check_fits
from dino.video.propagation import PropagationSettings, propagate

# The longer side is taken down to a multiple of this, if the patch divides it.
_LONG_SIDE_UNIT = 64
MOST_OBJECTS = 32


def read_first_mask(path: Path) -> np.ndarray:
    """Read the labels of a mask picture, uint8 [H,W]: 0 background, objects from 1.

    A mask of black and one grey, such as 0 and 255, is one object.

    Raises:
        UserError: no mask, an empty one, or one with too many objects.
    """
    return as_labels(read_label_map(path), name=str(path))


def as_labels(values: np.ndarray, *, name: str) -> np.ndarray:
    """Take values [H,W] of a mask picture as labels; `name` and errors as in `read_first_mask`."""
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


def network_size(frame: tuple[int, int], *, short_side: int, patch_size: int) -> tuple[int, int]:
    """Choose the (H, W) px that frames of (H, W) px are resized to.

    The shorter side becomes `short_side`, down to whole patches; the longer keeps the aspect, down to
    a multiple of 64 px where the patch divides 64 and the side has as much, else of the patch.
    480×854 px become 480×832 at patch 8 or 16, and 476×854 at patch 14.

    Raises:
        UserError: `short_side` below one patch.
    Source: eval_video_segmentation.py of facebookresearch/dino.
    """
    if short_side < patch_size:
        raise UserError(f"size is {short_side} px; expected a patch at least, {patch_size} px")
    height, width = frame
    longer = short_side * max(frame) // min(frame)
    fits = _LONG_SIDE_UNIT % patch_size == 0 and longer >= _LONG_SIDE_UNIT
    unit = _LONG_SIDE_UNIT if fits else patch_size
    short, long = short_side // patch_size * patch_size, longer // unit * unit
    return (long, short) if height > width else (short, long)


def track(
    backbone: Backbone,
    frames: Iterable[np.ndarray],
    first: np.ndarray,
    *,
    short_side: int = 480,
    settings: PropagationSettings | None = None,
) -> Iterator[np.ndarray]:
    """Follow the labels of a video's first frame through the others.

    The first labels come to the patches, and found ones to the frame's own size, by nearest
    neighbour, as in the original. Frames are resized with anti-aliasing, which the original does
    without: that matters for frames much larger than `short_side`; at DAVIS's size it moved J and F
    of two short sequences by 0.0014 at most.

    Args:
        frames: uint8 [H,W,3], all of one size; taken as they are needed.
        first: labels of the first frame, uint8 [H,W]: 0 background, objects from 1.
        short_side: px of the network's input, as in `network_size`.
    Yields:
        uint8 [H,W], one a frame; the first is `first`.
    Raises:
        UserError: labels of another size than the frames, or frames that change theirs.
        TooLargeError: more patches or memory than there is.
    """
    frame = (first.shape[0], first.shape[1])
    size = network_size(frame, short_side=short_side, patch_size=backbone.patch_size)
    _check_memory(backbone, size)
    grid = size[0] // backbone.patch_size, size[1] // backbone.patch_size
    patches = torch.from_numpy(resized_labels(first, grid).astype(np.int64))
    tokens = (_patch_tokens(backbone, rgb, size) for rgb in _of_one_size(frames, frame))
    yield first
    for found in propagate(tokens, patches, size=size, settings=settings):
        yield resized_labels(found.labels.cpu().numpy(), frame)


def track_with_frames(
    backbone: Backbone, frames: Iterable[np.ndarray], first: np.ndarray, *, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Track a mask and give each frame [H,W,3] with its labels [H,W]; two frames are held at most.

    Args:
        first: labels of the first frame, uint8 [H,W].
        size: longer side in px of the network's input.
    Raises:
        UserError: a size below a patch, and as in `track`.
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


def _of_one_size(frames: Iterable[np.ndarray], size: tuple[int, int]) -> Iterator[np.ndarray]:
    for number, rgb in enumerate(frames):
        if rgb.shape[:2] != size:
            height, width = rgb.shape[:2]
            raise UserError(
                f"frame {number} is {height}×{width} px and the first labels {size[0]}×{size[1]}; "
                "expected one size"
            )
        yield rgb


def _patch_tokens(backbone: Backbone, rgb: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Compute the patch tokens [N,D] of the last block."""
    image, _ = preprocess(
        rgb,
        size=size,
        patch_size=backbone.patch_size,
        fit="stretch",
        mean=backbone.mean,
        std=backbone.std,
    )
    return backbone.tokens(image).patches[0]


def _check_memory(backbone: Backbone, size: tuple[int, int]) -> None:
    try:
        check_fits(backbone, size, size=max(size))
    except TooLargeError as error:
        raise TooLargeError(
            f"frames become {size[0]}×{size[1]} px, which is too large: for the longer side, {error}"
        ) from error
