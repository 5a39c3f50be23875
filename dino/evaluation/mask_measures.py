"""How well masks of patches meet outlined objects: J, and CorLoc and saliency's measures of
discovery.

one = score_found(found, counts, boxes, geometry)      # of a photo
mean_scores("tokencut", [one, …]).corloc               # of a set

The measures of single boxes and masks (CorLoc, `first_mask`) take the first object found, so they
choose nothing by the answer; IoU, accuracy and F take all of them together, as one foreground.

Nearest-neighbour enlarging gives every pixel the value of one patch. A mask's pixels are therefore sums
over its patches (`PatchCounts`): the same numbers as of masks enlarged one by one, some hundred times
faster.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dino.evaluation.mask_data import Objects
from dino.masks.discovery.methods import Discovery
from dino.media.geometry import Geometry

# Precision weighs more than recall, as in the literature on saliency.
BETA_SQUARED = 0.3
_LEVELS = 256
CORLOC_IOU = 0.5


@dataclass(frozen=True)
class PatchCounts:
    """How many pixels that count each patch has: `pixels` [N] of the photo, `inside` [O,N] of each
    object, `foreground` [N] of any object."""

    pixels: np.ndarray
    inside: np.ndarray
    foreground: np.ndarray

    @classmethod
    def of(cls, objects: Objects, geometry: Geometry) -> "PatchCounts":
        """Count the objects of a photo."""
        num_patches = geometry.grid[0] * geometry.grid[1]
        patch_of = geometry.to_photo(np.arange(num_patches).reshape(geometry.grid))
        counts = ~objects.ignore

        def by_patch(where: np.ndarray) -> np.ndarray:
            return np.bincount(patch_of[where & counts], minlength=num_patches)

        return cls(
            pixels=by_patch(np.ones_like(counts)),
            inside=np.stack([by_patch(mask) for mask in objects.masks]),
            foreground=by_patch(np.logical_or.reduce(objects.masks)),
        )

    def jaccards(self, kept: np.ndarray) -> np.ndarray:
        """Compute J of masks of patches [..., N] with each object: float64 [..., O]."""
        both = kept.astype(np.int64) @ self.inside.T
        either = (kept @ self.pixels)[..., None] + self.inside.sum(axis=1) - both
        return both / either

    def overlaps(self, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Count, of masks of patches [..., N], pixels in mask and foreground both, and in the mask;
        [...]."""
        return kept @ self.foreground, kept @ self.pixels


@dataclass(frozen=True)
class DiscoveryResult:
    """Means over the photos of a set, all 0 to 1.

    `best_mask` J of the best mask found for each object (an oracle, where there are several masks),
    `first_mask` J of the first one; both mean over a photo's objects first. `corloc` share of photos
    in which the box of the first mask meets an object's box with an IoU above ½. `iou`, `accuracy`
    (share of pixels right) and `f_beta` (β² = 0.3) of all masks found together with all objects
    together. `max_f` the F of the score map at the threshold best for the set, None where there is
    no one map. `num_found` objects found in a photo.
    """

    method: str
    best_mask: float
    first_mask: float
    corloc: float
    iou: float
    accuracy: float
    f_beta: float
    max_f: float | None
    num_found: float


@dataclass(frozen=True)
class FoundScores:
    """The measures of one photo; `curve` [256] F of the score map by threshold, or None."""

    best_mask: float
    first_mask: float
    is_located: bool
    iou: float
    accuracy: float
    f_beta: float
    curve: np.ndarray | None
    num_found: int


