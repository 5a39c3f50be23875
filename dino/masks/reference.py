"""A mask somebody drew of a photo: read from any picture, and what masks of attention score on it.

reference = read_reference(data, shape=rgb.shape[:2])
scores = score_heads(masks, reference.pixels, geometry)     # masks bool [A,h,w], one a head
scores.union, scores.union_heads                            # an oracle: it has seen the answer
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dino.errors import UserError
from dino.media.geometry import Geometry
from dino.media.images import decode
from dino.media.label_maps import EXACT_FORMATS, read_values


@dataclass(frozen=True)
class Reference:
    """What is object, `pixels` [H,W] bool at the photo's size, and `resized_from` (H, W) in px where
    the picture had another."""

    pixels: NDArray[np.bool_]
    resized_from: tuple[int, int] | None = None


@dataclass(frozen=True)
class HeadScores:
    """Jaccard index of each head's mask with a reference, `heads` [A], and an oracle's choice:
    `union_heads` in the order taken and the `union`'s index, never below the best head's."""

    heads: tuple[float, ...]
    union_heads: tuple[int, ...]
    union: float


def read_reference(data: bytes, *, shape: tuple[int, int]) -> Reference:
    """Read a mask for a photo of `shape` (H, W).

    Object is what is not zero: in transparency where there is some, else in any channel, or as a
    palette's number. In formats that lose detail, such as JPEG, it is the brighter half of the
    scale. A picture of the photo's aspect is resized to it by nearest neighbour.

    Raises:
        ImageError: not a picture that can be read.
        UserError: another aspect than the photo's, or no object in it.
    """
    mask = _read_marks(data)
    (height, width), (photo_h, photo_w) = mask.shape, shape
    if not mask.any():
        raise UserError(
            "the reference mask marks nothing; expected an object in values other than 0"
        )
    if mask.shape == shape:
        return Reference(mask)
    # One side of either may have been rounded by a px when it was scaled.
    if abs(width * photo_h - photo_w * height) > max(width, height, photo_w, photo_h):
        raise UserError(
            f"the reference mask is {width}×{height} px and the photo {photo_w}×{photo_h}; "
            "expected the photo's size or its aspect, so export the mask at the photo's size"
        )
    rows = (2 * np.arange(photo_h) + 1) * height // (2 * photo_h)
    columns = (2 * np.arange(photo_w) + 1) * width // (2 * photo_w)
    return Reference(mask[rows[:, None], columns], resized_from=(height, width))


def score_heads(
    masks: NDArray[np.bool_], reference: NDArray[np.bool_], geometry: Geometry
) -> HeadScores:
    """Compute the Jaccard index of masks of patches [A,h,w] with a reference [H,W], and of their best union.

    The union starts at the best head and takes the head that raises the index most, until none
    does: an oracle, since it chooses by the reference. Pixels are counted by patch once, which
    gives the same numbers as `jaccard` of masks enlarged by nearest neighbour.

    Raises:
        UserError: a reference of another size than the photo.
    """
    if reference.shape != geometry.original:
        raise UserError(
            f"the reference is {reference.shape} and the photo {geometry.original}; resize it first"
        )
    num_patches = masks[0].size
    patch_of = geometry.to_photo(np.arange(num_patches).reshape(geometry.grid))
    pixels = np.bincount(patch_of.ravel(), minlength=num_patches)
    inside = np.bincount(patch_of[reference], minlength=num_patches)
    flat = masks.reshape(len(masks), -1)

    def index(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        both = kept @ inside
        either = kept @ pixels + inside.sum() - both
        return np.where(either > 0, both / np.maximum(either, 1), 1.0)

    alone = index(flat)
    taken = [int(alone.argmax())]
    union, score = flat[taken[0]], float(alone.max())
    while True:
        tried = index(flat | union)
        if tried.max() <= score:
            break
        taken.append(int(tried.argmax()))
        union, score = flat[taken[-1]] | union, float(tried.max())
    return HeadScores(tuple(alone.tolist()), tuple(taken), score)


def _read_marks(data: bytes) -> NDArray[np.bool_]:
    """Read what a picture marks, bool [H,W]: any that a photo may be, not only a file of masks."""
    rgb = decode(data)  # also refuses what is no picture, or too large, in a sentence
    try:
        found = read_values(io.BytesIO(data), "the reference mask", formats=EXACT_FORMATS)
    except UserError:  # a format that blurs what was drawn: cut in the middle
        return rgb.max(axis=-1) >= 128
    if found.alpha is not None and found.alpha.min() < 255:
        return found.alpha > 0
    marked: NDArray[np.bool_] = found.brightest != 0
    return marked
