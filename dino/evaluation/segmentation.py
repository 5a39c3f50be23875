"""How well the attention of single heads covers objects: the Jaccard index of the paper's Fig. 4.

    data = open_masks("caltech-masks")
    result = attention_jaccard(backbone, data, size=280, discovery=("tokencut",))
    result.at(0.6).best_head                       # an oracle: the best head of each object
    result.discovery[0].corloc                     # beside it, objects found without labels

python -m dino eval segmentation --data caltech-masks --size 280
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from dino.attention.mass import check_mass, mass_mask
from dino.errors import ImageError, UserError
from dino.evaluation.mask_data import MaskData, Objects
from dino.evaluation.mask_measures import (
    DiscoveryResult,
    FoundScores,
    PatchCounts,
    everything_found,
    mean_scores,
    score_found,
)
from dino.masks.discovery.keys import LastKeys, attention_and_keys, check_keys
from dino.masks.discovery.methods import check_method, discover
from dino.media.geometry import Geometry
from dino.media.images import read
from dino.media.preprocessing import preprocess
from dino.model.backbone import Backbone
from dino.model.limits import check_fits
from dino.system.distributed import World

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
    was counted: photos without an object count nowhere, unreadable ones are listed. `discovery` is
    of the methods asked for, and last of the whole photo as an object.
    """

    masses: tuple[MassResult, ...]
    all_foreground: float
    num_photos: int
    num_objects: int
    num_without_object: int
    unreadable: tuple[Path, ...]
    discovery: tuple[DiscoveryResult, ...] = ()

    def at(self, mass: float) -> MassResult:
        """Look up the result at one of the masses asked for."""
        return next(result for result in self.masses if result.mass == mass)


def attention_jaccard(
    backbone: Backbone,
    data: MaskData,
    *,
    size: int = 480,
    masses: Sequence[float] = (*DEFAULT_MASSES, *CURVE_MASSES),
    resample: str = "bicubic",
    discovery: Sequence[str] = (),
    keys: str = "auto",
    progress: Callable[[int, int], None] | None = None,
    world: World | None = None,
) -> SegmentationResult:
    """Measure the Jaccard index of the last block's CLS attention, thresholded by mass, with
    outlined objects.

    Args:
        size: px of both sides the photos are stretched to, taken down to whole patches.
        masses: shares of a head's attention to keep, each in (0, 1]; doubles count once.
        resample: "bicubic" or "bilinear".
        discovery: methods of `dino.masks.discovery` to measure too, in the same forward.
        keys: what these compare, of `dino.masks.discovery.keys.KEYS`.
        progress: called with (photos done, photos in all) after each photo.
        world: processes that share the photos; each gets the whole result.
    Raises:
        UserError: a network without attention, a mass or size out of range, an unknown method,
            masks of another size than their photo, or no object in any photo.
    Source: Caron et al. 2021, Fig. 4; masks are enlarged to the photo by nearest neighbour.
    """
    protocol = _Protocol(
        size, resample, tuple(dict.fromkeys(masses)), tuple(dict.fromkeys(discovery)), keys
    )
    protocol.check()
    world, found = world or World(), dict[int, _PhotoScores | None]()
    share = world.rows(len(data.paths))
    for done, row in enumerate(share, start=1):
        found[row] = _score_photo(backbone, data, data.paths[row], protocol)
        if progress:
            progress(done, len(share))
    everything = world.gathered(found)
    readable = [photo for photo in everything.values() if photo is not None]
    scores = [photo for photo in readable if photo.num_objects]
    if not scores:
        raise UserError(f"{data.root} has no readable photo with an object; check the folder")
    return SegmentationResult(
        masses=_mean_over_photos(protocol.masses, np.stack([photo.heads for photo in scores])),
        all_foreground=float(np.mean([photo.foreground for photo in scores])),
        num_photos=len(scores),
        num_objects=sum(photo.num_objects for photo in scores),
        num_without_object=len(readable) - len(scores),
        unreadable=tuple(data.paths[row] for row, photo in everything.items() if photo is None),
        discovery=tuple(
            mean_scores(method, [photo.found[method] for photo in scores])
            for method in scores[0].found
        ),
    )


@dataclass(frozen=True)
class _Protocol:
    """How each photo is measured, as `attention_jaccard` has it."""

    size: int
    resample: str
    masses: tuple[float, ...]
    discovery: tuple[str, ...]
    keys: str

    def check(self) -> None:
        for mass in self.masses:
            check_mass(mass)
        for method in self.discovery:
            check_method(method)
        check_keys(self.keys)


