"""Descriptors of whole photos for finding copies: CLS beside GeM-pooled patches, whitened.

whitening = fit_whitening(descriptors(backbone, images))
whitening.apply(descriptors(backbone, others))      # [B,C], uncorrelated on what it was fitted to

Source: Caron et al. 2021, section 4.1 and Table 4; eval_copy_detection.py of facebookresearch/dino.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dino.errors import UserError
from dino.features.cache import FeatureCache, photos_digest
from dino.features.data import Drawer, read_views
from dino.media.photo_folders import PhotoFolder
from dino.model.backbone import Backbone
from dino.model.limits import check_fits
from dino.system.distributed import World

GEM_POWER = 4.0
_GEM_LEAST = 1e-6
# Photos read at once; their copies go through the network one kind after the other.
_BATCH_PHOTOS = 16
# Directions of less variance than this share of the greatest are rounding noise.
_LEAST_VARIANCE = 1e-7


def gem(patches: Tensor, *, power: float = GEM_POWER) -> Tensor:
    """Generalised mean (mean xᵖ)^(1/p) over patches [B,N,D] → [B,D]; what is below 1e-6 counts as it.

    Source: Radenović et al. 2018, "Fine-tuning CNN Image Retrieval with No Human Annotation".
    """
    return patches.clamp(min=_GEM_LEAST).pow(power).mean(dim=1).pow(1 / power)


def descriptors(backbone: Backbone, images: Tensor) -> Tensor:
    """CLS and GeM of the last block's patches side by side: [B,3,H,W], normalised, → [B,2D]."""
    tokens = backbone.tokens(images)
    return torch.cat([tokens.cls, gem(tokens.patches)], dim=1)


@dataclass(frozen=True)
class Whitening:
    """(x − `mean` [F]) · `basis` [F,C]."""

    mean: Tensor
    basis: Tensor

    def apply(self, features: Tensor) -> Tensor:
        """Features [..., F] → [..., C] float32."""
        return ((features.double() - self.mean) @ self.basis).float()


def fit_whitening(features: Tensor, *, components: int | None = None) -> Whitening:
    """PCA that gives `features` [M,F] mean 0 and the identity as covariance.

    Unlike the original's script, which takes the second moments about zero, the mean is removed first.

    Args:
        components: how many directions to keep, those of most variance; at most all that M samples
            can tell, M − 1, or F. None: M / 2, or F, since the last directions of few samples are
            noise (500 Imagenette photos, ViT-Ti/16: mAP 70.7 with 249 directions of 250, 79.2 with 125).
    Raises:
        UserError: fewer than 2 samples, or all alike.
    """
    if features.ndim != 2 or len(features) < 2:
        raise UserError(
            f"got {len(features)} photos to learn a whitening from, expected 2 or more; add distractors"
        )
    x = features.double()
    mean = x.mean(dim=0)
    centred = x - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
    values, vectors = values.flip(0), vectors.flip(1)
    most = min(len(x) - 1, x.shape[1], components or max(len(x) // 2, 1))
    told = int((values[:most] > _LEAST_VARIANCE * values[0]).sum()) if values[0] > 0 else 0
    if not told:
        raise UserError("the photos to learn a whitening from are all alike; choose others")
    return Whitening(mean, vectors[:, :told] / values[:told].sqrt())


def embed_descriptors(
    backbone: Backbone,
    folder: PhotoFolder,
    view: Drawer,
    *,
    size: int,
    seed: int = 0,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    world: World | None = None,
) -> tuple[Tensor, list[int]]:
    """Descriptors [M,V,2D] float32 of V views of each photo, and the photos' rows; unreadable ones
    are left out.

    Args:
        view: gives V pictures of `size` × `size` px, whole patches.
        seed: of what the view draws, together with a photo's row.
        workers: processes that read photos; the result does not depend on it.
        progress: called with (photos done, photos in all) after each batch.
        world: processes that share the photos; each gets all descriptors.
    Raises:
        UserError: a size that does not fit into memory.
    """
    world = world or World()
    check_fits(backbone, (size, size), size=size, fit="stretch", batch=_BATCH_PHOTOS)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.mean, backbone.std))
    share = world.rows(len(folder))
    batches = read_views(
        folder.paths, view, share, batch_size=_BATCH_PHOTOS, workers=workers, seed=(seed, 0)
    )
    features, kept = list[Tensor](), list[int]()
    for done, (rows, views) in enumerate(batches, start=1):
        if rows:
            each = [
                descriptors(backbone, (images.float() / 255 - mean) / std).cpu()
                for images in views.transpose(0, 1)
            ]
            features.append(torch.stack(each, dim=1))
        kept += rows
        if progress:
            progress(min(done * _BATCH_PHOTOS, len(share)), len(share))
    kept, found = world.gathered_rows(kept, torch.cat(features) if features else None)
    return torch.empty(0, 1, 2 * backbone.embed_dim) if found is None else found, kept


def kept_descriptors(
    cache: FeatureCache,
    backbone: Backbone,
    folder: PhotoFolder,
    view: Drawer,
    *,
    size: int,
    seed: int = 0,
    views: str = "",
    **reading: Any,
) -> tuple[Tensor, list[int]]:
    """`embed_descriptors`, from disk where they are there.

    `views` tells apart what views draw by `seed`; "" for a view that draws nothing.
    """

    def compute() -> dict[str, np.ndarray]:
        features, rows = embed_descriptors(
            backbone, folder, view, size=size, seed=seed, world=cache.world, **reading
        )
        return {"features": features.numpy(), "kept": np.array(rows, dtype=np.int64)}

    key = {
        "kind": "copies",
        "weights": backbone.fingerprint,
        "photos": photos_digest(folder),
        "size": size,
        "views": views,
        "seed": seed if views else None,
    }
    what = f"{'copies' if views else 'descriptors'} of {folder.root} by {backbone.name}"
    arrays = cache.arrays(key, compute, what=what)
    return torch.from_numpy(arrays["features"]), arrays["kept"].tolist()
