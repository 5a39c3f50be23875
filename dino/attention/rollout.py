"""Attention rollout: how much of the input each token holds after some blocks, if attention mixes.

    stream = trace(backbone, images)
    rollout(backbone, stream, layers=(-1,), queries=("cls",)).weights[0, 0, 0]     # [h, w]

A block passes on 0.5·Ā + 0.5·I, with Ā the mean of its heads and I for the residual. The product
over blocks is taken from the last one back for the asked rows alone, so that it costs a vector times
a matrix in each block, of which a slice of rows exists at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dino.errors import UserError
from dino.model import forward
from dino.model.backbone import Backbone
from dino.model.queries import Query
from dino.model.stream import Stream


@dataclass(frozen=True)
class Rollout:
    """Shares of the input tokens, float32: `weights` [B,L,Q,h,w] of patches and `prefix` [B,L,Q,1+R]
    of CLS and registers together sum to 1. `layers`: the last block taken in, from 0."""

    weights: Tensor
    prefix: Tensor
    layers: tuple[int, ...]
    queries: tuple[Query, ...]


def rollout(
    backbone: Backbone,
    stream: Stream,
    *,
    layers: Sequence[int] = (-1,),
    queries: Sequence[Query] = ("cls",),
) -> Rollout:
    """Rollout from the input up to and with each of `layers`, for each query; one pass for all.

    Args:
        layers: block numbers; negative counts from the end.
        queries: as in `Backbone.attention`.
    Raises:
        UserError: no layer or query, or one that does not exist.
    Source: Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers", section 3.
    """
    if not layers or not queries:
        raise UserError("rollout needs at least one layer and one query")
    wanted = [backbone.layer_index(layer) for layer in layers]
    positions = [backbone.query_position(query, stream.grid) for query in queries]
    batch, tokens, _ = stream.states[0].shape
    shares = torch.zeros(batch, len(wanted), len(positions), tokens, device=backbone.device)
    for number, position in enumerate(positions):
        shares[:, :, number, position] = 1
    with torch.no_grad():
        for index in range(max(wanted), -1, -1):
            reached = [number for number, layer in enumerate(wanted) if layer >= index]
            before = shares[:, reached].flatten(1, 2)
            mixed = _mixed(backbone, index, stream.states[index], before)
            passed = 0.5 * before + 0.5 * mixed
            shares[:, reached] = passed.unflatten(1, (len(reached), len(positions)))
    sizes = [backbone.num_prefix, stream.grid[0] * stream.grid[1]]
    prefix, patches = shares.split(sizes, dim=-1)
    return Rollout(patches.unflatten(-1, stream.grid), prefix, tuple(wanted), tuple(queries))


def _mixed(backbone: Backbone, index: int, x: Tensor, shares: Tensor) -> Tensor:
    """Shares [B,S,N] times the mean attention [N,N] of a block's heads; rows of no share are left out."""
    used = shares.amax(dim=(0, 1)).nonzero().flatten().tolist()
    mixed = torch.zeros_like(shares)
    for chunk, rows in forward.attention_slices(backbone.module, index, x, used):
        mixed += shares[:, :, chunk] @ rows.mean(dim=2)
    return mixed
