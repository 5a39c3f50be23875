"""One photo through one backbone: what the command line and the app both start from."""

from dataclasses import dataclass

import numpy as np
import torch

from dino.media.geometry import Geometry
from dino.media.preprocessing import preprocess
from dino.model.backbone import AttentionMaps, Backbone, Tokens
from dino.model.limits import check_fits
from dino.model.stream import last_block


@dataclass(frozen=True)
class Attention:
    """Attention of one layer and one query on one photo, as arrays that can be cached and saved.

    `weights` [A,h,w] and `prefix` [A,1+R] float32 probabilities (`prefix` is CLS, then registers),
    `geometry` between patches and photo px, and what made it.
    """

    weights: np.ndarray
    prefix: np.ndarray
    geometry: Geometry
    weights_sha256: str
    precision: str

    @property
    def num_heads(self) -> int:
        return len(self.weights)


@dataclass(frozen=True)
class PatchFeatures:
    """Patch tokens [N,D] and CLS [D] of the last block of one photo, float32."""

    patches: np.ndarray
    cls: np.ndarray
    geometry: Geometry
    weights_sha256: str
    precision: str


def attend(backbone: Backbone, rgb: np.ndarray, *, size: int, fit: str = "floor") -> Attention:
    """CLS attention of the last block on a photo.

    Args:
        rgb: uint8 [H,W,3].
        size: longer side in px ("floor", "pad") or both sides ("stretch").
    Raises:
        UserError: too large for this machine, or a network without attention.
    """
    image, geometry = prepare(backbone, rgb, size, fit)
    return _attention(backbone, backbone.attention(image), geometry)


def features(
    backbone: Backbone, rgb: np.ndarray, *, size: int, fit: str = "floor"
) -> PatchFeatures:
    """Patch tokens of the last block on a photo; arguments and errors as in `attend`."""
    image, geometry = prepare(backbone, rgb, size, fit)
    return _features(backbone, backbone.tokens(image), geometry)


def look(
    backbone: Backbone, rgb: np.ndarray, *, size: int, fit: str = "floor"
) -> tuple[Attention, PatchFeatures]:
    """`attend` and `features` from one forward; arguments and errors as in `attend`."""
    image, geometry = prepare(backbone, rgb, size, fit)
    maps, tokens = last_block(backbone, image)
    return _attention(backbone, maps, geometry), _features(backbone, tokens, geometry)


def prepare(
    backbone: Backbone, rgb: np.ndarray, size: int, fit: str
) -> tuple[torch.Tensor, Geometry]:
    """Refuse what is too large before touching a pixel, then resize and normalise."""
    check_fits(backbone, (rgb.shape[0], rgb.shape[1]), size=size, fit=fit)
    return preprocess(
        rgb,
        size=size,
        patch_size=backbone.patch_size,
        fit=fit,
        mean=backbone.mean,
        std=backbone.std,
    )


def _attention(backbone: Backbone, maps: AttentionMaps, geometry: Geometry) -> Attention:
    return Attention(
        weights=maps.weights[0, 0, 0].cpu().numpy(),
        prefix=maps.prefix[0, 0, 0].cpu().numpy(),
        geometry=geometry,
        weights_sha256=backbone.weights_sha256,
        precision=backbone.precision,
    )


def _features(backbone: Backbone, tokens: Tokens, geometry: Geometry) -> PatchFeatures:
    return PatchFeatures(
        patches=tokens.patches[0].cpu().numpy(),
        cls=tokens.cls[0].cpu().numpy(),
        geometry=geometry,
        weights_sha256=backbone.weights_sha256,
        precision=backbone.precision,
    )
