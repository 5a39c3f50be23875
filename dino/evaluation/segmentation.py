"""How well the attention of single heads covers objects: the Jaccard index of the paper's Fig. 4.

    data = open_masks("caltech-masks")
    result = attention_jaccard(backbone, data, size=280)
    result.at(0.6).best_head                       # an oracle: the best head of each object

python -m dino eval segmentation --data caltech-masks --size 280
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from dino.backbone import Backbone
from dino.errors import ImageError, UserError
from dino.evaluation.mask_data import MaskData, Objects
from dino.geometry import Geometry
from dino.images import read
from dino.limits import check_fits
from dino.masks import check_mass, mass_mask
from dino.preprocessing import preprocess
from dino.processes import World

# The shares of attention the paper gives figures for, and a curve around them.
DEFAULT_MASSES = (0.6, 0.8)
CURVE_MASSES = tuple(round(0.05 * step, 2) for step in range(2, 20))


@dataclass(frozen=True)
class MassResult:
    """Mean J (0 to 1) of masks that hold `mass` of a head's attention.

    `best_head` takes for each object the head that covers it best, knowing the answer (an oracle);
    `mean_head` the mean over the heads; `heads` [A] each head by itself.
    """

    mass: float
    best_head: float
    mean_head: float
    heads: tuple[float, ...]


@dataclass(frozen=True)
class SegmentationResult:
    """J of attention masks on a set: the mean over a photo's objects, then over photos.

    `masses` in the order asked for, `all_foreground` what marking the whole photo gives, and what
    was counted: photos without an object count nowhere, unreadable ones are listed.
    """

    masses: tuple[MassResult, ...]
    all_foreground: float
    num_photos: int
    num_objects: int
    num_without_object: int
    unreadable: tuple[Path, ...]

    def at(self, mass: float) -> MassResult:
        """The result at one of the masses asked for."""
        return next(result for result in self.masses if result.mass == mass)


def attention_jaccard(
    backbone: Backbone,
    data: MaskData,
    *,
    size: int = 480,
    masses: Sequence[float] = (*DEFAULT_MASSES, *CURVE_MASSES),
    resample: str = "bicubic",
    progress: Callable[[int, int], None] | None = None,
    world: World | None = None,
) -> SegmentationResult:
    """Jaccard index of the last block's CLS attention, thresholded by mass, with outlined objects.

    Args:
        size: px of both sides the photos are stretched to, taken down to whole patches.
        masses: shares of a head's attention to keep, each in (0, 1]; doubles count once.
        resample: "bicubic" or "bilinear".
        progress: called with (photos done, photos in all) after each photo.
        world: processes that share the photos; each gets the whole result.
    Raises:
        UserError: a network without attention, a mass or size out of range, masks of another size
            than their photo, or no object in any photo.
    Source: Caron et al. 2021, Fig. 4; masks are enlarged to the photo by nearest neighbour.
    """
    kept = tuple(dict.fromkeys(masses))
    for mass in kept:
        check_mass(mass)
    world, found = world or World(), dict[int, _PhotoScores | None]()
    share = world.rows(len(data.paths))
    for done, row in enumerate(share, start=1):
        found[row] = _score_photo(
            backbone, data, data.paths[row], size=size, resample=resample, masses=kept
        )
        if progress:
            progress(done, len(share))
    everything = world.gathered(found)
    read_ones = [one for one in everything.values() if one is not None]
    scores = [one for one in read_ones if one.num_objects]
    if not scores:
        raise UserError(f"{data.root} has no readable photo with an object; check the folder")
    return SegmentationResult(
        masses=_mean_over_photos(kept, np.stack([one.heads for one in scores])),
        all_foreground=float(np.mean([one.foreground for one in scores])),
        num_photos=len(scores),
        num_objects=sum(one.num_objects for one in scores),
        num_without_object=len(read_ones) - len(scores),
        unreadable=tuple(data.paths[row] for row, one in everything.items() if one is None),
    )


@dataclass(frozen=True)
class _PhotoScores:
    """J [masses, 1+A] of one photo, what marking all of it gives, and of how many objects."""

    heads: np.ndarray
    foreground: float
    num_objects: int


def _score_photo(
    backbone: Backbone,
    data: MaskData,
    path: Path,
    *,
    size: int,
    resample: str,
    masses: Sequence[float],
) -> _PhotoScores | None:
    """None where the photo cannot be read."""
    try:
        rgb = read(path)
    except (ImageError, OSError):
        return None
    objects = data.objects(path)
    _check_sizes(path, objects, rgb)
    if not len(objects.masks):
        return _PhotoScores(np.empty(0), 0.0, 0)
    maps, geometry = _attend(backbone, rgb, size, resample)
    scores = _mean_over_objects(jaccards(maps, objects, geometry, masses))
    return _PhotoScores(scores, float(foreground_jaccards(objects).mean()), len(objects.masks))


def jaccards(
    maps: Tensor, objects: Objects, geometry: Geometry, masses: Sequence[float]
) -> np.ndarray:
    """J of each head's mask with each object, at the photo's size: float64 [masses, A, O].

    Nearest-neighbour enlarging gives every pixel the value of one patch, so pixels are counted by
    patch once, and each mask's pixels are sums of those counts: the same numbers as `dino.jaccard`
    of masks enlarged one by one, some hundred times faster.

    Args:
        maps: attention over patches [A,h,w].
    """
    num_patches = geometry.grid[0] * geometry.grid[1]
    patch_of = geometry.to_photo(np.arange(num_patches).reshape(geometry.grid))
    counted = patch_of[~objects.ignore]
    pixels = np.bincount(counted, minlength=num_patches)  # [N]
    inside = np.stack(
        [np.bincount(counted[m[~objects.ignore]], minlength=num_patches) for m in objects.masks]
    )  # [O,N]
    kept = np.stack([mass_mask(maps, mass).flatten(1).cpu().numpy() for mass in masses])  # [M,A,N]
    both = kept.astype(np.int64) @ inside.T
    either = (kept @ pixels)[..., None] + inside.sum(axis=1) - both
    return both / either


def foreground_jaccards(objects: Objects) -> np.ndarray:
    """J of each object with a mask of the whole photo: float64 [O]."""
    counts = ~objects.ignore
    return (objects.masks & counts).sum(axis=(1, 2)) / counts.sum()


def _attend(
    backbone: Backbone, rgb: np.ndarray, size: int, resample: str
) -> tuple[Tensor, Geometry]:
    """CLS attention of the last block [A,h,w] on a photo stretched to whole patches."""
    side = size // backbone.patch_size * backbone.patch_size or size
    check_fits(backbone, (rgb.shape[0], rgb.shape[1]), size=side, fit="stretch")
    image, geometry = preprocess(
        rgb,
        size=side,
        patch_size=backbone.patch_size,
        fit="stretch",
        resample=resample,
        mean=backbone.mean,
        std=backbone.std,
    )
    return backbone.attention(image).weights[0, 0, 0], geometry


def _check_sizes(path: Path, objects: Objects, rgb: np.ndarray) -> None:
    if objects.ignore.shape != rgb.shape[:2]:
        (mask_h, mask_w), (height, width) = objects.ignore.shape, rgb.shape[:2]
        raise UserError(
            f"{path} is {height}×{width} px and its mask {mask_h}×{mask_w}; expected one size, so "
            "export the mask at the photo's"
        )


def _mean_over_objects(scores: np.ndarray) -> np.ndarray:
    """J [masses, A, O] of one photo → [masses, 1+A]: the best head of each object, then each head."""
    return np.concatenate([scores.max(axis=1, keepdims=True), scores], axis=1).mean(axis=2)


def _mean_over_photos(masses: Sequence[float], scores: np.ndarray) -> tuple[MassResult, ...]:
    means = scores.mean(axis=0)
    return tuple(
        MassResult(mass, float(best), float(heads.mean()), tuple(heads.tolist()))
        for mass, (best, *_), heads in zip(masses, means, means[:, 1:], strict=True)
    )
