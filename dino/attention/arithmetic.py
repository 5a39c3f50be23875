"""Show one query's attention in one head step by step as numbers: q·k, divided by √d, then softmax.

    row = attention_row(backbone, stream, layer=-1, query="cls", head=0)
    row.dots[5] / row.width**0.5 == row.logits[5]       # token 5: CLS first, registers, patches
    strongest(row, 3)                                   # the tokens that get most

The shares are those of `Backbone.attention`; this shows how they come about.
"""

from dataclasses import dataclass

import numpy as np

from dino.attention.mass import check_heads
from dino.model.backbone import Backbone
from dino.model.queries import Query
from dino.model.stream import Stream, queries_keys_values


@dataclass(frozen=True)
class AttentionRow:
    """One query against all T = 1+R+N tokens, in float64.

    `dots` [T] are q·k, `logits` [T] q·k/√d, `shares` [T] their softmax; `width` is d, `position` the
    query's own index, `num_prefix` 1+R of which `num_class` are CLS, `grid` (h, w).
    """

    dots: np.ndarray
    logits: np.ndarray
    shares: np.ndarray
    width: int
    position: int
    num_prefix: int
    num_class: int
    grid: tuple[int, int]


def attention_row(
    backbone: Backbone, stream: Stream, *, layer: int, query: Query, head: int
) -> AttentionRow:
    """Compute one row of the first photo of a stream.

    Raises:
        UserError: a layer, query or head that does not exist.
    """
    check_heads((head,), backbone.num_heads)
    position = backbone.query_position(query, stream.grid)
    queries, keys, _ = queries_keys_values(backbone, stream, layers=(layer,))
    q = queries[0, 0, head, position].cpu().numpy().astype(np.float64)
    k = keys[0, 0, head].cpu().numpy().astype(np.float64)
    dots = k @ q
    logits = dots / np.sqrt(len(q))
    powers = np.exp(logits - logits.max())  # the same shares, and no overflow
    shares = powers / powers.sum()
    return AttentionRow(
        dots=dots,
        logits=logits,
        shares=shares,
        width=len(q),
        position=position,
        num_prefix=backbone.num_prefix,
        num_class=backbone.num_class,
        grid=stream.grid,
    )


def strongest(row: AttentionRow, count: int) -> list[int]:
    """Find the `count` patches with the largest shares, largest first; the query is left out."""
    order = np.argsort(-row.shares, kind="stable")
    patches = [int(i) for i in order if i >= row.num_prefix and i != row.position]
    return patches[:count]


def weakest(row: AttentionRow) -> int:
    """Find the patch with the smallest share."""
    return row.num_prefix + int(np.argmin(row.shares[row.num_prefix :]))


def token_name(row: AttentionRow, index: int) -> str:
    """Name a token: "CLS", "register 0" or "patch 12:7"."""
    if index < row.num_class:
        return "CLS"
    if index < row.num_prefix:
        return f"register {index - row.num_class}"
    return "patch {}:{}".format(*divmod(index - row.num_prefix, row.grid[1]))
