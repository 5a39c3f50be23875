"""Frozen features of the photos of a folder: what k-NN, linear probes and copy detection measure.

val = embed_folder(backbone, folder, size=224)                        # val.cls [M,D]
train = embed_probe_views(backbone, folder, CenterCrop(224, flip=True))
train.features                                                        # [2,M,F]: as it is, mirrored
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dino.features.data import (
    CenterCrop,
    RandomCrop,
    Viewer,
    read_views,
    short_side_of,
    whole_patches,
)
from dino.media.photo_folders import PhotoFolder
from dino.media.preprocessing import normalize_images
from dino.model.backbone import Backbone
from dino.model.limits import check_fits
from dino.system.distributed import World

# Called with (photos done, photos in all) of this process after each batch.
OnProgress = Callable[[int, int], None]
# A network and its input [B,3,H,W], normalised → features [B,F].
Compute = Callable[[Backbone, Tensor], Tensor]

# The paper concatenates the CLS tokens of this many last blocks for networks up to ViT-S.
_NUM_BLOCKS = 4
_LARGEST_CONCATENATED = 384


@dataclass(frozen=True)
class PhotoFeatures:
    """Features [V,M,F] float32 of V views of M photos, labels [M] (-1 where unknown), their paths,
    and the photos left out as unreadable."""

    features: Tensor
    labels: Tensor
    paths: tuple[Path, ...]
    unreadable: tuple[Path, ...]

    @property
    def cls(self) -> Tensor:
        """Take the features [M,F] of the first view; the CLS tokens where `embed_folder` made them."""
        return self.features[0]

    @classmethod
    def of(cls, folder: PhotoFolder, features: Tensor, rows: Sequence[int]) -> "PhotoFeatures":
        """Put features [V,M,F] of the photos at `rows` beside their labels and what is missing."""
        missing = sorted(set(range(len(folder))) - set(rows))
        labels = [folder.labels[row] if folder.labels else -1 for row in rows]
        return cls(
            features,
            torch.tensor(labels, dtype=torch.long),
            tuple(folder.paths[row] for row in rows),
            tuple(folder.paths[row] for row in missing),
        )


def cls_features(backbone: Backbone, images: Tensor) -> Tensor:
    """Compute the CLS token of the last block: [B,3,H,W], normalised, → [B,D]."""
    return backbone.tokens(images).cls


def probe_features(backbone: Backbone, images: Tensor) -> Tensor:
    """Compute the paper's input of a linear probe: [B,3,H,W], normalised, → [B,F] float32.

    ViT-Ti and ViT-S (width up to 384): CLS of the last 4 blocks side by side (of all, where there
    are fewer); wider ViTs: CLS and mean patch token of the last block; other networks: the pooled
    features of their last layer.
    Source: Caron et al. 2021, appendix; eval_linear.py of facebookresearch/dino.
    """
    if not backbone.has_attention:
        return cls_features(backbone, images)
    if backbone.embed_dim > _LARGEST_CONCATENATED:
        tokens = backbone.tokens(images)
        return torch.cat([tokens.cls, tokens.patches.mean(dim=1)], dim=1)
    layers = range(-min(_NUM_BLOCKS, backbone.depth), 0)
    return torch.cat([t.cls for t in backbone.layer_tokens(images, layers=layers)], dim=1)


def embed_batches(
    backbone: Backbone,
    batches: Iterable[tuple[list[int], Tensor]],
    compute: Compute,
    *,
    world: World,
    width: int = 0,
    on_batch: Callable[[list[int]], None] = lambda rows: None,
) -> tuple[Tensor, list[int]]:
    """Compute features of this process's batches, and exchange them: [M,V,F], and the rows,
    ascending.

    Args:
        batches: (rows, views uint8 [B,V,3,H,W]); those without a row are passed over.
        world: processes that have other batches; each gets all features.
        compute: what to keep of each view.
        width: F of the result [0,1,F] where no photo could be read.
        on_batch: called with the rows of each batch when it is done.
    """
    kept, features = list[int](), list[Tensor]()
    for rows, views in batches:
        if rows:
            features.append(embed_views(backbone, views, compute))
        kept += rows
        on_batch(rows)
    order = sorted(range(len(kept)), key=kept.__getitem__)
    mine = torch.cat(features)[order] if features else None
    rows, found = world.gathered_rows([kept[at] for at in order], mine)
    return torch.empty(0, 1, width) if found is None else found, rows


def embed_views(backbone: Backbone, views: Tensor, compute: Compute) -> Tensor:
    """Compute features of views uint8 [B,V,3,H,W], view by view: [B,V,F] on the CPU."""
    images = (normalize_images(view, backbone.mean, backbone.std) for view in views.unbind(1))
    return torch.stack([compute(backbone, image).cpu() for image in images], dim=1)


def embed_paths(
    backbone: Backbone,
    paths: Sequence[Path],
    viewer: Viewer,
    compute: Compute,
    *,
    size: int,
    width: int = 0,
    seed: int = 0,
    short_side: int | None = None,
    batch_size: int = 64,
    workers: int = 2,
    progress: OnProgress | None = None,
    world: World | None = None,
) -> tuple[Tensor, list[int]]:
    """Compute features [M,V,F] of V views of each photo, and the photos' rows; unreadable ones are
    left out.

    Args:
        viewer: gives V pictures of `size` × `size` px, whole patches.
        compute, width: as in `embed_batches`.
        seed: of what the viewer draws, together with a photo's row.
        short_side: px that are enough of a large JPEG, as in `images.decode`.
        workers: processes that read photos; the result does not depend on it.
        progress: called after each batch.
        world: processes that share the photos; each gets all features.
    Raises:
        TooLargeError: a batch of this size does not fit into memory.
    """
    world = world or World()
    at_once = min(batch_size, max(len(paths), 1))
    check_fits(backbone, (size, size), size=size, fit="stretch", batch=at_once)
    share = world.rows(len(paths))
    batches = [share[start : start + batch_size] for start in range(0, len(share), batch_size)]
    done = 0

    def on_batch(_: list[int]) -> None:
        nonlocal done
        done = min(done + batch_size, len(share))
        if progress:
            progress(done, len(share))

    views = read_views(
        paths, viewer, batches, workers=workers, seed=(seed, 0), short_side=short_side
    )
    return embed_batches(backbone, views, compute, world=world, width=width, on_batch=on_batch)


def embed_folder(
    backbone: Backbone,
    folder: PhotoFolder,
    *,
    size: int = 224,
    resize: int | None = None,
    reduced: bool = False,
    **reading: Any,
) -> PhotoFeatures:
    """Compute CLS tokens of a folder's photos in the paper's evaluation crop.

    Args:
        size: side of the centre crop in px, taken down to whole patches.
        resize: short side before the crop; default `size` · 256/224.
        reduced: read large JPEGs at a fraction of their size; quicker, and not to the last bit what
            the whole picture gives.
        reading: batch_size, workers, progress and world, as in `embed_paths`.
    Raises:
        TooLargeError: a batch of this size does not fit into memory.
    """
    size = whole_patches(size, backbone.patch_size)
    features, rows = embed_paths(
        backbone,
        folder.paths,
        CenterCrop(size, resize),
        cls_features,
        size=size,
        width=backbone.embed_dim,
        short_side=short_side_of(size, resize) if reduced else None,
        **reading,
    )
    return PhotoFeatures.of(folder, features.transpose(0, 1), rows)


def embed_probe_views(
    backbone: Backbone, folder: PhotoFolder, crop: CenterCrop, **reading: Any
) -> PhotoFeatures:
    """Compute `probe_features` of every photo in a folder.

    Args:
        crop: of whole patches; see `whole_patches`.
        reading: batch_size, workers, progress and world, as in `embed_paths`.
    Raises:
        TooLargeError: a batch of this size does not fit into memory.
    """
    features, rows = embed_paths(
        backbone, folder.paths, crop, probe_features, size=crop.size, **reading
    )
    return PhotoFeatures.of(folder, features.transpose(0, 1), rows)


def embed_random_crops(
    backbone: Backbone,
    folder: PhotoFolder,
    crop: RandomCrop,
    *,
    seed: tuple[int, int],
    batch_size: int,
    workers: int,
    progress: OnProgress | None = None,
    world: World | None = None,
) -> Iterator[tuple[list[int], Tensor]]:
    """Compute `probe_features` batch by batch, shuffled: (rows of the folder, features [B,F]).

    Args:
        seed: (seed, epoch) of the order and the crops.
        progress: called after each batch.
        world: processes that share each batch; each gets the whole of it.
    """
    world, num = world or World(), len(folder)
    order = np.random.default_rng(seed).permutation(num).tolist()
    place = {row: at for at, row in enumerate(order)}
    # Each batch is shared out, so that all processes step through the same batches.
    shares = [
        [order[start + at] for at in world.rows(min(batch_size, num - start))]
        for start in range(0, num, batch_size)
    ]
    batches = read_views(folder.paths, crop, shares, workers=workers, seed=seed)
    for number, (rows, views) in enumerate(batches, start=1):
        batch = [([place[row] for row in rows], views)]
        features, places = embed_batches(backbone, batch, probe_features, world=world)
        if places:
            yield [order[at] for at in places], features[:, 0]
        if progress:
            progress(min(number * batch_size, num), num)
