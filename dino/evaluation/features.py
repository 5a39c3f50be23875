"""Frozen features of every photo in a folder, in the paper's evaluation crop."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dino.backbone import Backbone
from dino.errors import ImageError
from dino.folders import PhotoFolder
from dino.images import read

# The paper resizes the short side to 256 px and crops 224.
_RESIZE_OF_CROP = 256 / 224


@dataclass(frozen=True)
class Features:
    """CLS tokens [M,D] float32, labels [M] (-1 where unknown), and the photos left out as unreadable."""

    cls: Tensor
    labels: Tensor
    paths: tuple[Path, ...]
    unreadable: tuple[Path, ...]


def center_crop(rgb: np.ndarray, *, size: int, resize: int | None = None) -> np.ndarray:
    """Short side to `resize` px (bicubic), then the middle `size` × `size`: uint8 [size,size,3].

    `resize` defaults to `size` · 256/224, as in the paper.
    """
    short = resize or round(size * _RESIZE_OF_CROP)
    height, width = rgb.shape[:2]
    scale = short / min(height, width)
    sides = max(round(width * scale), size), max(round(height * scale), size)
    picture = Image.fromarray(rgb).resize(sides, Image.Resampling.BICUBIC)
    left, top = (sides[0] - size) // 2, (sides[1] - size) // 2
    return np.array(picture.crop((left, top, left + size, top + size)))


class _Crops(torch.utils.data.Dataset[tuple[int, Tensor | None]]):
    def __init__(
        self, paths: tuple[Path, ...], size: int, resize: int | None, short_side: int | None
    ) -> None:
        self.paths, self.size, self.resize, self.short_side = paths, size, resize, short_side

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[int, Tensor | None]:
        try:
            rgb = read(self.paths[index], short_side=self.short_side)
        except (ImageError, OSError):
            return index, None
        crop = center_crop(rgb, size=self.size, resize=self.resize)
        return index, torch.from_numpy(crop).permute(2, 0, 1)


def embed_folder(
    backbone: Backbone,
    folder: PhotoFolder,
    *,
    size: int = 224,
    resize: int | None = None,
    batch_size: int = 64,
    workers: int = 2,
    reduced: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """CLS tokens of a folder's photos; unreadable ones are listed and left out.

    Args:
        size: side of the centre crop in px, taken down to whole patches.
        resize: short side before the crop; default `size` · 256/224.
        workers: processes that read photos; the result does not depend on it.
        reduced: read large JPEGs at a fraction of their size; quicker, and not to the last bit what
            the whole picture gives.
        progress: called with (photos done, photos in all) after each batch.
    """
    size = max(size // backbone.patch_size, 1) * backbone.patch_size
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.mean, backbone.std))
    short_side = (resize or round(size * _RESIZE_OF_CROP)) if reduced else None
    batches = torch.utils.data.DataLoader(
        _Crops(folder.paths, size, resize, short_side),
        generator=torch.Generator(),  # torch's own stays where a training run has it
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=list,
    )
    features, kept, unreadable = [], [], []
    for done, batch in enumerate(batches, start=1):
        good = [(index, crop) for index, crop in batch if crop is not None]
        unreadable += [folder.paths[index] for index, crop in batch if crop is None]
        if good:
            images = torch.stack([crop for _, crop in good]).float() / 255
            features.append(backbone.tokens((images - mean) / std).cls.cpu())
            kept += [index for index, _ in good]
        if progress:
            progress(min(done * batch_size, len(folder.paths)), len(folder.paths))
    labels = [folder.labels[index] if folder.labels else -1 for index in kept]
    return Features(
        torch.cat(features) if features else torch.empty(0, backbone.embed_dim),
        torch.tensor(labels, dtype=torch.long),
        tuple(folder.paths[index] for index in kept),
        tuple(unreadable),
    )
