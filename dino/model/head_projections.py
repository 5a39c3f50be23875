"""Project tokens to the queries, keys and values of each head, as they meet in a block of any kind of ViT.

keys = per_head(attn, y, KEYS, turns)      # [B, A, N, d] float32: with its norm, turned by position
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from dino.model.families import head_dim, is_differential, is_side_by_side
from dino.model.kernels import linear

# Where queries, keys and values stand in the rows of a block's one projection.
QUERIES, KEYS, VALUES = 0, 1, 2


def projection(attn: Any, part: int) -> tuple[Tensor, Tensor | None]:
    """Find weight and bias that make queries (`part` 0), keys (1) or values (2) of an attention."""
    if is_side_by_side(attn):
        sizes = attn.in_split
        own = slice(sum(sizes[: part + 1]), sum(sizes[: part + 2]))
        bias = attn.in_proj.bias
        return attn.in_proj.weight[own], None if bias is None else bias[own]
    if attn.qkv is None:
        layer = (attn.q_proj, attn.k_proj, attn.v_proj)[part]
        return layer.weight, layer.bias
    dim = attn.qkv.weight.shape[0] // 3
    own = slice(part * dim, (part + 1) * dim)
    separate = getattr(attn, ("q_bias", "k_bias", "v_bias")[part], None)
    bias = separate if separate is not None else attn.qkv.bias
    if bias is not None and separate is None:
        bias = bias[own]
    return attn.qkv.weight[own], bias


def per_head(attn: Any, y: Tensor, part: int, turns: Tensor | None) -> Tensor:
    """Project tokens [B,N,D] to queries, keys or values as they meet in the block, float32 [B,A,N,d]."""
    weight, bias = projection(attn, part)
    out = F.linear(y, weight.float(), None if bias is None else bias.float())
    out = out.unflatten(-1, (-1, widths(attn)[part])).transpose(1, 2)
    norm = norm_of(attn, part)
    if not isinstance(norm, nn.Identity):
        out = norm(out.to(weight.dtype)).float()  # its weights are in the stream's precision
    if turns is not None and part != VALUES:
        out = turned(attn, out, turns)
    if part == VALUES and is_differential(attn):
        return out.repeat_interleave(2, dim=1)
    return out if part == QUERIES else repeated(attn, out, dim=1)


def norm_of(attn: Any, part: int) -> Any:
    """Find what normalises a head's queries or keys."""
    if part == VALUES:
        return nn.Identity()
    return getattr(attn, ("q_norm", "k_norm")[part], None) or nn.Identity()


def turned(attn: Any, x: Tensor, turns: Tensor) -> Tensor:
    """Turn queries or keys [B,A,N,d] by position; sines and cosines [N,2d] or [A,N,2d] are float32."""
    from timm.layers import apply_rot_embed_cat

    return apply_rot_embed_cat(x, turns, half=getattr(attn, "rotate_half", False)).to(x.dtype)


def repeated(attn: Any, x: Tensor, *, dim: int) -> Tensor:
    """Give each query head the keys or values it shares with others, where there are fewer of them."""
    groups = getattr(attn, "num_kv_groups", 1)
    return x if groups == 1 else x.repeat_interleave(groups, dim=dim)


def widths(attn: Any) -> tuple[int, int, int]:
    """Measure a head's queries, keys and values; two differential heads share values of twice the width."""
    width = head_dim(attn)
    return width, width, width * (2 if is_differential(attn) else 1)


def in_own_precision(attn: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Project tokens [B,N,D] in the block's own precision, [B,A,N,d] each, before norms and rotation."""
    if getattr(attn, "qkv", None) is not None and getattr(attn, "q_bias", None) is None:
        parts: Sequence[Tensor] = linear(attn.qkv, x).chunk(3, dim=-1)
    else:
        parts = [F.linear(x, *projection(attn, part)) for part in (QUERIES, KEYS, VALUES)]
    q, k, v = (
        part.unflatten(-1, (-1, width)).transpose(1, 2)
        for part, width in zip(parts, widths(attn), strict=True)
    )
    return q, k, v
