"""Switch one head off, and measure what that changes in CLS, in the patches and in the last block.

    stream = stream_of(backbone, images)
    ablate_head(backbone, stream, layer=5, head=2).cls_cosine      # [B]

Only the blocks from the changed one on are computed again.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dino.attention.mass import check_heads
from dino.model import forward
from dino.model.backbone import Backbone
from dino.model.queries import Query
from dino.model.stream import Stream, stream_attention


@dataclass(frozen=True)
class HeadAblation:
    """What a head switched off in block `layer` changes.

    `cls_cosine` [B]: cosine between the CLS tokens (the mean patch where there is none) after the
    last norm, before and after. `patch_change` [B,h,w]: 1 − cosine of each patch token, 0 where
    nothing changed, at most 2. `attention_change` [B,A,h,w]: last-block attention of the query after
    minus before, in shares; all 0 where the last block itself was changed, since its attention
    is decided before its heads write.
    """

    layer: int
    head: int
    cls_cosine: Tensor
    patch_change: Tensor
    attention_change: Tensor


def ablate_head(
    backbone: Backbone, stream: Stream, *, layer: int, head: int, query: Query | None = None
) -> HeadAblation:
    """Zero one head's output before the block's output projection, and compare.

    Args:
        query: whose attention is compared; None: `Backbone.default_query`.
    Raises:
        UserError: a layer, head or query that does not exist.
    Source: Michel et al. 2019, "Are Sixteen Heads Really Better than One?", section 3.
    """
    index = backbone.layer_index(layer)
    check_heads((head,), backbone.num_heads)
    query = backbone.default_query if query is None else query
    with torch.no_grad():
        changed = without_head(backbone, stream, layer=index, head=head)
        before = backbone.split(stream.states[-1], stream.grid)
        after = backbone.split(changed.states[-1], stream.grid)
        cosine = F.cosine_similarity(before.patches, after.patches, dim=-1)
        old = stream_attention(backbone, stream, queries=(query,)).weights[:, 0, 0]
        new = stream_attention(backbone, changed, queries=(query,)).weights[:, 0, 0]
    return HeadAblation(
        layer=index,
        head=head,
        cls_cosine=F.cosine_similarity(before.cls, after.cls, dim=-1),
        patch_change=(1 - cosine).clamp_min(0).unflatten(-1, stream.grid),
        attention_change=new - old,
    )


def without_head(backbone: Backbone, stream: Stream, *, layer: int, head: int) -> Stream:
    """Run the stream again with one head switched off; the states up to that block are shared."""
    with torch.no_grad():
        places = backbone.places(stream.grid)
        changed = forward.block(backbone.module, layer, stream.states[layer], places, silent=head)
        states = [*stream.states[: layer + 1], changed]
        for index in range(layer + 1, backbone.depth):
            states.append(forward.block(backbone.module, index, states[-1], places))
    return Stream(tuple(states), stream.grid)
