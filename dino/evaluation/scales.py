"""CLS tokens of whole photos at several scales, for searching: no crop, the aspect kept.

features, rows = multiscale_features(backbone, data.database, size=224)   # [M,D], those readable

A photo is made no longer than `size` px (never enlarged); the network sees it at each scale, cut to
whole patches at the right and the bottom, and the CLS tokens are added up and normalised.
Source: multi_scale and eval_image_retrieval.py of facebookresearch/dino; Caron et al. 2021, Table 3.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dino.errors import ImageError, UserError
from dino.evaluation.retrieval_data import PhotoBox, PhotoSet
from dino.features.cache import FeatureCache
from dino.features.data import read_in_workers
from dino.features.embedding import embed_batches
from dino.media.images import read
from dino.model.backbone import Backbone
from dino.model.limits import check_fits
from dino.system.distributed import World

SCALES = (1.0, 2**-0.5, 0.5)
SINGLE_SCALE = (1.0,)
# A batch has the pixels of so many photos of 224 × 224 px at most.
_BATCH_PHOTOS = 32
# Photos waiting for others of their size; beyond that the largest group goes without them.
_WAITING_BATCHES = 8


def multiscale_features(
    backbone: Backbone,
    photos: PhotoSet,
    *,
    size: int = 224,
    scales: Sequence[float] = SCALES,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    world: World | None = None,
) -> tuple[Tensor, list[int]]:
    """Compute features [M,D] float32 of length 1, and the rows of `photos` they belong to.

    Unreadable photos are left out.

    Args:
        size: longer side in px; shorter photos keep theirs.
        workers: processes that read photos; the result does not depend on it.
        progress: called with (photos done, photos in all) after each batch.
        world: processes that share the photos; each gets all features.
    Raises:
        UserError: a box outside its photo, or a size that does not fit into memory.
    """
    world = world or World()
    batch_size = max(_BATCH_PHOTOS * 224**2 // size**2, 1)
    check_fits(backbone, (size, size), size=max(size, backbone.patch_size), batch=batch_size)
    share, done = world.rows(len(photos.paths)), 0

    def on_batch(rows: list[int]) -> None:
        nonlocal done
        done += len(rows)
        if progress:
            progress(done, len(share))

    features, rows = embed_batches(
        backbone,
        _batches(photos, share, size=size, batch_size=batch_size, workers=workers),
        partial(multiscale_cls, scales=scales),
        world=world,
        width=backbone.embed_dim,
        on_batch=on_batch,
    )
    return features[:, 0], rows


def kept_features(
    cache: FeatureCache,
    backbone: Backbone,
    photos: PhotoSet,
    *,
    size: int = 224,
    scales: Sequence[float] = SCALES,
    **reading: Any,
) -> tuple[Tensor, list[int]]:
    """Give what `multiscale_features` gives, from disk where it is there; `reading` goes to it."""
    reading |= {"size": size, "scales": scales, "world": cache.world}
    compute = partial(multiscale_features, backbone, photos, **reading)
    boxes = photos.boxes if any(photos.boxes) else None
    key = {"kind": "retrieval", "size": size, "scales": list(scales), "boxes": boxes}
    what = f"features of {photos.root} by {backbone.name}"
    return cache.rows(backbone, photos.folder(), key, compute, what=what)


def multiscale_cls(backbone: Backbone, images: Tensor, scales: Sequence[float] = SCALES) -> Tensor:
    """Add up the CLS tokens at all scales, L2-normalised: [B,3,H,W], normalised, → [B,D]."""
    tokens = [
        backbone.tokens(at_scale(images, scale, backbone.patch_size)).cls.cpu() for scale in scales
    ]
    return F.normalize(torch.stack(tokens).sum(dim=0), dim=1)


def at_scale(images: Tensor, scale: float, patch_size: int) -> Tensor:
    """Resize images [B,3,H,W] by `scale` (bilinear) and cut them to whole patches, one at least."""
    if scale != 1:
        images = F.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False)
    height, width = images.shape[-2:]
    if min(height, width) < patch_size:
        sides = (max(height, patch_size), max(width, patch_size))
        images = F.interpolate(images, size=sides, mode="bilinear", align_corners=False)
    height, width = (side // patch_size * patch_size for side in images.shape[-2:])
    return images[..., :height, :width]


def thumbnail(rgb: np.ndarray, size: int, box: PhotoBox | None = None) -> np.ndarray:
    """Shrink a photo, or a box of it, to at most `size` px on its longer side: uint8 [h,w,3].

    Args:
        box: (left, top, right, bottom) in px; what of it lies outside the photo is cut off.
    Raises:
        UserError: the box has no pixel of the photo.
    """
    picture = Image.fromarray(rgb)
    if box is not None:
        left, top, right, bottom = map(round, box)
        inside = (max(left, 0), max(top, 0), min(right, picture.width), min(bottom, picture.height))
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            raise UserError(
                f"got the box {list(box)} of a photo of {picture.width}×{picture.height} px, expected "
                "(left, top, right, bottom) inside it; correct bbx in the ground truth"
            )
        picture = picture.crop(inside)
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    return np.array(picture)


@dataclass(frozen=True)
class _ThumbnailReader:
    photos: PhotoSet
    size: int

    def __call__(self, row: int) -> Tensor | str | None:
        """Read a photo uint8 [3,h,w]; None where it cannot be read, and a sentence where its box is
        wrong, since an error from a worker process would come wrapped in a traceback."""
        path = self.photos.paths[row]
        try:
            rgb = thumbnail(read(path), self.size, self.photos.boxes[row])
        except (ImageError, OSError):
            return None
        except UserError as error:
            return f"{path}: {error}"
        return torch.from_numpy(rgb).permute(2, 0, 1)


def _batches(
    photos: PhotoSet, rows: Sequence[int], *, size: int, batch_size: int, workers: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Read batches of photos of one size each, (rows, uint8 [B,1,3,h,w]), in no certain order."""
    reader = _ThumbnailReader(photos, size)
    items = read_in_workers(reader, [[row] for row in rows], workers=workers)
    waiting: dict[tuple[int, ...], dict[int, Tensor]] = {}
    for row, (item,) in zip(rows, items, strict=True):
        if isinstance(item, str):
            raise UserError(item)
        if item is None:
            continue
        waiting.setdefault(tuple(item.shape), {})[row] = item
        fullest = max(waiting, key=lambda shape: len(waiting[shape]))
        num_waiting = sum(map(len, waiting.values()))
        if len(waiting[fullest]) >= batch_size or num_waiting >= batch_size * _WAITING_BATCHES:
            yield _stacked(waiting.pop(fullest))
    for group in waiting.values():
        yield _stacked(group)


def _stacked(group: dict[int, Tensor]) -> tuple[list[int], Tensor]:
    return list(group), torch.stack(list(group.values()))[:, None]
