"""CLS tokens of whole photos at several scales, for searching: no crop, the aspect kept.

features, rows = multiscale_features(backbone, data.database, size=224)   # [M,D], those readable

A photo is made no longer than `size` px (never enlarged); the network sees it at each scale, cut to
whole patches at the right and the bottom, and the CLS tokens are added up and normalised.
Source: multi_scale and eval_image_retrieval.py of facebookresearch/dino; Caron et al. 2021, Table 3.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dino.errors import ImageError, UserError
from dino.evaluation.retrieval_data import Box, PhotoSet
from dino.features.cache import FeatureCache, photos_digest
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
    """Features [M,D] float32 of length 1, and the rows of `photos` they belong to.

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
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.mean, backbone.std))
    share = world.rows(len(photos.paths))
    rows, features, done = list[int](), list[Tensor](), 0
    for some, images in _batches(photos, share, size=size, batch_size=batch_size, workers=workers):
        features.append(multiscale_cls(backbone, (images.float() / 255 - mean) / std, scales))
        rows += some
        done += len(some)
        if progress:
            progress(done, len(share))
    rows, found = _in_order(rows, torch.cat(features) if features else None)
    kept, everything = world.gathered_rows(rows, found)
    return torch.empty(0, backbone.embed_dim) if everything is None else everything, kept


def kept_features(
    cache: FeatureCache,
    backbone: Backbone,
    photos: PhotoSet,
    *,
    size: int = 224,
    scales: Sequence[float] = SCALES,
    **reading: Any,
) -> tuple[Tensor, list[int]]:
    """`multiscale_features`, from disk where they are there; `reading` goes to it as it is."""

    def compute() -> dict[str, np.ndarray]:
        features, rows = multiscale_features(
            backbone, photos, size=size, scales=scales, world=cache.world, **reading
        )
        return {"features": features.numpy(), "kept": np.array(rows, dtype=np.int64)}

    key = {
        "kind": "retrieval",
        "weights": backbone.fingerprint,
        "photos": photos_digest(photos.folder()),
        "size": size,
        "scales": list(scales),
        "boxes": photos.boxes if any(photos.boxes) else None,
    }
    arrays = cache.arrays(key, compute, what=f"features of {photos.root} by {backbone.name}")
    return torch.from_numpy(arrays["features"]), arrays["kept"].tolist()


def multiscale_cls(backbone: Backbone, images: Tensor, scales: Sequence[float] = SCALES) -> Tensor:
    """The sum of the CLS tokens at all scales, L2-normalised: [B,3,H,W], normalised, → [B,D]."""
    tokens = [
        backbone.tokens(at_scale(images, scale, backbone.patch_size)).cls.cpu() for scale in scales
    ]
    return F.normalize(torch.stack(tokens).sum(dim=0), dim=1)


def at_scale(images: Tensor, scale: float, patch_size: int) -> Tensor:
    """Images [B,3,H,W] resized by `scale` (bilinear) and cut to whole patches, one at least."""
    if scale != 1:
        images = F.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False)
    height, width = images.shape[-2:]
    if min(height, width) < patch_size:
        sides = (max(height, patch_size), max(width, patch_size))
        images = F.interpolate(images, size=sides, mode="bilinear", align_corners=False)
    height, width = (side // patch_size * patch_size for side in images.shape[-2:])
    return images[..., :height, :width]


def thumbnail(rgb: np.ndarray, size: int, box: Box | None = None) -> np.ndarray:
    """A photo, or a box of it, with its longer side at most `size` px: uint8 [h,w,3].

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


class _Thumbnails(torch.utils.data.Dataset[Tensor | str | None]):
    """Photos uint8 [3,h,w]; None where one cannot be read, and a sentence where a box is wrong,
    since an error from a worker process would come wrapped in a traceback."""

    def __init__(self, photos: PhotoSet, size: int) -> None:
        self.photos, self.size = photos, size

    def __getitem__(self, row: int) -> Tensor | str | None:
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
    """Batches of photos of one size each, (rows, uint8 [B,3,h,w]), in no certain order."""
    loader = torch.utils.data.DataLoader(
        _Thumbnails(photos, size),
        generator=torch.Generator(),  # torch's own stays where a training run has it
        sampler=rows,
        batch_size=None,
        num_workers=workers,
    )
    waiting: dict[tuple[int, ...], list[tuple[int, Tensor]]] = {}
    for row, item in zip(rows, loader, strict=True):
        if isinstance(item, str):
            raise UserError(item)
        if item is None:
            continue
        waiting.setdefault(tuple(item.shape), []).append((row, item))
        fullest = max(waiting, key=lambda shape: len(waiting[shape]))
        held = sum(map(len, waiting.values()))
        if len(waiting[fullest]) >= batch_size or held >= batch_size * _WAITING_BATCHES:
            yield _stacked(waiting.pop(fullest))
    for group in waiting.values():
        yield _stacked(group)


def _stacked(group: Sequence[tuple[int, Tensor]]) -> tuple[list[int], Tensor]:
    return [row for row, _ in group], torch.stack([item for _, item in group])


def _in_order(rows: Sequence[int], values: Tensor | None) -> tuple[list[int], Tensor | None]:
    """Rows ascending, with their values."""
    if values is None:
        return [], None
    order = sorted(range(len(rows)), key=lambda at: rows[at])
    return [rows[at] for at in order], values[order]
