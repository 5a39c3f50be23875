"""Look at one photo through one backbone: what the command line and the app both start from.

    attention = attend(backbone, rgb, size=480)
    attention.heads                                     # [A, h, w], what the paper draws

`dino.attention.layers` gives the same container for any blocks and queries.
"""

from dataclasses import dataclass

import numpy as np
import torch

from dino.errors import UserError
from dino.media.geometry import Geometry
from dino.media.preprocessing import preprocess
from dino.model.backbone import AttentionMaps, Backbone, Tokens
from dino.model.limits import check_fits
from dino.model.queries import Query
from dino.model.stream import last_block

# What may be drawn of a row of attention.
PROBABILITIES, LOGITS, ROLLOUT = VALUES = ("probabilities", "logits", "rollout")


@dataclass(frozen=True)
class PhotoAttention:
    """Attention of some blocks and queries on one photo, as arrays that can be cached and saved.

    `weights` [L,Q,A,h,w] and `prefix` [L,Q,A,P] float32 probabilities (`prefix` is CLS, then
    registers), of block numbers `layers` and `queries`; `geometry` leads from patches to photo px
    and back. Where they were asked for: `logits` and `prefix_logits` q·k/√d of the same shapes, `rollout`
    [L,Q,h,w] and `rollout_prefix` [L,Q,P], and `qkv`, three of [L,A,P+N,d]. `shifts` grids along each side
    were put together (`dino.attention.pixels`); `geometry` is of the fine one.
    """

    weights: np.ndarray
    prefix: np.ndarray
    geometry: Geometry
    weights_sha256: str
    precision: str
    layers: tuple[int, ...]
    queries: tuple[Query, ...] = ("cls",)
    logits: np.ndarray | None = None
    prefix_logits: np.ndarray | None = None
    rollout: np.ndarray | None = None
    rollout_prefix: np.ndarray | None = None
    qkv: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    shifts: int = 1

    @property
    def num_heads(self) -> int:
        """Count the heads; a drawn rollout has one."""
        return self.weights.shape[2]

    @property
    def heads(self) -> np.ndarray:
        """Give the maps [A,h,w] of the first block and query: all, after `attend` or `select`."""
        return self.weights[0, 0]

    def values(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Give what is drawn and saved of one of `VALUES`.

        Returns:
            [L,Q,A,h,w] and [L,Q,A,P]; A is 1 for a rollout.
        Raises:
            UserError: it was not asked for when the rows were made.
        """
        patches, prefix, keeper = {
            PROBABILITIES: (self.weights, self.prefix, ""),
            LOGITS: (self.logits, self.prefix_logits, "dino.layers.look"),
            ROLLOUT: (self.rollout, self.rollout_prefix, "dino.layers.look(…, rolled=True)"),
        }[kind]
        if patches is None or prefix is None:
            raise UserError(f"{kind} was not kept; {keeper} keeps it")
        return (patches[:, :, None], prefix[:, :, None]) if kind == ROLLOUT else (patches, prefix)

    def select(self, layer: int, query: int, kind: str = PROBABILITIES) -> "PhotoAttention":
        """View the `layer`-th block and `query`-th query alone.

        Its `weights` and `prefix` hold what `kind`, one of `VALUES`, says; the rest is left behind.
        """
        weights, prefix = self.values(kind)
        return PhotoAttention(
            weights=weights[layer : layer + 1, query : query + 1],
            prefix=prefix[layer : layer + 1, query : query + 1],
            geometry=self.geometry,
            weights_sha256=self.weights_sha256,
            precision=self.precision,
            layers=(self.layers[layer],),
            queries=(self.queries[query],),
            shifts=self.shifts,
        )


@dataclass(frozen=True)
class PatchFeatures:
    """Patch tokens [N,D] and CLS [D] of the last block of one photo, float32."""

    patches: np.ndarray
    cls: np.ndarray
    geometry: Geometry
    weights_sha256: str
    precision: str


def attend(backbone: Backbone, rgb: np.ndarray, *, size: int, fit: str = "floor") -> PhotoAttention:
    """Read the attention of the last block on a photo: of CLS, or of the mean patch where there is none.

    Args:
        rgb: uint8 [H,W,3].
        size: longer side in px ("floor", "pad") or both sides ("stretch").
    Raises:
        UserError: too large for this machine, or a network without attention.
    """
    image, geometry = prepare(backbone, rgb, size, fit)
    maps = backbone.attention(image, queries=(backbone.default_query,))
    return photo_attention(backbone, maps, geometry)


def features(
    backbone: Backbone, rgb: np.ndarray, *, size: int, fit: str = "floor"
) -> PatchFeatures:
    """Read the patch tokens of the last block on a photo; arguments and errors as in `attend`."""
    image, geometry = prepare(backbone, rgb, size, fit)
    return _features(backbone, backbone.tokens(image), geometry)


def attention_and_features(
    backbone: Backbone, rgb: np.ndarray, *, size: int, fit: str = "floor"
) -> tuple[PhotoAttention, PatchFeatures]:
    """Do `attend` and `features` in one forward; arguments and errors as in `attend`."""
    image, geometry = prepare(backbone, rgb, size, fit)
    maps, tokens = last_block(backbone, image)
    return photo_attention(backbone, maps, geometry), _features(backbone, tokens, geometry)


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


def photo_attention(backbone: Backbone, maps: AttentionMaps, geometry: Geometry) -> PhotoAttention:
    """Take the rows of the first photo of a batch to the CPU, as arrays."""

    return PhotoAttention(
        weights=first_photo(maps.weights),
        prefix=first_photo(maps.prefix),
        geometry=geometry,
        weights_sha256=backbone.weights_sha256,
        precision=backbone.precision,
        layers=maps.layers,
        queries=maps.queries,
        logits=None if maps.logits is None else first_photo(maps.logits),
        prefix_logits=None if maps.prefix_logits is None else first_photo(maps.prefix_logits),
    )


def first_photo(batch: torch.Tensor) -> np.ndarray:
    """Take what belongs to the first photo of a batch [B, …] to the CPU, as an array."""
    return batch[0].cpu().numpy()


def _features(backbone: Backbone, tokens: Tokens, geometry: Geometry) -> PatchFeatures:
    return PatchFeatures(
        patches=first_photo(tokens.patches),
        cls=first_photo(tokens.cls),
        geometry=geometry,
        weights_sha256=backbone.weights_sha256,
        precision=backbone.precision,
    )
