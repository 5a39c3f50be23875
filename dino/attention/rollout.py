"""Roll attention out: how much of the input each token holds after some blocks, if attention mixes.

    stream = stream_of(backbone, images)
    patches, prefix = rollout(backbone, stream, layers=(-1,), queries=("cls",))
    patches[0, 0, 0]                                                     # [h, w]

A block passes on 0.5·Ā + 0.5·I, with Ā the mean of its heads and I for the residual. The product
over blocks is taken from the last one back for the asked rows alone, so that it costs a vector times
a matrix in each block, of which a slice of rows exists at a time.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dino.errors import UserError
from dino.model import forward
from dino.model.backbone import Backbone
from dino.model.queries import MEAN, Query
from dino.model.stream import Stream


def rollout(
    backbone: Backbone,
    stream: Stream,
    *,
    layers: Sequence[int] = (-1,),
    queries: Sequence[Query] = ("cls",),
) -> tuple[Tensor, Tensor]:
    """Roll out from the input up to and with each of `layers`, for each query; one pass for all.

    Args:
        layers: block numbers; negative counts from the end.
        queries: as in `Backbone.attention`.
    Returns:
        Shares of the input tokens, float32: of the patches [B,L,Q,h,w] and of CLS and registers
        [B,L,Q,P]. Together they sum to 1.
    Raises:
        UserError: no layer or query, or one that does not exist.
    Source: Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers", section 3.
    """
    if not layers or not queries:
        raise UserError("rollout needs at least one layer and one query")
    wanted = [backbone.layer_index(layer) for layer in layers]
    batch, tokens, _ = stream.states[0].shape
    shares = torch.zeros(batch, len(wanted), len(queries), tokens, device=backbone.device)
    for number, query in enumerate(queries):
        if query == MEAN:
            shares[:, :, number, backbone.num_prefix :] = 1 / (tokens - backbone.num_prefix)
        else:
            shares[:, :, number, backbone.query_position(query, stream.grid)] = 1
    with torch.no_grad():
        for index in range(max(wanted), -1, -1):
            reached = [number for number, layer in enumerate(wanted) if layer >= index]
            before = shares[:, reached].flatten(1, 2)
            mixed = _mix(backbone, index, stream, before)
            passed = 0.5 * before + 0.5 * mixed
            shares[:, reached] = passed.unflatten(1, (len(reached), len(queries)))
    prefix, patches = forward.split_prefix(shares, stream.grid)
    return patches, prefix


def _mix(backbone: Backbone, index: int, stream: Stream, shares: Tensor) -> Tensor:
    """Multiply shares [B,S,N] by the mean attention [N,N] of a block's heads, without rows of no share."""
    used = shares.amax(dim=(0, 1)).nonzero().flatten().tolist()
    mixed = torch.zeros_like(shares)
    x, places = stream.states[index], backbone.places(stream.grid)
    for chunk, rows in forward.attention_slices(backbone.module, index, x, used, places):
        mixed += shares[:, :, chunk] @ rows.mean(dim=2)
    return mixed
