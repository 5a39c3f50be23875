"""Any block and query on one photo, as arrays that can be cached, drawn and saved.

kept = trace(backbone, rgb, size=480)                                    # one forward
looked = look(backbone, kept, layers=(0, 11), queries=("cls", (12, 7)))  # cheap from then on
looked.one(0, 1)                                                         # an explore.Attention
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dino.attention import photo
from dino.attention.photo import Attention
from dino.attention.rollout import rollout
from dino.errors import TooLargeError, UserError
from dino.media.geometry import Geometry
from dino.media.preprocessing import plan
from dino.model import stream
from dino.model.backbone import Backbone
from dino.model.limits import check_fits, free_bytes
from dino.model.queries import Query
from dino.model.stream import Stream

# Of the memory that is free, the share the tokens of every block may take and keep.
_KEPT_SHARE = 0.3


@dataclass(frozen=True)
class Trace:
    """One photo's residual stream, batch of 1, and how its patches lie in the photo."""

    stream: Stream
    geometry: Geometry


@dataclass(frozen=True)
class Projected:
    """Queries, keys and values [L,A,1+R+N,d] float32 of all tokens."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray


@dataclass(frozen=True)
class Rolled:
    """Attention rollout up to each layer: `weights` [L,Q,h,w] and `prefix` [L,Q,1+R] sum to 1."""

    weights: np.ndarray
    prefix: np.ndarray


@dataclass(frozen=True)
class LayerAttention:
    """Attention of some layers and queries on one photo.

    `weights` [L,Q,A,h,w] and `prefix` [L,Q,A,1+R] float32 probabilities; `logits` and
    `prefix_logits` q·k/√d of the same shapes. `rolled` and `projected` where they were asked for.
    """

    weights: np.ndarray
    prefix: np.ndarray
    logits: np.ndarray
    prefix_logits: np.ndarray
    layers: tuple[int, ...]
    queries: tuple[Query, ...]
    geometry: Geometry
    weights_sha256: str
    precision: str
    rolled: Rolled | None = None
    projected: Projected | None = None

    def one(self, layer: int, query: int, *, logits: bool = False) -> Attention:
        """The heads of the `layer`-th layer and `query`-th query of this; as logits if asked."""
        weights, prefix = (
            (self.logits, self.prefix_logits) if logits else (self.weights, self.prefix)
        )
        return self._attention(weights[layer, query], prefix[layer, query])

    def one_rolled(self, layer: int, query: int) -> Attention:
        """The rollout of the `layer`-th layer and `query`-th query, as a single head."""
        if self.rolled is None:
            raise UserError("rollout was not asked for; pass rolled=True")
        return self._attention(
            self.rolled.weights[layer, query][None], self.rolled.prefix[layer, query][None]
        )

    def _attention(self, weights: np.ndarray, prefix: np.ndarray) -> Attention:
        return Attention(weights, prefix, self.geometry, self.weights_sha256, self.precision)


def trace(backbone: Backbone, rgb: np.ndarray, *, size: int, fit: str = "floor") -> Trace:
    """One forward on a photo that keeps the tokens between all blocks.

    Args:
        rgb: uint8 [H,W,3].
        size, fit: as in `dino.preprocess`.
    Raises:
        UserError: a network without attention.
        TooLargeError: too large for a forward, or for keeping its tokens.
    """
    backbone.check_attention()
    original = (rgb.shape[0], rgb.shape[1])
    check_fits(backbone, original, size=size, fit=fit)
    grid = plan(original, size=size, patch_size=backbone.patch_size, fit=fit).grid
    needed, free = stream.stream_bytes(backbone, grid), free_bytes(backbone.device)
    if needed > _KEPT_SHARE * free:
        raise TooLargeError(
            f"the tokens of all {backbone.depth} blocks at {grid[0] * grid[1]:,} patches take about "
            f"{needed / 1e6:,.0f} MB, and {_KEPT_SHARE * free / 1e6:,.0f} MB can be kept; choose a "
            "smaller size"
        )
    image, geometry = photo.prepare(backbone, rgb, size, fit)
    return Trace(stream.trace(backbone, image), geometry)


def look(
    backbone: Backbone,
    kept: Trace,
    *,
    layers: Sequence[int],
    queries: Sequence[Query],
    rolled: bool = False,
    projected: bool = False,
) -> LayerAttention:
    """Attention rows of the asked layers and queries; rollout and q, k, v if asked.

    Args:
        layers: block numbers; negative counts from the end.
        queries: "cls", "register:N", or a grid position (row, column).
    Raises:
        UserError: a layer or query that does not exist.
    """
    maps = stream.attention(backbone, kept.stream, layers=layers, queries=queries, logits=True)
    assert maps.logits is not None
    assert maps.prefix_logits is not None
    return LayerAttention(
        weights=maps.weights[0].cpu().numpy(),
        prefix=maps.prefix[0].cpu().numpy(),
        logits=maps.logits[0].cpu().numpy(),
        prefix_logits=maps.prefix_logits[0].cpu().numpy(),
        layers=maps.layers,
        queries=maps.queries,
        geometry=kept.geometry,
        weights_sha256=backbone.weights_sha256,
        precision=backbone.precision,
        rolled=_rolled(backbone, kept.stream, layers, queries) if rolled else None,
        projected=_projected(backbone, kept.stream, layers) if projected else None,
    )


def _rolled(
    backbone: Backbone, kept: Stream, layers: Sequence[int], queries: Sequence[Query]
) -> Rolled:
    found = rollout(backbone, kept, layers=layers, queries=queries)
    return Rolled(found.weights[0].cpu().numpy(), found.prefix[0].cpu().numpy())


def _projected(backbone: Backbone, kept: Stream, layers: Sequence[int]) -> Projected:
    found = stream.projections(backbone, kept, layers=layers)
    q, k, v = (part[0].cpu().numpy() for part in (found.q, found.k, found.v))
    return Projected(q, k, v)
