"""Take the forward of a plain timm ViT apart: embedding, one block, attention rows of some queries.

Written out so that nothing has to be hooked, positions are interpolated as the originals do, and only
the asked rows of an N×N attention map ever exist.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dino.model.kernels import is_bare, linear, linear_gelu, self_attention
from dino.model.positions import interpolate_positions

# Query rows of a slice in `attention_slices`.
_CHUNK_ROWS = 128
# Tokens at most that go through an MLP together on a CPU. Every operation wakes the threads anew, so few
# and long ones are quicker: at 3,601 tokens in bfloat16 with AMX 1,024 took 1.1 times as long.
_MLP_ROWS = 4096
# Where queries and keys stand in the rows of a block's one projection.
_Q, _K = 0, 1


def is_plain(model: Any) -> bool:
    """Tell whether a timm model is a ViT of exactly the parts that are read here.

    Those are timm's plain `Block` and `Attention`, a plain patch convolution, LayerNorm, at most one
    class token, and a learned position embedding with a row a patch (and maybe a prefix token).
    """
    from timm.layers import LayerNorm, PatchEmbed
    from timm.layers.attention import Attention
    from timm.models.vision_transformer import Block, VisionTransformer

    if not isinstance(model, VisionTransformer) or hasattr(model, "dist_token"):
        return False
    if type(model.patch_embed) is not PatchEmbed or model.pos_embed is None:
        return False
    positions = model.patch_embed.num_patches
    positions += 0 if model.no_embed_class else model.num_prefix_tokens
    return model.pos_embed.shape[1] == positions and all(
        type(part) is Block
        and type(part.attn) is Attention
        and part.attn.gate is None
        and isinstance(part.norm1, torch.nn.LayerNorm | LayerNorm)
        for part in model.blocks
    )


def embed(model: Any, images: Tensor, grid: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Embed images [B,3,H,W]: tokens [B, prefix + N, D] with their positions, in `dtype`."""
    patch = model.patch_embed.patch_size[0]
    # The patch convolution as a product: exact float32 everywhere (cuDNN would take TF32).
    flat = images.float().unflatten(2, (grid[0], patch)).unflatten(4, (grid[1], patch))
    flat = flat.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2).to(dtype)
    projection = model.patch_embed.proj
    x = model.patch_embed.norm(F.linear(flat, projection.weight.flatten(1), projection.bias))
    prefix = [t.expand(len(x), -1, -1) for t in (model.cls_token, model.reg_token) if t is not None]
    positions = interpolate_positions(
        model.pos_embed,
        grid,
        trained=model.patch_embed.grid_size,
        num_class=0 if model.no_embed_class else model.num_prefix_tokens,
        antialias=model.num_reg_tokens > 0,
    ).to(dtype)
    if model.no_embed_class:
        return model.norm_pre(torch.cat([*prefix, x + positions], dim=1))
    return model.norm_pre(torch.cat([*prefix, x], dim=1) + positions)


