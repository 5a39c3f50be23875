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
    """One query against all T = P+N tokens, in float64.

    `dots` [T] are q·k, `bias` [T] what the network adds by position (0 in most), `logits` [T] q·k/√d and
    that, `shares` [T] their softmax; `width` is d, `position` the query's own index, `num_prefix` P of
    which `num_class` are CLS, `prefix` their names, `grid` (h, w).
    """

    dots: np.ndarray
    logits: np.ndarray
    shares: np.ndarray
    width: int
    position: int
    num_prefix: int
    num_class: int
    grid: tuple[int, int]
    prefix: tuple[str, ...]
    bias: np.ndarray


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
    bias = np.zeros_like(dots)
    added = backbone.places(stream.grid).bias(backbone.layer_index(layer))
    if added is not None:
        bias = added.rows([position])[head, 0].cpu().numpy().astype(np.float64)
    logits = dots / np.sqrt(len(q)) + bias
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
        prefix=backbone.prefix_names,
        bias=bias,
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
    """Name a token: "CLS", "distillation token", "register 0" or "patch 12:7"."""
    if index >= row.num_prefix:
        return "patch {}:{}".format(*divmod(index - row.num_prefix, row.grid[1]))
    name = row.prefix[index]
    return {"cls": "CLS", "dist": "distillation token"}.get(name, name.replace(":", " "))
