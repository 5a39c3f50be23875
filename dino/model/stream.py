"""Keep the residual stream of a forward: attention rows of any block and query are cheap from it.

    stream = stream_of(backbone, images)                                    # one forward
    stream_attention(backbone, stream, layers=(0, -1), queries=((12, 7),))  # two small products
    queries_keys_values(backbone, stream, layers=(-1,))                     # q, k, v of all tokens
    token_norms(backbone, stream, layer=-1).patches                         # [B, h, w]

Nothing here keeps an N×N map.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dino.errors import UserError
from dino.media.geometry import Geometry
from dino.model import forward
from dino.model.backbone import AttentionMaps, Backbone, Tokens
from dino.model.queries import Query


@dataclass(frozen=True)
class Stream:
    """Tokens between the blocks: `states[i]` [B,P+N,D] enters block i, `states[-1]` leaves the last.

    In float32 and on the network's device; before the final norm. `grid` is (h, w). `geometry` tells
    how the patches lie in the photo, where the stream is of one photo.
    """

    states: tuple[Tensor, ...]
    grid: tuple[int, int]
    geometry: Geometry | None = None


@dataclass(frozen=True)
class TokenNorms:
    """L2 norms of the stream's tokens: `prefix` [B,P] (CLS, registers), `patches` [B,h,w]."""

    prefix: Tensor
    patches: Tensor


def stream_of(backbone: Backbone, images: Tensor) -> Stream:
    """Run one forward and keep the tokens between all blocks.

    Args:
        images: [B,3,H,W] as in `Backbone.tokens`.
    Raises:
        UserError: a network without self-attention over patches, or images of a wrong shape.
    """
    backbone.check_attention()
    grid = backbone.check_images(images)
    with torch.no_grad():
        return Stream(tuple(backbone.states(images, grid, until=backbone.depth)), grid)


def last_block(backbone: Backbone, images: Tensor) -> tuple[AttentionMaps, Tokens]:
    """Read the last block's attention of the default query and the tokens that leave it from one forward.

    The same as `Backbone.attention` and `Backbone.tokens`; arguments and errors as in `stream_of`.
    """
    backbone.check_attention()
    grid = backbone.check_images(images)
    with torch.no_grad():
        entering, leaving = deque(backbone.states(images, grid, until=backbone.depth), maxlen=2)
        tokens = backbone.split(leaving, grid)
    last, query = backbone.depth - 1, backbone.default_query
    return backbone.attention_from([(last, entering)], grid, queries=(query,)), tokens


def stream_bytes(backbone: Backbone, grid: tuple[int, int]) -> int:
    """Estimate the bytes that a `Stream` of one photo of a grid (h, w) takes."""
    tokens = grid[0] * grid[1] + backbone.num_prefix
    return (backbone.depth + 1) * tokens * backbone.embed_dim * 4  # float32


def stream_attention(
    backbone: Backbone,
    stream: Stream,
    *,
    layers: Sequence[int] = (-1,),
    queries: Sequence[Query] = ("cls",),
    logits: bool = False,
) -> AttentionMaps:
    """Do as `Backbone.attention`, without another forward; arguments and errors as there."""
    return backbone.attention_from(
        enumerate(stream.states), stream.grid, layers=layers, queries=queries, logits=logits
    )


def queries_keys_values(
    backbone: Backbone, stream: Stream, *, layers: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Project all tokens to q, k and v in the asked blocks, as they meet in q·k/√d.

    Returns:
        q, k, v: each [B,L,A,P+N,d] float32.
    Raises:
        UserError: no layer, or one out of range.
    """
    if not layers:
        raise UserError("queries, keys and values need at least one layer")
    wanted = [backbone.layer_index(layer) for layer in layers]
    with torch.no_grad():
        parts = [
            forward.queries_keys_values(
                backbone.module, layer, stream.states[layer], backbone.places(stream.grid)
            )
            for layer in wanted
        ]
    q, k, v = (torch.stack(part, dim=1) for part in zip(*parts, strict=True))
    return q, k, v


def token_norms(backbone: Backbone, stream: Stream, *, layer: int = -1) -> TokenNorms:
    """Take the L2 norm of each token after a block, before the final norm, float32.

    Patches with a norm far above the others hold no local content: the artefacts that registers
    take over.

    Raises:
        UserError: a layer out of range.
    Source: Darcet et al. 2024, "Vision Transformers Need Registers", section 2.1.
    """
    norms = stream.states[backbone.layer_index(layer) + 1].float().norm(dim=-1)
    return TokenNorms(*forward.split_prefix(norms, stream.grid))
