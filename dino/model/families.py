"""Say how each kind of ViT that timm builds places its tokens, and what its blocks consist of.

    family = family_of(model)                   # None where there is no self-attention over patches
    family.prefix                               # ("cls", "register:0", …), what stands before the patches
    places = family.places(model, (30, 40))     # rotations and biases of the attention on a grid
    attention_branches(model.blocks[0])         # what is normalised, attends, and is added

A kind of network is described here once; `forward` reads every one of them by these descriptions.
Sources: timm's vision_transformer, deit, eva, beit, vision_transformer_relpos and naflexvit, whose
own forwards the tests compare with.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Grid = tuple[int, int]


@dataclass(frozen=True)
class Branch:
    """One of the parts whose outputs a block adds up: `after(run(before(x)))`.

    `before` is the norm of a block that normalises first, `after` its scale, or the norm of a block that
    normalises last, with stochastic depth while training; `run` is an attention or an MLP.
    """

    before: Callable[[Tensor], Tensor]
    run: Any
    after: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Bias:
    """A relative position bias, added to q·k/√d: `table` [(2h−1)·(2w−1) (+3), A] by offset of two patches.

    The three further rows are of a CLS token to the patches, of the patches to it, and of it to itself.
    """

    table: Tensor
    grid: Grid
    num_prefix: int

    def rows(self, positions: Sequence[int]) -> Tensor:
        """Give what is added for the tokens at `positions` as queries: [A, Q, P+N]."""
        device = self.table.device
        height, width = self.grid
        queries = torch.as_tensor(list(positions), device=device) - self.num_prefix
        patches = torch.arange(height * width, device=device)
        down = queries.div(width, rounding_mode="floor")[:, None] - patches // width + height - 1
        across = (queries % width)[:, None] - patches % width + width - 1
        index = down * (2 * width - 1) + across
        if not self.num_prefix:
            return self.table[index].permute(2, 0, 1)
        first = (2 * height - 1) * (2 * width - 1)
        index = torch.where(queries[:, None] < 0, first, index)
        to_cls = torch.where(queries < 0, first + 2, first + 1)[:, None]
        return self.table[torch.cat([to_cls, index], dim=1)].permute(2, 0, 1)


@dataclass(frozen=True)
class Places:
    """What the attention of a network on one grid gets to know of where tokens stand.

    `rotations(i)` gives sines and cosines [P+N, 2d] or [A, P+N, 2d] that turn q and k of block i, and
    `bias(i)` what is added to its logits; None where there is no such thing.
    """

    grid: Grid
    num_prefix: int
    rotations: Callable[[int], Tensor | None]
    bias: Callable[[int], Bias | None]


@dataclass(frozen=True)
class Family:
    """How one kind of ViT is read.

    `prefix` names the tokens before the patches, `patch_size` is in px. `trained` is the grid of the
    learned positions, None where there are none.
    """

    prefix: tuple[str, ...]
    patch_size: int
    trained: Grid | None
    num_heads: int
    original_positions: bool  # whether DINO's and DINOv2's way of interpolating can be meant

    def places(self, model: Any, grid: Grid) -> Places:
        """Prepare rotations and biases for a grid (h, w)."""
        num_prefix = len(self.prefix)
        return Places(
            grid=grid,
            num_prefix=num_prefix,
            rotations=lambda index: _rotations(model, index, grid, num_prefix),
            bias=lambda index: _bias(model, index, grid, num_prefix),
        )


def family_of(model: Any) -> Family | None:
    """Describe a timm model, or None where it is no ViT whose self-attention can be read.

    Every block must be one that is known part by part, with as many heads as the others.
    """
    from timm.models.beit import Beit
    from timm.models.eva import Eva
    from timm.models.naflexvit import NaFlexVit
    from timm.models.vision_transformer import VisionTransformer
    from timm.models.vision_transformer_relpos import VisionTransformerRelPos

    known = (VisionTransformer, Eva, Beit, VisionTransformerRelPos, NaFlexVit)
    if not isinstance(model, known) or not len(model.blocks):
        return None
    heads = {sum(num_heads(b.run) for b in _attentions_or_none(part)) for part in model.blocks}
    patch = patch_size_of(model)
    if len(heads) != 1 or 0 in heads or patch is None:
        return None
    prefix = _prefix_names(model)
    if len(prefix) != model.num_prefix_tokens:
        return None
    return Family(
        prefix=prefix,
        patch_size=patch,
        trained=_trained_grid(model),
        num_heads=heads.pop(),
        original_positions=_is_original(model),
    )


def _is_original(model: Any) -> bool:
    """Tell whether a model is of the kind DINO and DINOv2 are: plain blocks and attention, learned
    positions, a CLS token, no norm before the blocks."""
    from timm.layers import Attention, PatchEmbed
    from timm.models.vision_transformer import Block, VisionTransformer

    return (
        isinstance(model, VisionTransformer)
        and type(model.patch_embed) is PatchEmbed
        and model.pos_embed is not None
        and model.cls_token is not None
        and not hasattr(model, "dist_token")
        and isinstance(model.norm_pre, nn.Identity)
        and all(type(part) is Block and type(part.attn) is Attention for part in model.blocks)
        and all(part.attn.gate is None for part in model.blocks)
    )


def patch_size_of(model: Any) -> int | None:
    """Find the side of a patch in px; None where patches are not square."""
    embed = getattr(model, "patch_embed", None) or model.embeds
    ratio = embed.feat_ratio(as_scalar=False) if hasattr(embed, "feat_ratio") else embed.patch_size
    height, width = ratio if isinstance(ratio, tuple | list) else (ratio, ratio)
    return int(height) if height == width else None


def _trained_grid(model: Any) -> Grid | None:
    if hasattr(model, "embeds"):
        return getattr(model.embeds, "pos_embed_grid_size", None)
    return tuple(model.patch_embed.grid_size)


def _prefix_names(model: Any) -> tuple[str, ...]:
    """Name the tokens before the patches in order: CLS, distillation, registers."""
    holder = getattr(model, "embeds", model)
    named = (("cls", "cls_token"), ("dist", "dist_token"))
    names = [name for name, token in named if getattr(holder, token, None) is not None]
    registers = getattr(holder, "reg_token", None)
    count = 0 if registers is None else registers.shape[1]
    return (*names, *(f"register:{number}" for number in range(count)))


def attention_branches(part: Any) -> list[Branch]:
    """List the attentions of a block that stand beside each other, one in most networks."""
    from timm.models.vision_transformer import ParallelThingsBlock

    if is_side_by_side(part):
        return [Branch(part.in_norm, part, nn.Identity())]
    if isinstance(part, ParallelThingsBlock):
        return [Branch(a.norm, a.attn, _in_turn(a.ls, a.drop_path)) for a in part.attns]
    return [_branch(part, part.attn, number=1)]


def mlp_branches(part: Any) -> list[Branch]:
    """List the MLPs of a block that stand beside each other, after its attentions."""
    from timm.models.vision_transformer import ParallelThingsBlock

    if isinstance(part, ParallelThingsBlock):
        return [Branch(f.norm, f.mlp, _in_turn(f.ls, f.drop_path)) for f in part.ffns]
    return [_branch(part, part.mlp, number=2)]


def is_side_by_side(part: Any) -> bool:
    """Tell whether attention and MLP of a block read the same tokens, by one projection."""
    from timm.models.vision_transformer import DiffParallelScalingBlock, ParallelScalingBlock

    return isinstance(part, ParallelScalingBlock | DiffParallelScalingBlock)


def is_differential(attn: Any) -> bool:
    """Tell whether heads come in pairs whose attention is subtracted (Ye et al. 2024)."""
    return hasattr(attn, "lambda_init")


def num_heads(attn: Any) -> int:
    """Count the maps that an attention computes; a differential head computes two."""
    return int(attn.num_heads) * (2 if is_differential(attn) else 1)


def head_dim(attn: Any) -> int:
    """Measure the width d of a head's queries and keys."""
    width = getattr(attn, "head_dim", None)
    return int(width if width is not None else attn.qkv.weight.shape[0] // 3 // attn.num_heads)


def _branch(part: Any, run: Any, *, number: int) -> Branch:
    norm, drop = getattr(part, f"norm{number}"), getattr(part, f"drop_path{number}")
    if type(part).__name__ in _NORM_LAST:
        return Branch(nn.Identity(), run, _in_turn(norm, drop))
    scale = getattr(part, f"gamma_{number}", None)
    if scale is not None:
        return Branch(norm, run, _in_turn(lambda x: scale * x, drop))
    return Branch(norm, run, _in_turn(getattr(part, f"ls{number}", drop), drop))


def _in_turn(
    first: Callable[[Tensor], Tensor], then: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    if first is then or isinstance(then, nn.Identity):
        return first
    return lambda x: then(first(x))


_NORM_LAST = frozenset({"ResPostBlock", "EvaBlockPostNorm", "ResPostRelPosBlock"})


def _attentions_or_none(part: Any) -> list[Branch]:
    """List a block's attentions, or nothing where block or attention are of an unknown kind."""
    from timm.layers import Attention, AttentionRope, DiffAttention
    from timm.models import beit, eva, vision_transformer, vision_transformer_relpos

    blocks = (
        vision_transformer.Block,
        vision_transformer.ResPostBlock,
        vision_transformer.ParallelThingsBlock,
        vision_transformer.ParallelScalingBlock,
        vision_transformer.DiffParallelScalingBlock,
        eva.EvaBlock,
        eva.EvaBlockPostNorm,
        beit.Block,
        vision_transformer_relpos.RelPosBlock,
        vision_transformer_relpos.ResPostRelPosBlock,
    )
    attentions = (
        Attention,
        AttentionRope,
        DiffAttention,
        eva.EvaAttention,
        beit.Attention,
        vision_transformer_relpos.RelPosAttention,
        *blocks,
    )
    if type(part) not in blocks:
        return []
    found = attention_branches(part)
    return found if all(type(branch.run) in attentions for branch in found) else []


def _rotations(model: Any, index: int, grid: Grid, num_prefix: int) -> Tensor | None:
    """Give sines and cosines of block `index`, with those of prefix tokens, which are not turned."""
    rope = getattr(model, "rope", None)
    if rope is None:
        return None
    if hasattr(rope, "freqs"):  # learned ones of every block: only one block's are worked out
        from timm.layers.pos_embed_sincos import get_mixed_freqs, get_mixed_grid

        rows, columns = get_mixed_grid(
            list(grid), grid_indexing=rope.grid_indexing, device=rope.freqs.device
        )
        turned = get_mixed_freqs(rope.freqs[:, index], rows, columns)
    else:
        turned = _on_grid(rope, grid).get_embed(shape=grid)
    turned = turned.float()
    still = turned.new_zeros(*turned.shape[:-2], num_prefix, turned.shape[-1])
    still[..., turned.shape[-1] // 2 :] = 1
    return torch.cat([still, turned], dim=-2)


def _on_grid(rope: Any, grid: Grid) -> Any:
    """Give a rotary embedding for another grid; the model's own may keep one grid's values."""
    kept = getattr(rope, "feat_shape", None)
    if kept is None or tuple(kept) == grid:
        return rope
    rope = copy.deepcopy(rope)
    rope.update_feat_shape(list(grid))
    return rope


def _bias(model: Any, index: int, grid: Grid, num_prefix: int) -> Bias | None:
    """Add up the relative position biases of block `index` on a grid: its own, and the network's."""
    attn = getattr(model.blocks[index], "attn", None)
    own = getattr(attn, "rel_pos", None)
    if own is None and getattr(attn, "relative_position_bias_table", None) is not None:
        own = attn
    shared = getattr(model, "rel_pos_bias", None) or getattr(model, "shared_rel_pos", None)
    tables = [_bias_table(holder, grid) for holder in (own, shared) if holder is not None]
    if not tables:
        return None
    return Bias(torch.stack(tables).sum(dim=0), grid, num_prefix)


def _bias_table(holder: Any, grid: Grid) -> Tensor:
    """Work out a table of biases for a grid, as timm resizes it, in float32 [(2h−1)·(2w−1) (+3), A]."""
    if tuple(holder.window_size) != grid:
        holder = copy.deepcopy(holder)
        holder.set_window_size(grid)
    if hasattr(holder, "relative_position_bias_table"):
        return holder.relative_position_bias_table.float()
    table = holder.bias_act(holder.mlp(holder.rel_coords_log)).flatten(0, 1)
    if holder.bias_gain is not None:
        table = table * holder.bias_gain
    # timm pads with zeros for a CLS token
    padding = table.new_zeros(3 if holder.prefix_tokens else 0, table.shape[1])
    return torch.cat([table, padding]).float()
