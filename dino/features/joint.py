"""Joint PCA over the patches of several photos: one basis, so that one colour means one thing in all.

    joint = joint_pca([features_a, features_b], foreground=[mask_a, mask_b])
    joint.colours[0]                                    # uint8 [h,w,3]

Signs and order follow `dino.features.projections`: components by falling variance, each turned so that its
largest loading is positive. The same photos give the same colours, in whatever order they come.
Source of the figures: Oquab et al. 2023, "DINOv2", Fig. 1 and 9 (PCA of foreground patches).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dino.attention.mass import attention_mask
from dino.attention.photo import PatchFeatures, PhotoAttention
from dino.errors import UserError
from dino.features.projections import PcaBasis, fit_pca, pca_rgb

# Black: the colour of patches that are left out.
_LEFT_OUT = 0


@dataclass(frozen=True)
class JointPca:
    """One basis for several photos.

    Of each photo: `colours` uint8 [h,w,3], `scores` float32 [h·w,3] and `kept` bool [h,w], the patches
    the basis was found in; the others are black.
    """

    basis: PcaBasis
    colours: tuple[np.ndarray, ...]
    scores: tuple[np.ndarray, ...]
    kept: tuple[np.ndarray, ...]


def foreground_mask(attention: PhotoAttention, mass: float) -> np.ndarray:
    """Choose the fewest patches [h,w] bool that hold `mass` of the attention of all heads together."""
    return attention_mask(torch.from_numpy(attention.heads), mass, combine="mean").numpy()


def joint_pca(
    photos: Sequence[PatchFeatures], *, foreground: Sequence[np.ndarray] | None = None
) -> JointPca:
    """Find the three directions in which the patches of all photos vary most, and paint each by them.

    Args:
        photos: patch features, of one network.
        foreground: bool [h,w] of each photo, such as of `foreground_mask`; None takes all patches.
    Raises:
        UserError: no photos, features of different weights, masks that do not fit, or fewer than two
            patches in them.
    """
    kept = _checked(photos, foreground)
    patches = np.concatenate([p.patches[k.ravel()] for p, k in zip(photos, kept, strict=True)])
    if len(patches) < 2:
        raise UserError(
            f"{len(patches)} patches are in the foreground; expected at least 2: raise the mass"
        )
    # In an order of their own, so that the last bits do not depend on the order of the photos.
    basis = fit_pca(patches[np.lexsort(patches.T[:3])], 3)
    colours, scores = [], []
    for photo, inside in zip(photos, kept, strict=True):
        painted = pca_rgb(photo.patches, photo.geometry.grid, basis=basis)
        colours.append(np.where(inside[..., None], painted, _LEFT_OUT).astype(np.uint8))
        scores.append(basis.scores(photo.patches).astype(np.float32))
    return JointPca(basis, tuple(colours), tuple(scores), tuple(kept))


def _checked(
    photos: Sequence[PatchFeatures], foreground: Sequence[np.ndarray] | None
) -> list[np.ndarray]:
    if not photos:
        raise UserError("no photos were given; joint PCA needs one or more")
    if len({(photo.weights_sha256, photo.precision) for photo in photos}) > 1:
        raise UserError(
            "the photos were seen by different weights; expected one network for all of them"
        )
    grids = [photo.geometry.grid for photo in photos]
    if foreground is None:
        return [np.ones(grid, dtype=bool) for grid in grids]
    shapes = [np.shape(mask) for mask in foreground]
    if shapes != grids:
        raise UserError(f"masks have shapes {shapes} and photos grids {grids}; expected the same")
    return [np.asarray(mask, dtype=bool) for mask in foreground]
