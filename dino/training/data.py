"""Photos as batches of crops, in an order that depends on (seed, epoch, index) only.

Whatever the number of worker processes, image `i` of epoch `e` is drawn from its own seed, and a run
that resumes in the middle of an epoch sees exactly the batches it would have seen.
"""

import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from dino.errors import ImageError
from dino.media.crops import MultiCrop
from dino.media.photo_folders import open_folder
from dino.system.folders import checkpoints_folder

# Names of tar files, also compressed ones, which the shards' reader refuses in a sentence.
_SHARDS = re.compile(r"\.(tar|tar\.\w+|tgz)$")


class Photos(Protocol):
    """Where photos come from: a folder, or WebDataset shards."""

    @property
    def labels(self) -> Sequence[int] | np.ndarray:
        """Give the class number of each photo, or nothing."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """Name the classes."""
        ...

    def __len__(self) -> int: ...

    def read(self, index: int, *, short_side: int | None = None) -> np.ndarray:
        """Read a photo, uint8 [H,W,3]; ImageError or OSError where it cannot be read."""
        ...

    def name(self, index: int) -> str:
        """Name a photo for a message."""
        ...


def open_photos(data: str | Path) -> Photos:
    """Open a folder of photos, or shards: a folder of .tar files, a glob, or `train-{000..099}.tar`.

    The index of shards is kept in the checkpoints folder, so that only the first start reads all of
    their headers.
    Raises:
        UserError: nothing there.
    """
    path = Path(data)
    if _SHARDS.search(str(data)) or (path.is_dir() and any(path.glob("*.tar"))):
        from dino.media.shards import open_shards

        return open_shards(data, cache=checkpoints_folder() / "cache" / "shards")
    return open_folder(path)


class CropDataset(torch.utils.data.Dataset[Any]):
    """Crops of a photo and its label (-1 without classes), by (epoch, number): both choose the draw.

    A photo that cannot be read gives its number alone, and is left out of its batch by `collate`.
    """

    def __init__(self, photos: Photos, draw: MultiCrop, *, seed: int) -> None:
        self.photos, self.draw, self.seed = photos, draw, seed
        self.short_side = draw.short_side

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, key: tuple[int, int]) -> tuple[list[Tensor], int] | int:
        epoch, index = key
        try:
            rgb = self.photos.read(index, short_side=self.short_side)
        except (ImageError, OSError):
            return index
        rng = np.random.default_rng((self.seed, epoch, index))
        crops = [torch.from_numpy(crop).permute(2, 0, 1) for crop in self.draw(rgb, rng)]
        return crops, int(self.photos.labels[index]) if len(self.photos.labels) else -1


@dataclass(frozen=True)
class Batch:
    """Crops, each uint8 [B,3,H,W], labels [B] (-1 where unknown), and the numbers of photos left out
    as unreadable."""

    crops: list[Tensor]
    labels: Tensor
    unreadable: tuple[int, ...]


def collate(items: Sequence[tuple[list[Tensor], int] | int]) -> Batch:
    """Stack each view over the photos that could be read."""
    unreadable = tuple(item for item in items if isinstance(item, int))
    good = [item for item in items if not isinstance(item, int)]
    if not good:
        return Batch([], torch.empty(0, dtype=torch.long), unreadable)
    crops = [torch.stack(view) for view in zip(*(crops for crops, _ in good), strict=True)]
    return Batch(crops, torch.tensor([label for _, label in good]), unreadable)


class StepSampler(torch.utils.data.Sampler[list[tuple[int, int]]]):
    """(epoch, index) of the photos of each step from `start` to `end`, for one process.

    An epoch's order is a permutation by (seed, epoch); its last, incomplete batch is dropped; of
    each batch, process `rank` of `world` takes its share.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        seed: int,
        start: int,
        end: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.start, self.end = start, end
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        return self.end - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        ordered, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self.start, self.end):
            epoch, number = divmod(step, self.length // self.batch_size)
            if epoch != ordered:
                order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
                ordered = epoch
            batch = order[number * self.batch_size : (number + 1) * self.batch_size]
            yield [(epoch, index) for index in batch[self.rank :: self.world].tolist()]


def evenly_spread(count: int, most: int) -> list[int]:
    """Choose at most `most` of the numbers below `count`, evenly spread, first and last among them."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist()


def normalize(crops: Sequence[Tensor], mean: Tensor, std: Tensor) -> list[Tensor]:
    """Turn uint8 crops into float32, on their device; `mean` and `std` [3,1,1] in 0..1."""
    return [(crop.float() / 255 - mean) / std for crop in crops]


def read_batches(
    photos: Photos,
    crops: MultiCrop,
    sampler: StepSampler,
    *,
    seed: int,
    workers: int,
    pin: bool = False,
) -> Iterator[Batch]:
    """Start reading the batches of a run; worker processes live as long as the iterator.

    Workers use one OpenCV thread each: together they are the cores. The number is inherited when they
    are forked; to change it in a forked process hangs.
    """
    loader: torch.utils.data.DataLoader[Batch] = torch.utils.data.DataLoader(
        CropDataset(photos, crops, seed=seed),
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_start_worker,
        # Its own: it would draw from torch's, which stochastic depth needs to be where an unbroken run has it.
        generator=torch.Generator().manual_seed(seed),
        pin_memory=pin,
    )
    threads = cv2.getNumThreads()
    if workers:
        cv2.setNumThreads(1)
    try:
        return iter(loader)
    finally:
        cv2.setNumThreads(threads)


def _start_worker(number: int) -> None:
    """Leave signals to the process that trains, which then ends in order, and its workers with it."""
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, signal.SIG_IGN)
