"""Take the forward of a ViT apart: embedding, one block, attention rows of some queries.

Written out so that nothing has to be hooked, positions are interpolated as the originals do, and only
the asked rows of an N×N attention map ever exist. What differs from one kind of ViT to another is said
in `families`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dino.errors import UserError
from dino.model.families import (
    Bias,
    Branch,
    Places,
    attention_branches,
    head_dim,
    is_differential,
    is_side_by_side,
    mlp_branches,
    num_heads,
)
from dino.model.head_projections import (
    KEYS,
    QUERIES,
    VALUES,
    in_own_precision,
    norm_of,
    per_head,
    projection,
    repeated,
    turned,
    widths,
)
from dino.model.kernels import (
    SLICE_ENTRIES,
    is_bare,
    linear,
    linear_gelu,
    self_attention,
)
from dino.model.positions import interpolate_positions

# Query rows of a slice in `attention_slices`.
_CHUNK_ROWS = 128
# Tokens at most that go through an MLP together on a CPU. Every operation wakes the threads anew, so few
# and long ones are quicker: at 3,601 tokens in bfloat16 with AMX 1,024 took 1.1 times as long.
_MLP_ROWS = 4096


def embed(
    model: Any,
    images: Tensor,
    grid: tuple[int, int],
    dtype: torch.dtype,
    *,
    positions: str = "dino",
) -> Tensor:
    """Embed images [B,3,H,W]: tokens [B, prefix + N, D] with their positions, in `dtype`.

    Args:
        positions: how learned positions are taken to another grid: "dino" as DINO and DINOv2 do, or
            "timm" as timm does.
    """
    if hasattr(model, "embeds"):  # NaFlexVit, which takes any grid by itself
        x, _ = model.embeds(images.float())
        return model.norm_pre(x).to(dtype)
    x = _patches(model.patch_embed, images, grid, dtype)
    tokens = (getattr(model, name, None) for name in ("cls_token", "dist_token", "reg_token"))
    prefix = [token.expand(len(x), -1, -1) for token in tokens if token is not None]
    norm_pre = getattr(model, "norm_pre", nn.Identity())
    if getattr(model, "pos_embed", None) is None:
        return norm_pre(torch.cat([*prefix, x], dim=1))
    skips_prefix = getattr(model, "no_embed_class", False)
    learned = _positions(model, grid, positions, 0 if skips_prefix else model.num_prefix_tokens)
    if skips_prefix:
        return norm_pre(torch.cat([*prefix, x + learned.to(dtype)], dim=1))
    return norm_pre(torch.cat([*prefix, x], dim=1) + learned.to(dtype))


def _patches(patch_embed: Any, images: Tensor, grid: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Project patches to tokens [B,N,D] in `dtype`."""
    from timm.layers import PatchEmbed

    if not isinstance(patch_embed, PatchEmbed):  # convolutions before the ViT
        x = patch_embed(images.float())
        return (x if x.ndim == 3 else x.flatten(1, 2)).to(dtype)
    patch = patch_embed.patch_size[0]
    # The patch convolution as a product: exact float32 everywhere (cuDNN would take TF32).
    flat = images.float().unflatten(2, (grid[0], patch)).unflatten(4, (grid[1], patch))
    flat = flat.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2).to(dtype)
    convolution = patch_embed.proj
    return patch_embed.norm(F.linear(flat, convolution.weight.flatten(1), convolution.bias))


def _positions(model: Any, grid: tuple[int, int], way: str, num_prefix: int) -> Tensor:
    """Take learned positions to a grid: [1, prefix + N, D] in float32."""
    trained = tuple(model.patch_embed.grid_size)
    if way == "timm":
        from timm.layers import resample_abs_pos_embed

        if grid == trained:
            return model.pos_embed.float()
        return resample_abs_pos_embed(
            model.pos_embed.float(),
            new_size=list(grid),
            old_size=list(trained),
            num_prefix_tokens=num_prefix,
        )
    return interpolate_positions(
        model.pos_embed,
        grid,
        trained=trained,
        num_class=num_prefix,
        antialias=model.num_reg_tokens > 0,
    )


