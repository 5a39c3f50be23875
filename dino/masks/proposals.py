"""A mask for a photo by settings that can be kept, repeated and shown: what the app, the queue of
photos to annotate and `segment` all start from.

    mask = propose(backbone, rgb, MaskSettings(method="kmeans", largest=True, refine="guided"))
    mask = propose_from(attention, rgb, settings, features=features)     # without another forward
    masks = propose_objects(backbone, rgb, MaskSettings(method="maskcut"))   # one an object

In steps: `patch_masks` says which patches, `finish` tidies and refines at the photo's size.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from dino.attention import photo, thresholds
from dino.attention.mass import check_heads, mass_mask
from dino.attention.photo import PatchFeatures, PhotoAttention
from dino.errors import UserError
from dino.masks.cleanup import clean
from dino.masks.discovery import keys, methods
from dino.masks.discovery.keys import PatchKeys
from dino.masks.discovery.methods import Discovery
from dino.masks.refine import refine_mask
from dino.masks.settings import Mask, MaskSettings
from dino.model.backbone import Backbone


def propose(backbone: Backbone, rgb: NDArray[np.uint8], settings: MaskSettings) -> Mask:
    """Propose the mask of a photo, uint8 [H,W,3], at the photo's size; of several objects all together.

    Raises:
        UserError: heads that do not exist, a photo too large for this machine, or a network
            without attention.
    """
    if settings.discovers:
        masks = propose_objects(backbone, rgb, settings)
        return merge_masks(masks, (rgb.shape[0], rgb.shape[1]), settings)
    attention = photo.attend(backbone, rgb, size=settings.size, fit=settings.fit)
    features = None
    if settings.method == "kmeans":
        features = photo.features(backbone, rgb, size=settings.size, fit=settings.fit)
    return propose_from(attention, rgb, settings, features=features)


def propose_objects(
    backbone: Backbone, rgb: NDArray[np.uint8], settings: MaskSettings
) -> list[Mask]:
    """Propose a mask for each object found, which may be none; where no objects are sought, the one mask.

    Raises:
        UserError: as `propose`.
    """
    if not settings.discovers:
        return [propose(backbone, rgb, settings)]
    kept = keys.photo_keys(backbone, rgb, size=settings.size, fit=settings.fit)
    return objects_from(kept, rgb, settings)


def objects_from(kept: PatchKeys, rgb: NDArray[np.uint8], settings: MaskSettings) -> list[Mask]:
    """Propose as `propose_objects`, from keys of this photo that are there already."""
    masks = kept.geometry.to_photo(discover_objects(kept, settings).masks)
    return [
        describe_mask(pixels, kept, settings) for pixels in finish_objects(rgb, masks, settings)
    ]


def discover_objects(kept: PatchKeys, settings: MaskSettings) -> Discovery:
    """Find the objects in patches, by the settings' method, before they are tidied or refined.

    Raises:
        UserError: heads that do not exist, too many patches, or a method that seeks no objects.
    """
    limit = {"objects": settings.objects} if settings.method == "maskcut" else {}
    joined = kept.last.joined(settings.heads, kind=settings.keys)
    return methods.discover(joined, kept.geometry.grid, method=settings.method, **limit)


def merge_masks(masks: Sequence[Mask], shape: tuple[int, int], settings: MaskSettings) -> Mask:
    """Merge the objects of a photo of `shape` (H, W) into one mask; empty where there are none."""
    if not masks:
        return Mask(np.zeros(shape, dtype=bool), settings.words)
    return replace(masks[0], pixels=np.logical_or.reduce([mask.pixels for mask in masks]))


def propose_from(
    attention: PhotoAttention,
    rgb: NDArray[np.uint8],
    settings: MaskSettings,
    *,
    features: PatchFeatures | None = None,
) -> Mask:
    """Propose as `propose`, from attention and (for k-means) features of this photo that are there already.

    `settings.size` and `settings.fit` change nothing any more.
    """
    labels = None
    if settings.method == "kmeans" and features is not None:
        labels = cluster_labels(features, settings)
    kept = patch_mask(attention, settings, labels=labels)
    return describe_mask(
        finish(rgb, attention.geometry.to_photo(kept), settings), attention, settings
    )


def cluster_labels(features: PatchFeatures, settings: MaskSettings) -> NDArray[np.int32]:
    """Find the cluster of each patch, int32 [h,w], by k-means of the features."""
    labels = thresholds.cluster_patches(features.patches, clusters=settings.clusters)
    return labels.reshape(features.geometry.grid)


def patch_masks(
    maps: NDArray[np.floating],
    settings: MaskSettings,
    *,
    labels: NDArray[np.integer] | None = None,
) -> NDArray[np.bool_]:
    """Choose which patches each map [M,h,w] keeps by the settings' method, bool of the same shape.

    Args:
        labels: `cluster_labels` for k-means.
    Raises:
        UserError: k-means without labels, or a method that does not start from attention.
    """
    if settings.discovers:
        raise UserError(f"{settings.method} needs the photo's keys, not its attention; pass those")
    if settings.method == "otsu":
        return thresholds.otsu_mask(maps)
    if settings.method == "kmeans":
        if labels is None:
            raise UserError("k-means needs the photo's patch features; pass them along")
        return thresholds.cluster_mask(maps, labels)
    return mass_mask(torch.from_numpy(maps), settings.mass).numpy()


def patch_mask(
    attention: PhotoAttention, settings: MaskSettings, *, labels: NDArray[np.integer] | None = None
) -> NDArray[np.bool_]:
    """Choose the patches [h,w] that the chosen heads keep together: of their mean, or of any of them."""
    heads = list(range(attention.num_heads) if settings.heads is None else settings.heads)
    check_heads(heads, attention.num_heads)
    maps = attention.heads[heads]
    if settings.combine == "mean":
        maps = torch.from_numpy(maps).mean(dim=0, keepdim=True).numpy()
    return np.logical_or.reduce(patch_masks(maps, settings, labels=labels))


def finish(
    rgb: NDArray[np.uint8], pixels: NDArray[np.bool_], settings: MaskSettings
) -> NDArray[np.bool_]:
    """Tidy and refine a mask [H,W] at the photo's size.

    Tidied before, so that a refinement learns from the piece that is kept, and again after it.
    """
    tidy = _clean(pixels, settings)
    if settings.refine == "none":
        return tidy
    return _clean(refine_mask(rgb, tidy, settings.refine), settings)


def finish_objects(
    rgb: NDArray[np.uint8], masks: NDArray[np.bool_], settings: MaskSettings
) -> NDArray[np.bool_]:
    """Tidy and refine each of [n,H,W]; those of which nothing is left are left out."""
    done = [finish(rgb, pixels, settings) for pixels in masks]
    kept = [pixels for pixels in done if pixels.any()]
    return np.stack(kept) if kept else masks[:0]


def describe_mask(
    pixels: NDArray[np.bool_], seen: PhotoAttention | PatchKeys, settings: MaskSettings
) -> Mask:
    """Build the `Mask` of these pixels, saying how it was made from what was `seen`."""
    chosen = range(seen.num_heads) if settings.heads is None else settings.heads
    return Mask(
        pixels=pixels,
        method=settings.words,
        mass=settings.mass if settings.method == "mass" else None,
        head=",".join(str(head) for head in chosen),
    )


def _clean(pixels: NDArray[np.bool_], settings: MaskSettings) -> NDArray[np.bool_]:
    return clean(
        pixels,
        min_area=settings.min_area,
        largest=settings.largest,
        fill_holes=settings.fill_holes,
    )
