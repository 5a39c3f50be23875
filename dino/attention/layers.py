"""Look at any block and query of one photo: rows, rollout, q, k and v from one forward.

stream = trace(backbone, rgb, size=480)                                    # one forward
attention = look(backbone, stream, layers=(0, 11), queries=("cls", (12, 7)))  # cheap from then on
attention.select(0, 1).heads                                               # [A, h, w]
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dino.attention.photo import PhotoAttention, first_photo, photo_attention, prepare
from dino.attention.rollout import rollout
from dino.errors import TooLargeError, UserError
from dino.media.preprocessing import plan
from dino.model.backbone import Backbone
from dino.model.limits import check_fits, free_bytes
from dino.model.queries import Query
from dino.model.stream import (
    Stream,
    queries_keys_values,
    stream_attention,
    stream_bytes,
    stream_of,
)

# Of the memory that is free, the share the tokens of every block may take and keep.
_KEPT_SHARE = 0.3


def trace(backbone: Backbone, rgb: np.ndarray, *, size: int, fit: str = "floor") -> Stream:
    """Run one forward on a photo and keep the tokens between all blocks.

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
    needed, free = stream_bytes(backbone, grid), free_bytes(backbone.device)
    if needed > _KEPT_SHARE * free:
        raise TooLargeError(
            f"the tokens of all {backbone.depth} blocks at {grid[0] * grid[1]:,} patches take about "
            f"{needed / 1e6:,.0f} MB, and {_KEPT_SHARE * free / 1e6:,.0f} MB can be kept; choose a "
            "smaller size"
        )
    image, geometry = prepare(backbone, rgb, size, fit)
    return replace(stream_of(backbone, image), geometry=geometry)


def look(
    backbone: Backbone,
    stream: Stream,
    *,
    layers: Sequence[int],
    queries: Sequence[Query],
    rolled: bool = False,
    projected: bool = False,
) -> PhotoAttention:
    """Read the attention rows and logits of some layers and queries of a photo's stream.

    Args:
        stream: of one photo, as `trace` gives it.
        layers: block numbers; negative counts from the end.
        queries: "cls", "register:N", or a grid position (row, column).
        rolled: attention rollout, too.
        projected: q, k and v of all tokens, too.
    Raises:
        UserError: a layer or query that does not exist, or a stream that is not of a photo.
    """
    if stream.geometry is None:
        raise UserError(
            "this stream is of images whose photo is not known; expected what dino.layers.trace gives"
        )
    maps = stream_attention(backbone, stream, layers=layers, queries=queries, logits=True)
    found = photo_attention(backbone, maps, stream.geometry)
    if rolled:
        shares = rollout(backbone, stream, layers=layers, queries=queries)
        patches, prefix = map(first_photo, shares)
        found = replace(found, rollout=patches, rollout_prefix=prefix)
    if projected:
        q, k, v = map(first_photo, queries_keys_values(backbone, stream, layers=layers))
        found = replace(found, qkv=(q, k, v))
    return found
