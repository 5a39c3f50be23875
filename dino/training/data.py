"""Photos of a folder as batches of crops, in an order that depends on (seed, epoch, index) only.

Whatever the number of worker processes, image `i` of epoch `e` is drawn from its own seed, and a run
that resumes in the middle of an epoch sees exactly the batches it would have seen.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dino.errors import ImageError, UserError
from dino.folders import PhotoFolder
from dino.images import read
from dino.training.crops import MultiCrop

Drawer = Callable[[np.ndarray, np.random.Generator], list[np.ndarray]]


class CropDataset(torch.utils.data.Dataset[Any]):
    """Crops of each photo and its label (-1 without classes); `epoch` chooses the draw.

    A photo that cannot be read gives None and is left out of its batch by `collate`.
    """

    def __init__(self, folder: PhotoFolder, draw: Drawer, *, seed: int) -> None:
        self.folder, self.draw, self.seed = folder, draw, seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.folder.paths)

    def __getitem__(self, index: int) -> tuple[list[Tensor], int] | None:
        try:
            rgb = read(self.folder.paths[index])
        except (ImageError, OSError):
            return None
        rng = np.random.default_rng((self.seed, self.epoch, index))
        crops = [torch.from_numpy(crop).permute(2, 0, 1) for crop in self.draw(rgb, rng)]
        return crops, self.folder.labels[index] if self.folder.labels else -1


@dataclass(frozen=True)
class Batch:
    """Crops, each uint8 [B,3,H,W], labels [B] (-1 where unknown), and photos left out as unreadable."""

    crops: list[Tensor]
    labels: Tensor
    skipped: int


def collate(items: Sequence[tuple[list[Tensor], int] | None]) -> Batch:
    """Stack each view over the photos that could be read."""
    good = [item for item in items if item is not None]
    if not good:
        return Batch([], torch.empty(0, dtype=torch.long), len(items))
    crops = [torch.stack(view) for view in zip(*(crops for crops, _ in good), strict=True)]
    return Batch(crops, torch.tensor([label for _, label in good]), len(items) - len(good))


class StepSampler(torch.utils.data.Sampler[list[int]]):
    """Index lists of one epoch's batches for one process, from batch `start` on.

    The epoch's order is a permutation by (seed, epoch); the last, incomplete batch is dropped; of
    each batch, process `rank` of `world` takes its share.
    """

    def __init__(
        self, length: int, batch_size: int, *, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        if batch_size % world:
            raise UserError(f"a batch of {batch_size} cannot be shared by {world} processes evenly")
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.rank, self.world = rank, world
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        return self.length // self.batch_size - self.start

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        for number in range(self.start, self.length // self.batch_size):
            batch = order[number * self.batch_size : (number + 1) * self.batch_size]
            yield batch[self.rank :: self.world].tolist()


def normalize(crops: Sequence[Tensor], mean: Tensor, std: Tensor) -> list[Tensor]:
    """uint8 crops → float32, on their device; `mean` and `std` [3,1,1] in 0..1."""
    return [(crop.float() / 255 - mean) / std for crop in crops]


def loader(
    folder: PhotoFolder, crops: MultiCrop | Drawer, sampler: StepSampler, *, seed: int, workers: int
) -> torch.utils.data.DataLoader[Batch]:
    """Batches of one epoch; worker processes end with the iterator, so that none outlives a run."""
    dataset = CropDataset(folder, crops, seed=seed)
    dataset.epoch = sampler.epoch
    return torch.utils.data.DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
    )
