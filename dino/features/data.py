"""Photos of a folder as batches of crops, read by worker processes, unreadable ones left out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dino.errors import ImageError
from dino.media.images import read

# The paper resizes the short side to 256 px and crops 224.
_RESIZE_OF_CROP = 256 / 224

Drawer = Callable[[np.ndarray, np.random.Generator], list[np.ndarray]]


def short_side_of(size: int, resize: int | None) -> int:
    """Px the short side is resized to before the centre crop of `size` px, unless `resize` says."""
    return resize or round(size * _RESIZE_OF_CROP)


def center_crop(rgb: np.ndarray, *, size: int, resize: int | None = None) -> np.ndarray:
    """Short side to `resize` px (bicubic), then the middle `size` × `size`: uint8 [size,size,3].

    `resize` defaults to `size` · 256/224, as in the paper.
    """
    short = short_side_of(size, resize)
    height, width = rgb.shape[:2]
    scale = short / min(height, width)
    sides = max(round(width * scale), size), max(round(height * scale), size)
    picture = Image.fromarray(rgb).resize(sides, Image.Resampling.BICUBIC)
    left, top = (sides[0] - size) // 2, (sides[1] - size) // 2
    return np.array(picture.crop((left, top, left + size, top + size)))


@dataclass(frozen=True)
class CenterCrop:
    """The middle `size` × `size` px of a photo, and with `flip` its mirror image as a second view.

    `resize`: short side before the crop; default `size` · 256/224.
    """

    size: int
    resize: int | None = None
    flip: bool = False

    def __call__(self, rgb: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """uint8 [H,W,3] → one or two of uint8 [size,size,3]."""
        crop = center_crop(rgb, size=self.size, resize=self.resize)
        return [crop, np.ascontiguousarray(crop[:, ::-1])] if self.flip else [crop]


class _Views(torch.utils.data.Dataset[list[Tensor] | None]):
    def __init__(
        self, paths: Sequence[Path], view: Drawer, seed: tuple[int, int], short_side: int | None
    ) -> None:
        self.paths, self.view, self.seed, self.short_side = paths, view, seed, short_side

    def __getitem__(self, row: int) -> list[Tensor] | None:
        try:
            rgb = read(self.paths[row], short_side=self.short_side)
        except (ImageError, OSError):
            return None
        crops = self.view(rgb, np.random.default_rng((*self.seed, row)))
        return [torch.from_numpy(crop).permute(2, 0, 1) for crop in crops]


def read_views(
    paths: Sequence[Path],
    view: Drawer,
    order: Sequence[int],
    *,
    batch_size: int,
    workers: int,
    seed: tuple[int, int] = (0, 0),
    short_side: int | None = None,
) -> Iterator[tuple[list[int], Tensor]]:
    """Batches of (rows that could be read, their views uint8 [B,V,3,H,W]) in the given order.

    Args:
        order: rows of `paths`, `batch_size` of them at a time; an unreadable one is left out.
        seed, short_side: as `read_batches`.
    """
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return read_batches(paths, view, batches, workers=workers, seed=seed, short_side=short_side)


def read_batches(
    paths: Sequence[Path],
    view: Drawer,
    batches: Sequence[Sequence[int]],
    *,
    workers: int,
    seed: tuple[int, int] = (0, 0),
    short_side: int | None = None,
) -> Iterator[tuple[list[int], Tensor]]:
    """The same of given batches of rows; one without a readable photo comes as ([], empty).

    Args:
        seed: (seed, epoch); what is drawn depends on it and the row only, not on the workers.
        short_side: px that are enough of a large JPEG, as in `images.decode`.
    """
    loader = torch.utils.data.DataLoader(
        _Views(paths, view, seed, short_side),
        generator=torch.Generator(),  # torch's own stays where a training run has it
        batch_sampler=[list(rows) for rows in batches],
        num_workers=workers,
        collate_fn=list,
    )
    for rows, items in zip(batches, loader, strict=True):
        good = [(row, item) for row, item in zip(rows, items, strict=True) if item is not None]
        views = torch.stack([torch.stack(item) for _, item in good]) if good else torch.empty(0)
        yield [row for row, _ in good], views
