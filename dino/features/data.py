"""Photos as batches of views, read by worker processes, unreadable ones left out.

for rows, views in read_views(folder.paths, CenterCrop(224), batches, workers=2):
    …                                                  # which photos, and uint8 [B,V,3,224,224]
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dino.errors import ImageError
from dino.media.crops import View, draw
from dino.media.images import read

T = TypeVar("T")
# A photo uint8 [H,W,3] and a random generator → its views, each uint8 [size,size,3].
Viewer = Callable[[np.ndarray, np.random.Generator], list[np.ndarray]]

# The paper resizes the short side to 256 px and crops 224.
_RESIZE_OF_CROP = 256 / 224
# Training crops are torchvision's: area 8 to 100 %, aspect 3/4 to 4/3.
_CROP_SCALE = (0.08, 1.0)


def whole_patches(size: int, patch_size: int) -> int:
    """Take `size` px down to whole patches, one at least."""
    return max(size // patch_size, 1) * patch_size


def short_side_of(size: int, resize: int | None) -> int:
    """Choose the px the short side gets before a centre crop of `size` px: `resize` where it is
    given."""
    return resize or round(size * _RESIZE_OF_CROP)


def center_crop(rgb: np.ndarray, *, size: int, resize: int | None = None) -> np.ndarray:
    """Bring the short side to `resize` px (bicubic) and cut the middle: uint8 [size,size,3].

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
        """Cut uint8 [H,W,3] to one or two of uint8 [size,size,3]."""
        crop = center_crop(rgb, size=self.size, resize=self.resize)
        return [crop, np.ascontiguousarray(crop[:, ::-1])] if self.flip else [crop]


@dataclass(frozen=True)
class RandomCrop:
    """A random part of a photo at `size` × `size` px, mirrored half of the time."""

    size: int

    def __call__(self, rgb: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """Cut uint8 [H,W,3] to one uint8 [size,size,3]."""
        view = View(self.size, _CROP_SCALE, blur=0.0, jitter=0.0, grey=0.0, flip=0.5)
        return [draw(rgb, view, rng)]


@dataclass(frozen=True)
class _RowReader(torch.utils.data.Dataset[T]):
    read: Callable[[int], T]

    def __getitem__(self, row: int) -> T:
        return self.read(row)


def read_in_workers(
    read: Callable[[int], T],
    batches: Sequence[Sequence[int]],
    *,
    workers: int,
    on_start: Callable[[int], None] | None = None,
) -> Iterator[list[T]]:
    """Call `read` with each row of each batch, in worker processes; what comes is in their order.

    Args:
        read: can be pickled; what it raises comes wrapped in a traceback where there are workers.
        workers: processes; 0 reads in this one, with the same result.
        on_start: called in each worker with its number before it reads.
    """
    yield from torch.utils.data.DataLoader(
        _RowReader(read),
        generator=torch.Generator(),  # torch's own stays where a training run has it
        batch_sampler=[list(rows) for rows in batches],
        num_workers=workers,
        collate_fn=list,
        worker_init_fn=on_start,
    )


@dataclass(frozen=True)
class _ViewReader:
    paths: Sequence[Path]
    viewer: Viewer
    seed: tuple[int, int]
    short_side: int | None

    def __call__(self, row: int) -> Tensor | None:
        """Read the views uint8 [V,3,H,W] of a photo; None where it cannot be read."""
        try:
            rgb = read(self.paths[row], short_side=self.short_side)
        except (ImageError, OSError):
            return None
        views = self.viewer(rgb, np.random.default_rng((*self.seed, row)))
        return torch.stack([torch.from_numpy(view).permute(2, 0, 1) for view in views])


def read_views(
    paths: Sequence[Path],
    viewer: Viewer,
    batches: Sequence[Sequence[int]],
    *,
    workers: int,
    seed: tuple[int, int] = (0, 0),
    short_side: int | None = None,
) -> Iterator[tuple[list[int], Tensor]]:
    """Read batches of views: (rows that could be read, their views uint8 [B,V,3,H,W]).

    A batch without a readable photo comes as ([], empty).

    Args:
        batches: rows of `paths`.
        seed: (seed, epoch); what is drawn depends on it and the row only, not on the workers.
        short_side: px that are enough of a large JPEG, as in `images.decode`.
    """
    reader = _ViewReader(paths, viewer, seed, short_side)
    for rows, items in zip(batches, read_in_workers(reader, batches, workers=workers), strict=True):
        good = {row: item for row, item in zip(rows, items, strict=True) if item is not None}
        yield list(good), torch.stack(list(good.values())) if good else torch.empty(0)