def block(model: Any, index: int, x: Tensor, *, silent: int | None = None) -> Tensor:
    """Run one block on tokens [B,N,D]; the head `silent` adds nothing, as zeros enter the projection."""
    part = model.blocks[index]
    products = part.attn.qkv.weight.dtype
    x = x + part.ls1(_self_attention(part.attn, part.norm1(x).to(products), silent))
    if x.device.type != "cpu":
        return x + part.ls2(_mlp(part.mlp, part.norm2(x).to(products)))
    # Each token by itself: of many, the hidden layer, four times as wide, is never whole in memory.
    tokens = x.view(-1, x.shape[-1])
    for rows in tokens.tensor_split(max(-(-len(tokens) // _MLP_ROWS), 1)):
        rows.add_(part.ls2(_mlp(part.mlp, part.norm2(rows).to(products))))
    return x


def lower_products(model: Any, dtype: torch.dtype) -> None:
    """Have a float32 model's blocks multiply in `dtype`.

    Embedding, norms and the sums between blocks stay float32: they cost little, and rounding them
    costs masks more than rounding the products does.
    """
    for part in model.blocks:
        part.attn.to(dtype)
        part.mlp.to(dtype)


def last_block_cls(model: Any, x: Tensor) -> Tensor:
    """Run the last block for the CLS token alone: [B,N,D] → [B,1,D].

    Keys and values of all tokens, everything else of one: exact where only CLS is read afterwards, as
    the DINO loss does, and 7 % less work in a step.
    """
    part = model.blocks[-1]
    attn, y = part.attn, part.norm1(x)
    dim = attn.num_heads * attn.head_dim
    weight, bias = attn.qkv.weight, attn.qkv.bias
    q = F.linear(y[:, :1], weight[:dim], None if bias is None else bias[:dim])
    kv = F.linear(y, weight[dim:], None if bias is None else bias[dim:])
    q = q.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2)
    k, v = kv.unflatten(-1, (2, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    q, k = attn.q_norm(q), attn.k_norm(k)
    rows = ((q * attn.scale) @ k.transpose(-2, -1)).softmax(dim=-1)
    out = attn.norm((rows.to(v.dtype) @ v).transpose(1, 2).flatten(2))
    x = x[:, :1] + part.drop_path1(part.ls1(attn.proj_drop(attn.proj(out))))
    return x + part.drop_path2(part.ls2(part.mlp(part.norm2(x))))


def queries_keys_values(model: Any, index: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Project every token to q, k, v of block `index`, as they meet in q·k/√d: float32 [B,A,N,d] each."""
    attn = model.blocks[index].attn
    y = _normalised(model, index, x)
    q, k, v = (_per_head(attn, y, part) for part in range(3))
    return q, k, v


def key_bias(model: Any, index: int) -> Tensor:
    """Read what block `index` adds to the key of every token alike, float32 [A,d].

    Attention does not depend on it: it moves all logits of a query by the same amount. It is 0 where
    there is none, or where keys are normalised after it.
    """
    attn = model.blocks[index].attn
    shape = attn.num_heads, attn.head_dim
    if attn.qkv.bias is None or not isinstance(attn.k_norm, torch.nn.Identity):
        return torch.zeros(shape)
    dim = attn.num_heads * attn.head_dim
    return attn.qkv.bias[dim : 2 * dim].float().reshape(shape)


def attention_logits(model: Any, index: int, x: Tensor, positions: Sequence[int]) -> Tensor:
    """Compute q·k/√d of the tokens at `positions` with all tokens, in block `index`.

    Args:
        x: [B,N,D], what enters the block.
    Returns:
        [B,Q,A,N] float32; this step is float32 whatever the precision of the stream.
    """
    attn = model.blocks[index].attn
    y = _normalised(model, index, x)
    q, k = _per_head(attn, y[:, list(positions)], _Q), _per_head(attn, y, _K)
    return ((q * attn.scale) @ k.transpose(-2, -1)).transpose(1, 2)


def attention_slices(
    model: Any, index: int, x: Tensor, positions: Sequence[int]
) -> Iterator[tuple[list[int], Tensor]]:
    """Give softmax(q·k/√d) of many tokens over all, some at a time: (positions, rows [B,C,A,N])."""
    attn = model.blocks[index].attn
    y = _normalised(model, index, x)
    keys = _per_head(attn, y, _K).transpose(-2, -1)
    for start in range(0, len(positions), _CHUNK_ROWS):
        chunk = list(positions[start : start + _CHUNK_ROWS])
        q = _per_head(attn, y[:, chunk], _Q) * attn.scale
        yield chunk, (q @ keys).softmax(dim=-1).transpose(1, 2)


def split_prefix(values: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Split values [..., 1+R+N] of all tokens into the prefix's [..., 1+R] and the patches' [..., h, w]."""
    num_prefix = values.shape[-1] - grid[0] * grid[1]
    return values[..., :num_prefix], values[..., num_prefix:].unflatten(-1, grid)


def _normalised(model: Any, index: int, x: Tensor) -> Tensor:
    """Normalise tokens to what the block's queries, keys and values are made from, float32 [B,N,D]."""
    norm = model.blocks[index].norm1
    scale, shift = norm.weight.float(), norm.bias.float()
    return F.layer_norm(x.float(), norm.normalized_shape, scale, shift, norm.eps)


def _per_head(attn: Any, y: Tensor, part: int) -> Tensor:
    """Project tokens [B,N,D] to queries (`part` 0), keys (1) or values (2), normalised as in the block."""
    dim = attn.num_heads * attn.head_dim
    own = slice(part * dim, (part + 1) * dim)
    bias = None if attn.qkv.bias is None else attn.qkv.bias[own].float()
    out = F.linear(y, attn.qkv.weight[own].float(), bias)
    out = out.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2)
    norm = (attn.q_norm, attn.k_norm, torch.nn.Identity())[part]
    if isinstance(norm, torch.nn.Identity):
        return out
    return norm(out.to(attn.qkv.weight.dtype)).float()  # its weights are in the stream's precision


def _mlp(mlp: Any, x: Tensor) -> Tensor:
    """Run a block's MLP; of the usual one, hold the hidden layer once, not before and after GELU."""
    from timm.layers import Mlp

    usual = is_bare(mlp, Mlp) and is_bare(mlp.act, torch.nn.GELU)
    if not usual or mlp.training or not isinstance(mlp.norm, torch.nn.Identity):
        return mlp(x)
    return linear(mlp.fc2, linear_gelu(mlp.fc1, x, mlp.act.approximate))


def _self_attention(attn: Any, x: Tensor, silent: int | None) -> Tensor:
    """Run self-attention on normalised tokens [B,N,D], the projection included."""
    qkv = linear(attn.qkv, x).unflatten(-1, (3, attn.num_heads, attn.head_dim))
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    q, k = attn.q_norm(q), attn.k_norm(k)
    out = attn.norm(self_attention(q, k, v).transpose(1, 2).flatten(2))
    if silent is not None:
        out = out.clone()
        out[..., silent * attn.head_dim : (silent + 1) * attn.head_dim] = 0
    return linear(attn.proj, out)