@dataclass(frozen=True)
class _PhotoScores:
    """J [masses, 1+A] of one photo, what marking all of it gives, of how many objects, and what
    each method of discovery has found."""

    heads: np.ndarray
    foreground: float
    num_objects: int
    found: dict[str, FoundScores]


def _score_photo(
    backbone: Backbone, data: MaskData, path: Path, protocol: _Protocol
) -> _PhotoScores | None:
    """Measure a photo; None where it cannot be read."""
    try:
        rgb = read(path)
    except (ImageError, OSError):
        return None
    objects = data.objects(path)
    _check_sizes(path, objects, rgb)
    if not len(objects.masks):
        return _PhotoScores(np.empty(0), 0.0, 0, {})
    maps, keys, geometry = _attend(backbone, rgb, protocol)
    scores = _mean_over_objects(jaccards(maps, objects, geometry, protocol.masses))
    found = {} if keys is None else _score_discovery(keys, objects, geometry, protocol)
    foreground = float(foreground_jaccards(objects).mean())
    return _PhotoScores(scores, foreground, len(objects.masks), found)


def _score_discovery(
    keys: LastKeys, objects: Objects, geometry: Geometry, protocol: _Protocol
) -> dict[str, FoundScores]:
    """Score each method's objects against the outlined ones, and the whole photo's."""
    features = keys.joined(kind=protocol.keys)
    found = [discover(features, geometry.grid, method=method) for method in protocol.discovery]
    found.append(everything_found(geometry))
    counts, boxes = PatchCounts.of(objects, geometry), objects.boxes
    return {
        discovery.method: score_found(discovery, counts, boxes, geometry) for discovery in found
    }


def jaccards(
    maps: Tensor, objects: Objects, geometry: Geometry, masses: Sequence[float]
) -> np.ndarray:
    """Compute J of each head's mask with each object, at the photo's size: float64 [masses, A, O].

    The same numbers as `dino.jaccard` of masks enlarged one by one; see `PatchCounts`.

    Args:
        maps: attention over patches [A,h,w].
    """
    kept = np.stack([mass_mask(maps, mass).flatten(1).cpu().numpy() for mass in masses])  # [M,A,N]
    return PatchCounts.of(objects, geometry).jaccards(kept)


def foreground_jaccards(objects: Objects) -> np.ndarray:
    """Compute J of each object with a mask of the whole photo: float64 [O]."""
    counts = ~objects.ignore
    return (objects.masks & counts).sum(axis=(1, 2)) / counts.sum()


def _attend(
    backbone: Backbone, rgb: np.ndarray, protocol: _Protocol
) -> tuple[Tensor, LastKeys | None, Geometry]:
    """Compute CLS attention of the last block [A,h,w] on a photo stretched to whole patches, and the keys
    where objects are sought in them."""
    side = protocol.size // backbone.patch_size * backbone.patch_size or protocol.size
    check_fits(backbone, (rgb.shape[0], rgb.shape[1]), size=side, fit="stretch")
    image, geometry = preprocess(
        rgb,
        size=side,
        patch_size=backbone.patch_size,
        fit="stretch",
        resample=protocol.resample,
        mean=backbone.mean,
        std=backbone.std,
    )
    if not protocol.discovery:
        maps = backbone.attention(image, queries=(backbone.default_query,))
        return maps.weights[0, 0, 0], None, geometry
    maps, keys = attention_and_keys(backbone, image)
    return maps.weights[0, 0, 0], keys, geometry


def _check_sizes(path: Path, objects: Objects, rgb: np.ndarray) -> None:
    if objects.ignore.shape != rgb.shape[:2]:
        (mask_h, mask_w), (height, width) = objects.ignore.shape, rgb.shape[:2]
        raise UserError(
            f"{path} is {height}×{width} px and its mask {mask_h}×{mask_w}; expected one size, so "
            "export the mask at the photo's"
        )


def _mean_over_objects(scores: np.ndarray) -> np.ndarray:
    """Average J [masses, A, O] of one photo to [masses, 1+A]: the best head of each object, then
    each head."""
    return np.concatenate([scores.max(axis=1, keepdims=True), scores], axis=1).mean(axis=2)


def _mean_over_photos(masses: Sequence[float], scores: np.ndarray) -> tuple[MassResult, ...]:
    means = scores.mean(axis=0)
    return tuple(
        MassResult(mass, float(best), float(heads.mean()), tuple(heads.tolist()))
        for mass, (best, *_), heads in zip(masses, means, means[:, 1:], strict=True)
    )