def block(
    model: Any, index: int, x: Tensor, places: Places, *, silent: int | None = None
) -> Tensor:
    """Run one block on tokens [B,N,D]; the head `silent` adds nothing, as zeros enter the projection.

    Raises:
        UserError: `silent`, where heads cannot be silenced one by one.
    """
    part = model.blocks[index]
    if is_side_by_side(part):
        return x + part.drop_path(part.ls(_attention_and_mlp(part, part.in_norm(x), silent)))
    turns, bias = places.rotations(index), places.bias(index)
    outputs, first = [], 0
    for branch in attention_branches(part):
        heads = num_heads(branch.run)
        own = silent - first if silent is not None and first <= silent < first + heads else None
        y = branch.before(x).to(_dtype(branch.run.proj))
        outputs.append(branch.after(_self_attention(branch.run, y, turns, bias, own)))
        first += heads
    x = x + sum(outputs[1:], outputs[0])
    branches = mlp_branches(part)
    if x.device.type != "cpu" or len(branches) > 1 or torch.is_grad_enabled():
        return x + sum(
            (_mlp_branch(branch, x) for branch in branches[1:]), _mlp_branch(branches[0], x)
        )
    # Each token by itself: of many, the hidden layer, four times as wide, is never whole in memory.
    tokens = x.view(-1, x.shape[-1])
    for rows in tokens.tensor_split(max(-(-len(tokens) // _MLP_ROWS), 1)):
        rows.add_(_mlp_branch(branches[0], rows))
    return x


def lower_products(model: Any, dtype: torch.dtype) -> None:
    """Have a float32 model's blocks multiply in `dtype`.

    Embedding, norms, position biases and the sums between blocks stay float32: they cost little, and
    rounding them costs masks more than rounding the products does.
    """
    for part in model.blocks:
        if is_side_by_side(part):
            continue  # norms and products are one module; these few networks stay as they are
        for branch in attention_branches(part):
            for name, child in branch.run.named_children():
                if name != "rel_pos":
                    child.to(dtype)
            for name in ("q_bias", "k_bias", "v_bias"):
                bias = getattr(branch.run, name, None)
                if bias is not None:
                    bias.data = bias.data.to(dtype)
        for branch in mlp_branches(part):
            branch.run.to(dtype)


def last_block_cls(model: Any, x: Tensor) -> Tensor:
    """Run the last block of a plain ViT for the CLS token alone: [B,N,D] → [B,1,D].

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


def queries_keys_values(
    model: Any, index: int, x: Tensor, places: Places, *, turned: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Project every token to q, k, v of block `index`, as they meet in q·k/√d: float32 [B,A,N,d] each.

    Args:
        turned: with their rotation by position, where the network has one; off: what they are before it.
    """
    turns = places.rotations(index) if turned else None
    q, k, v = (_all_heads(model, index, x, part, turns) for part in (QUERIES, KEYS, VALUES))
    return q, k, v


def key_bias(model: Any, index: int) -> Tensor:
    """Read what block `index` adds to the key of every token alike, float32 [A,d].

    Attention does not depend on it: it moves all logits of a query by the same amount. It is 0 where
    there is none, or where keys are normalised after it.
    """
    shares = []
    for branch in attention_branches(model.blocks[index]):
        attn = branch.run
        weight, bias = projection(attn, KEYS)
        if bias is None or not isinstance(norm_of(attn, KEYS), nn.Identity):
            bias = weight.new_zeros(weight.shape[0])
        shares.append(repeated(attn, bias.float().reshape(-1, head_dim(attn)), dim=0))
    return torch.cat(shares)


def attention_logits(
    model: Any, index: int, x: Tensor, positions: Sequence[int], places: Places
) -> Tensor:
    """Compute q·k/√d, and the bias of a network that has one, of the tokens at `positions` with all.

    Args:
        x: [B,N,D], what enters the block.
    Returns:
        [B,Q,A,N] float32; this step is float32 whatever the precision of the stream.
    """
    return next(_logit_slices(model, index, x, [list(positions)], places))


def attention_slices(
    model: Any, index: int, x: Tensor, positions: Sequence[int], places: Places
) -> Iterator[tuple[list[int], Tensor]]:
    """Give softmax(q·k/√d) of many tokens over all, some at a time: (positions, rows [B,C,A,N])."""
    chunks = [
        list(positions[start : start + _CHUNK_ROWS])
        for start in range(0, len(positions), _CHUNK_ROWS)
    ]
    for chunk, logits in zip(chunks, _logit_slices(model, index, x, chunks, places), strict=True):
        yield chunk, logits.softmax(dim=-1)


def mean_attention(model: Any, index: int, x: Tensor, places: Places) -> tuple[Tensor, Tensor]:
    """Average the rows of all patches, some at a time: softmax and q·k/√d, each [B,A,N]."""
    patches = range(places.num_prefix, x.shape[1])
    chunks = [
        list(patches[start : start + _CHUNK_ROWS]) for start in range(0, len(patches), _CHUNK_ROWS)
    ]
    weights = logits = torch.zeros(())
    for rows in _logit_slices(model, index, x, chunks, places):
        weights = weights + rows.softmax(dim=-1).sum(dim=1)
        logits = logits + rows.sum(dim=1)
    return weights / len(patches), logits / len(patches)


def split_prefix(values: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Split values [..., P+N] of all tokens into the prefix's [..., P] and the patches' [..., h, w]."""
    num_prefix = values.shape[-1] - grid[0] * grid[1]
    return values[..., :num_prefix], values[..., num_prefix:].unflatten(-1, grid)


def _logit_slices(
    model: Any, index: int, x: Tensor, chunks: list[list[int]], places: Places
) -> Iterator[Tensor]:
    """Compute the logits of tokens chunk by chunk, [B,C,A,N] float32; keys are made once."""
    turns, bias = places.rotations(index), places.bias(index)
    made = []
    for branch in attention_branches(model.blocks[index]):
        y = branch.before(x.float())
        made.append((branch.run, y, per_head(branch.run, y, KEYS, turns).transpose(-2, -1)))
    for chunk in chunks:
        own_turns = None if turns is None else turns[..., chunk, :]
        logits = torch.cat(
            [
                (per_head(attn, y[:, chunk], QUERIES, own_turns) * attn.scale) @ keys
                for attn, y, keys in made
            ],
            dim=1,
        )
        if bias is not None:
            logits = logits + bias.rows(chunk)
        yield logits.transpose(1, 2)


def _all_heads(model: Any, index: int, x: Tensor, part: int, turns: Tensor | None) -> Tensor:
    """Project all tokens to the queries, keys or values of all heads of a block, float32 [B,A,N,d]."""
    return torch.cat(
        [
            per_head(branch.run, branch.before(x.float()), part, turns)
            for branch in attention_branches(model.blocks[index])
        ],
        dim=1,
    )


def _self_attention(
    attn: Any, x: Tensor, turns: Tensor | None, bias: Bias | None, silent: int | None
) -> Tensor:
    """Run self-attention on normalised tokens [B,N,D], the projection included."""
    q, k, v = in_own_precision(attn, x)
    q, k = norm_of(attn, QUERIES)(q), norm_of(attn, KEYS)(k)
    if turns is not None:
        q, k = turned(attn, q, turns), turned(attn, k, turns)
    k, v = repeated(attn, k, dim=1), repeated(attn, v, dim=1)
    if is_differential(attn):
        mixed = _differential(attn, q, k, v, silent)
    elif bias is None:
        mixed = self_attention(q, k, v).transpose(1, 2).flatten(2)
    else:
        mixed = _biased_attention(q, k, v, bias).transpose(1, 2).flatten(2)
    out = getattr(attn, "norm", nn.Identity())(mixed)
    if getattr(attn, "gate", None) is not None:
        out = out * attn.gate(x).sigmoid()
    if silent is not None:
        out = out.clone()
        out[..., silent * head_dim(attn) : (silent + 1) * head_dim(attn)] = 0
    return linear(attn.proj, out)


def _biased_attention(q: Tensor, k: Tensor, v: Tensor, bias: Bias) -> Tensor:
    """Attend with a bias on the logits, some query rows at a time, so that it is never whole in memory."""
    tokens = k.shape[2]
    step = max(SLICE_ENTRIES // (tokens * q.shape[1]), 1)
    return torch.cat(
        [
            F.scaled_dot_product_attention(
                q[:, :, start : start + step],
                k,
                v,
                attn_mask=bias.rows(range(start, min(start + step, tokens))).to(q.dtype)[None],
            )
            for start in range(0, tokens, step)
        ],
        dim=2,
    )


def _differential(attn: Any, q: Tensor, k: Tensor, v: Tensor, silent: int | None) -> Tensor:
    """Subtract the second attention of each pair of heads from the first: [B,N,D], before the projection.

    Source: Ye et al. 2024, "Differential Transformer", section 2.1; timm's `DiffAttention`.
    """
    if silent is not None:
        raise UserError(
            "heads of differential attention cannot be switched off one by one, since two of them are "
            "subtracted from each other; choose another network"
        )
    first, second = (
        F.scaled_dot_product_attention(q[:, pair::2], k[:, pair::2], v) for pair in (0, 1)
    )
    mixed = attn.sub_norm(first - attn._compute_lambda().type_as(q) * second)
    return (mixed * (1 - attn.lambda_init)).transpose(1, 2).flatten(2)


def _attention_and_mlp(part: Any, y: Tensor, silent: int | None) -> Tensor:
    """Run attention and MLP of a block that reads normalised tokens for both by one projection."""
    hidden, *projected = part.in_proj(y).split(part.in_split, dim=-1)
    if part.mlp_bias is not None:
        hidden = hidden + part.mlp_bias
    q, k, v = (
        x.unflatten(-1, (-1, width)).transpose(1, 2)
        for x, width in zip(projected, widths(part), strict=True)
    )
    q, k = part.q_norm(q), part.k_norm(k)
    if is_differential(part):
        attended = _differential(part, q, k, v, silent)
    else:
        attended = self_attention(q, k, v).transpose(1, 2).flatten(2)
        if silent is not None:
            attended = attended.clone()
            attended[..., silent * part.head_dim : (silent + 1) * part.head_dim] = 0
    hidden = part.mlp_act(hidden)
    if part.out_proj is not None:
        return part.out_proj(torch.cat([attended, hidden], dim=-1))
    return part.attn_out_proj(attended) + part.mlp_out_proj(hidden)


def _mlp_branch(branch: Branch, x: Tensor) -> Tensor:
    return branch.after(_mlp(branch.run, branch.before(x).to(_dtype(branch.run))))


def _mlp(mlp: Any, x: Tensor) -> Tensor:
    """Run a block's MLP; of the usual one, hold the hidden layer once, not before and after GELU."""
    from timm.layers import Mlp

    usual = is_bare(mlp, Mlp) and is_bare(mlp.act, torch.nn.GELU)
    if not usual or mlp.training or not isinstance(mlp.norm, nn.Identity):
        return mlp(x)
    return linear(mlp.fc2, linear_gelu(mlp.fc1, x, mlp.act.approximate))


def _dtype(module: Any) -> torch.dtype:
    """Read the precision of a module's products."""
    return next(module.parameters()).dtype
