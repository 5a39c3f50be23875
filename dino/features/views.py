"""What a linear probe sees of a photo: tokens of the last blocks, of centre crops or random ones.

train = embed_views(backbone, folder, CenterCrop(size=224, flip=True))
train.features                                            # [2, M, F]: as it is, mirrored
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dino.features.data import CenterCrop, read_batches, read_views
from dino.media.crops import View, draw
from dino.media.photo_folders import PhotoFolder
from dino.model.backbone import Backbone
from dino.model.limits import check_fits
from dino.system.distributed import World

# A photo uint8 [H,W,3] and a random generator → its views, each uint8 [size,size,3].
# The paper concatenates the CLS tokens of this many last blocks for networks up to ViT-S …
_NUM_BLOCKS = 4
_LARGEST_CONCATENATED = 384
# … and draws training crops with torchvision's defaults: area 8 to 100 %, aspect 3/4 to 4/3.
_CROP_SCALE = (0.08, 1.0)


@dataclass(frozen=True)
class ViewFeatures:
    """Features [V,M,F] float32 of V views of M photos, labels [M] (-1 where unknown), their paths,
    and the photos left out as unreadable."""

    features: Tensor
    labels: Tensor
    paths: tuple[Path, ...]
    unreadable: tuple[Path, ...]


@dataclass(frozen=True)
class RandomCrop:
    """A random part of a photo at `size` × `size` px, mirrored half of the time."""

    size: int

    def __call__(self, rgb: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """uint8 [H,W,3] → one uint8 [size,size,3]."""
        view = View(self.size, _CROP_SCALE, blur=0.0, jitter=0.0, grey=0.0, flip=0.5)
        return [draw(rgb, view, rng)]


def whole_patches(size: int, patch_size: int) -> int:
    """`size` px taken down to whole patches, one at least."""
    return max(size // patch_size, 1) * patch_size


def probe_features(backbone: Backbone, images: Tensor) -> Tensor:
    """The paper's input of a linear probe: [B,3,H,W], normalised, → [B,F] float32.

    ViT-Ti and ViT-S (width up to 384): CLS of the last 4 blocks side by side (of all, where there
    are fewer); wider ViTs: CLS and mean patch token of the last block; other networks: the pooled
    features of their last layer.
    Source: Caron et al. 2021, appendix; eval_linear.py of facebookresearch/dino.
    """
    if not backbone.has_attention:
        return backbone.tokens(images).cls
    if backbone.embed_dim > _LARGEST_CONCATENATED:
        tokens = backbone.tokens(images)
        return torch.cat([tokens.cls, tokens.patches.mean(dim=1)], dim=1)
    layers = range(-min(_NUM_BLOCKS, backbone.depth), 0)
    return torch.cat([t.cls for t in backbone.layer_tokens(images, layers=layers)], dim=1)


def embed_batch(backbone: Backbone, views: Tensor) -> Tensor:
    """`probe_features` of views uint8 [B,V,3,H,W]: float32 [V,B,F] on the CPU."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.mean, backbone.std))
    return torch.stack(
        [
            probe_features(backbone, (images.float() / 255 - mean) / std).cpu()
            for images in views.transpose(0, 1)
        ]
    )


def embed_views(
    backbone: Backbone,
    folder: PhotoFolder,
    view: CenterCrop,
    *,
    batch_size: int = 64,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    world: World | None = None,
) -> ViewFeatures:
    """Probe features of every photo in a folder; unreadable ones are listed and left out.

    Args:
        view: `CenterCrop` of whole patches; see `whole_patches`.
        workers: processes that read photos; the result does not depend on it.
        progress: called with (photos done, photos in all) after each batch.
        world: processes that share the photos; each gets all features.
    Raises:
        TooLargeError: a batch of this size does not fit into memory.
    """
    world = world or World()
    size, at_once = view.size, min(batch_size, max(len(folder.paths), 1))
    check_fits(backbone, (size, size), size=size, fit="stretch", batch=at_once)
    features, kept, order = [], list[int](), world.rows(len(folder.paths))
    batches = read_views(folder.paths, view, order, batch_size=batch_size, workers=workers)
    for number, (rows, views) in enumerate(batches, start=1):
        if rows:
            features.append(embed_batch(backbone, views))
        kept += rows
        if progress:
            progress(min(number * batch_size, len(order)), len(order))
    mine = torch.cat(features, dim=1).transpose(0, 1) if features else None
    kept, found = world.gathered_rows(kept, mine)
    return view_features(folder, None if found is None else found.transpose(0, 1), kept)


def embed_random_crops(
    backbone: Backbone,
    folder: PhotoFolder,
    view: RandomCrop,
    *,
    seed: tuple[int, int],
    batch_size: int,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
    world: World | None = None,
) -> Iterator[tuple[list[int], Tensor]]:
    """Batches of (rows of the folder, probe features [B,F]) in an order of their own.

    Args:
        seed: (seed, epoch) of the order and the crops.
        progress: called with (photos done, photos in all) after each batch.
        world: processes that share each batch; each gets the whole of it.
    """
    world, num = world or World(), len(folder.paths)
    order = np.random.default_rng(seed).permutation(num).tolist()
    place = {row: at for at, row in enumerate(order)}
    # Each batch is shared out, so that all processes step through the same batches.
    shares = [
        [order[start + at] for at in world.rows(min(batch_size, num - start))]
        for start in range(0, num, batch_size)
    ]
    batches = read_batches(folder.paths, view, shares, workers=workers, seed=seed)
    for number, (rows, views) in enumerate(batches, start=1):
        mine = embed_batch(backbone, views)[0] if rows else None
        places, features = world.gathered_rows([place[row] for row in rows], mine)
        if features is not None:
            yield [order[at] for at in places], features
        if progress:
            progress(min(number * batch_size, num), num)


def view_features(
    folder: PhotoFolder, features: Tensor | None, kept: Sequence[int]
) -> ViewFeatures:
    """Features [V,M,F] of the photos at `kept`, with their labels and what is missing."""
    missing = sorted(set(range(len(folder.paths))) - set(kept))
    labels = [folder.labels[row] if folder.labels else -1 for row in kept]
    return ViewFeatures(
        torch.empty(1, 0, 0) if features is None else features,
        torch.tensor(labels, dtype=torch.long),
        tuple(folder.paths[row] for row in kept),
        tuple(folder.paths[row] for row in missing),
    )