def score_found(
    found: Discovery, counts: PatchCounts, boxes: np.ndarray, geometry: Geometry
) -> FoundScores:
    """Compare what was found in a photo with its objects.

    Args:
        counts: of the photo's objects, in the patches of `geometry`.
        boxes: of the objects, [O,4] (top, left, bottom, right) in photo px.
    """
    masks = found.masks.reshape(len(found.masks), len(counts.pixels))
    jaccards = counts.jaccards(masks)  # [n,O]
    both, marked = map(int, counts.overlaps(np.logical_or.reduce(masks)))
    objects, everything = int(counts.foreground.sum()), int(counts.pixels.sum())
    wrong = objects + marked - 2 * both
    return FoundScores(
        best_mask=float(jaccards.max(axis=0).mean()) if len(jaccards) else 0.0,
        first_mask=float(jaccards[0].mean()) if len(jaccards) else 0.0,
        is_located=bool(found.boxes)
        and bool((box_ious(photo_box(found, geometry), boxes) > CORLOC_IOU).any()),
        iou=both / (objects + marked - both),
        accuracy=1 - wrong / everything,
        f_beta=float(f_measure(np.array(both), np.array(marked), objects)),
        curve=f_curve(found.scores, counts) if found.method != "maskcut" else None,
        num_found=len(masks),
    )


def f_measure(both: np.ndarray, marked: np.ndarray, objects: int) -> np.ndarray:
    """Compute F of β² = 0.3 from pixels in mask and foreground both, in the mask, and in the
    foreground.

    (1 + β²)·P·R / (β²·P + R), which is (1 + β²)·both / (β²·objects + marked).
    """
    return (1 + BETA_SQUARED) * both / (BETA_SQUARED * objects + marked)


def f_curve(scores: np.ndarray, counts: PatchCounts) -> np.ndarray:
    """Compute F of what a map marks at 256 thresholds from its lowest value to its highest: float64
    [256].

    Args:
        scores: [n,h,w], of which the first is taken; 0 throughout where there is none.
    """
    if not len(scores):
        return np.zeros(_LEVELS)
    low, high = float(scores[0].min()), float(scores[0].max())
    share = (scores[0].ravel() - low) / (high - low or 1.0)
    levels = np.floor(share * (_LEVELS - 1)).astype(np.int64)
    # A patch counts at every threshold up to its own level.
    both, marked = (
        np.bincount(levels, weights=values, minlength=_LEVELS)[::-1].cumsum()[::-1]
        for values in (counts.foreground, counts.pixels)
    )
    return f_measure(both, marked, int(counts.foreground.sum()))


def photo_box(found: Discovery, geometry: Geometry) -> tuple[float, float, float, float]:
    """Find the box of the first object in photo px: (top, left, bottom, right)."""
    top, left, bottom, right = found.boxes[0]
    return (
        *geometry.photo_box(top, left)[:2],
        *geometry.photo_box(bottom - 1, right - 1)[2:],
    )


def box_ious(box: tuple[float, float, float, float], boxes: np.ndarray) -> np.ndarray:
    """Compute the IoU of a box with each of [O,4], all (top, left, bottom, right): float64 [O]."""
    asked = np.asarray(box, dtype=np.float64)
    sides = np.minimum(asked[2:], boxes[:, 2:]) - np.maximum(asked[:2], boxes[:, :2])
    both = sides.clip(min=0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return both / ((asked[2:] - asked[:2]).prod() + areas - both)


def everything_found(geometry: Geometry) -> Discovery:
    """Take the whole photo as an object: what a method must beat."""
    height, width = geometry.grid
    ones = np.ones((1, height, width))
    return Discovery(
        "all foreground",
        ones.astype(bool),
        ((0, 0),),
        ((0, 0, height, width),),
        ones.astype(np.float32),
    )


def mean_scores(method: str, photos: Sequence[FoundScores]) -> DiscoveryResult:
    """Average over photos."""
    curves = [photo.curve for photo in photos if photo.curve is not None]

    def mean(name: str) -> float:
        return float(np.mean([getattr(photo, name) for photo in photos]))

    return DiscoveryResult(
        method=method,
        best_mask=mean("best_mask"),
        first_mask=mean("first_mask"),
        corloc=mean("is_located"),
        iou=mean("iou"),
        accuracy=mean("accuracy"),
        f_beta=mean("f_beta"),
        max_f=float(np.mean(curves, axis=0).max()) if curves else None,
        num_found=mean("num_found"),
    )
