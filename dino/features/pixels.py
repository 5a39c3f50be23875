"""Features at the photo's own pixels: grids moved by a part of a patch, and colours along the photo's edges.

    picture = pca_map(backbone, rgb, shifts=2)      # uint8 [H, W, 3]

As `dino.attention.pixels` does for attention.
"""

from collections.abc import Callable

import numpy as np

from dino.attention import photo
from dino.attention.photo import PatchFeatures, first_photo, prepare
from dino.attention.pixels import interleave, moved_images
from dino.features.projections import PcaBasis, pca_rgb
from dino.media.upsampling import to_pixels
from dino.model.backbone import Backbone


def pca_map(
    backbone: Backbone,
    rgb: np.ndarray,
    *,
    size: int = 480,
    shifts: int = 1,
    upsample: str = "guided",
    basis: PcaBasis | None = None,
    fit: str = "floor",
) -> np.ndarray:
    """Paint a photo by the first three components of its features, at its own pixels.

    Args:
        rgb: uint8 [H,W,3].
        size, fit: as in `dino.preprocess`.
        shifts: grids along each side, 1 to 4, put together; shifts² forwards.
        upsample: "guided" by the photo's edges, "bicubic", or "nearest" for whole patches.
        basis: as in `dino.pca_rgb`; None: the components of all patches of this photo's grids.
    Returns:
        uint8 [H,W,3].
    Raises:
        UserError: a setting out of range, or a photo too large.
    """
    features = fine_features(backbone, rgb, size=size, shifts=shifts, fit=fit)
    return paint_pixels(features, rgb, upsample=upsample, basis=basis)


def fine_features(
    backbone: Backbone,
    rgb: np.ndarray,
    *,
    size: int,
    shifts: int,
    fit: str = "floor",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PatchFeatures:
    """Compute patch features on a grid `shifts` times as fine as the network's, row by row.

    Args:
        progress: called with the forwards done and in all.
    Raises:
        UserError: as `pca_map`.
    """
    if shifts == 1:
        return photo.features(backbone, rgb, size=size, fit=fit)
    image, geometry = prepare(backbone, rgb, size, fit)
    grids = []
    for number, moved in enumerate(moved_images(image, shifts, backbone.patch_size), start=1):
        tokens = backbone.tokens(moved)
        patches = first_photo(tokens.patches)  # [N,D]
        grids.append(patches.T.reshape(-1, *geometry.grid))
        progress(number, shifts**2)
    fine = interleave(grids)
    return PatchFeatures(
        patches=np.ascontiguousarray(fine.reshape(len(fine), -1).T),
        cls=first_photo(tokens.cls),
        geometry=geometry.finer(shifts),
        weights_sha256=backbone.weights_sha256,
        precision=backbone.precision,
    )


def paint_pixels(
    features: PatchFeatures,
    rgb: np.ndarray,
    *,
    upsample: str = "guided",
    basis: PcaBasis | None = None,
) -> np.ndarray:
    """Paint features by `dino.pca_rgb` and bring the colours to the photo's pixels, uint8 [H,W,3].

    Raises:
        UserError: an unknown way to bring them there.
    """
    colours = pca_rgb(features.patches, features.geometry.grid, basis=basis)
    planes = np.moveaxis(colours, -1, 0).astype(np.float32)
    pixels = to_pixels(planes, features.geometry, rgb, how=upsample)
    return np.ascontiguousarray(np.moveaxis(np.rint(pixels).astype(np.uint8), 0, -1))
