"""Frozen features of every photo in a folder, in the paper's evaluation crop."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dino.features.data import CenterCrop, read_views, short_side_of
from dino.media.photo_folders import PhotoFolder
from dino.model.backbone import Backbone
from dino.model.limits import check_fits
from dino.system.distributed import World


@dataclass(frozen=True)
class Features:
    """CLS tokens [M,D] float32, labels [M] (-1 where unknown), and the photos left out as unreadable."""

    cls: Tensor
    labels: Tensor
    paths: tuple[Path, ...]
    unreadable: tuple[Path, ...]


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
    world: World | None = None,
) -> Features:
    """CLS tokens of a folder's photos; unreadable ones are listed and left out.

    Args:
        size: side of the centre crop in px, taken down to whole patches.
        resize: short side before the crop; default `size` · 256/224.
        workers: processes that read photos; the result does not depend on it.
        reduced: read large JPEGs at a fraction of their size; quicker, and not to the last bit what
            the whole picture gives.
        progress: called with (photos done, photos in all) after each batch.
        world: processes that share the photos; each gets all features.
    Raises:
        TooLargeError: a batch of this size does not fit into memory.
    """
    world = world or World()
    size = max(size // backbone.patch_size, 1) * backbone.patch_size
    at_once = min(batch_size, max(len(folder), 1))
    check_fits(backbone, (size, size), size=size, fit="stretch", batch=at_once)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.mean, backbone.std))
    share = world.rows(len(folder))
    batches = read_views(
        folder.paths,
        CenterCrop(size, resize),
        share,
        batch_size=batch_size,
        workers=workers,
        short_side=short_side_of(size, resize) if reduced else None,
    )
    features, kept = [], list[int]()
    for done, (rows, views) in enumerate(batches, start=1):
        if rows:
            images = views[:, 0].float() / 255
            features.append(backbone.tokens((images - mean) / std).cls.cpu())
        kept += rows
        if progress:
            progress(min(done * batch_size, len(share)), len(share))
    kept, found = world.gathered_rows(kept, torch.cat(features) if features else None)
    readable = set(kept)
    return Features(
        torch.empty(0, backbone.embed_dim) if found is None else found,
        torch.tensor([folder.labels[i] if folder.labels else -1 for i in kept], dtype=torch.long),
        tuple(folder.paths[i] for i in kept),
        tuple(path for i, path in enumerate(folder.paths) if i not in readable),
    )
