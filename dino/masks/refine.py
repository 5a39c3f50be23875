"""The edge of a mask of patches drawn to the photo's own edges, at the photo's full size.

Two ways, both worked out on a copy of at most `WORKING_PX` and brought to the photo's size after:

- "guided": the mask smoothed by a filter that follows the photo's colours, cut at one half;
  the filter's coefficients are what is enlarged, so the edge is the full photo's.
- "grabcut": colours of object and background learned around the mask, then the cheapest cut.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from dino.errors import UserError

REFINEMENTS = ("none", "guided", "grabcut")
WORKING_PX = 400
# Shares of the longer side and of squared colour (0..1), found on outlined photos; bench/refine.py
# measures what they give.
GUIDED_RADIUS = 0.05
GUIDED_EPS = 1e-4
# Definite object: farther from the outside than this share of the mask's deepest place.
GRABCUT_CORE = 0.2
# Definite background: farther from the mask than this many radii of a disc of the mask's area.
GRABCUT_REACH = 0.3
GRABCUT_ROUNDS = 3


def refine_mask(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    refine: str,
    *,
    on: NDArray[np.bool_] | None = None,
    off: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Move the edge of a mask [H,W] to the photo's, uint8 [H,W,3]; "none" changes nothing.

    A mask that is empty or covers everything has no edge, and one that a method would leave with
    nothing stays as it was.

    Args:
        on, off: [H,W], what somebody has said is of the object or is not; both stay as they are in the
            mask, and "grabcut" learns its colours from them too.
    Raises:
        UserError: an unknown refinement, or a mask of another size than the photo.
    """
    if refine not in REFINEMENTS:
        raise UserError(f"refine is {refine!r}; expected one of {REFINEMENTS}")
    if mask.shape != rgb.shape[:2]:
        raise UserError(
            f"the mask is {mask.shape} and the photo {rgb.shape[:2]}; resize the mask first"
        )
    if refine == "none" or not mask.any() or mask.all():
        return mask
    result = guided(rgb, mask) if refine == "guided" else grabcut(rgb, mask, on=on, off=off)
    if on is not None:
        result = result | (on & mask)
    if off is not None:
        result = result & ~(off & ~mask)
    return result if result.any() else mask


def guided(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Smooth the mask by a guided filter with the photo's colours as its guide, cut at one half.

    Source: He, Sun and Tang 2013, Guided Image Filtering (equations 14 to 16 for a colour guide);
    He and Sun 2015, Fast Guided Filter, for the coefficients on a reduced copy.
    """
    small, soft = _reduce(rgb, mask)
    guide = small.astype(np.float32) / np.float32(255)
    radius = max(1, round(GUIDED_RADIUS * max(soft.shape)))
    slope, offset = _guided_coefficients(guide, soft, radius)
    size = (mask.shape[1], mask.shape[0])
    # A plane at a time: floats of a whole photo of 40 megapixels would take a gigabyte.
    result = cv2.resize(offset, size, interpolation=cv2.INTER_LINEAR)
    for channel in range(3):
        plane = cv2.resize(slope[..., channel], size, interpolation=cv2.INTER_LINEAR)
        result += cv2.multiply(plane, rgb[..., channel], scale=1 / 255, dtype=cv2.CV_32F)
    return result >= 0.5


def _guided_coefficients(
    guide: NDArray[np.float32], soft: NDArray[np.float32], radius: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute slope [h,w,3] and offset [h,w] of the result as a linear function of the guide's colours."""

    def mean(values: NDArray[np.floating]) -> NDArray[np.float32]:
        side = 2 * radius + 1
        return cv2.boxFilter(values, -1, (side, side), borderType=cv2.BORDER_REFLECT)

    centre, level = mean(guide), mean(soft)
    shared = mean(guide * soft[..., None]) - centre * level[..., None]
    spread = np.empty((*soft.shape, 3, 3), np.float32)
    for i in range(3):
        products = mean(guide * guide[..., i : i + 1]) - centre * centre[..., i : i + 1]
        spread[..., i, :] = products
    spread += GUIDED_EPS * np.eye(3, dtype=np.float32)
    slope = np.linalg.solve(spread, shared[..., None])[..., 0]
    offset = level - (slope * centre).sum(axis=-1)
    return mean(slope), mean(offset)


def grabcut(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    *,
    on: NDArray[np.bool_] | None = None,
    off: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Cut the mask anew by GrabCut, with its core as object and what is far from it as background.

    Between the two the mask is a first guess that may change. Its own answer on a reduced copy is
    enlarged smoothly. `on` and `off` [H,W] are certain as `refine_mask` has them.

    Source: Rother, Kolmogorov and Blake 2004, GrabCut; OpenCV's implementation.
    """
    small, soft = _reduce(rgb, mask)
    labels = draw_seeds(soft >= 0.5)
    for said, label in ((on, cv2.GC_FGD), (off, cv2.GC_BGD)):
        if said is not None:
            labels[_reduce(rgb, said)[1] >= 0.5] = label
    if not {cv2.GC_FGD, cv2.GC_BGD} <= set(np.unique(labels).tolist()):
        return mask  # nothing to learn one of the two from
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # the colours start from k-means; the same photo is to give the same mask
    cv2.grabCut(small, labels, None, *models, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
    size = (mask.shape[1], mask.shape[0])
    return cv2.resize(found, size, interpolation=cv2.INTER_LINEAR) >= 0.5


def draw_seeds(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Draw GrabCut's labels [h,w]: certain inside the core and beyond the reach, a guess between."""
    area = mask.astype(np.uint8)
    framed = np.pad(area, 1)  # so that the photo's edge counts as outside
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1]
    away = cv2.distanceTransform(1 - area, cv2.DIST_L2, 5)
    labels = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[mask & (depth >= GRABCUT_CORE * depth.max())] = cv2.GC_FGD
    labels[away > GRABCUT_REACH * np.sqrt(area.sum() / np.pi)] = cv2.GC_BGD
    return labels


def _reduce(
    rgb: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Reduce photo and mask (as shares, float32) to a longer side of at most `WORKING_PX`."""
    height, width = mask.shape
    scale = min(1.0, WORKING_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    soft = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), soft
