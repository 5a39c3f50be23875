"""Sort parameters: which train, how fast, and with weight decay or without."""

import re
from typing import Any

from torch import nn

from dino.errors import UserError

_BLOCK = re.compile(r"backbone\.blocks\.(\d+)\.")


def parameter_groups(
    network: nn.Module, *, layer_decay: float = 1.0, head_scale: float = 1.0
) -> list[dict[str, Any]]:
    """Sort parameters into groups for the optimizer: by rate, and decayed or not.

    Biases and 1-D parameters have no weight decay; CLS token and position embedding have, as in the
    original.

    Args:
        layer_decay: a block's learning rate over that of the block after it.
        head_scale: the head's learning rate over the last block's.
    Returns:
        Groups with `params`, `decayed` and `lr_scale` (times the schedule's rate).
    """
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    depth = _depth(network)
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        inside = not name.startswith("head.")
        scale = layer_decay ** (depth - _layer(name, depth)) if inside else head_scale
        decayed = parameter.ndim > 1
        group = groups.setdefault(
            (scale, decayed), {"params": [], "decayed": decayed, "lr_scale": scale}
        )
        group["params"].append(parameter)
        if not decayed:
            group["weight_decay"] = 0.0
    return list(groups.values())


def freeze_blocks(backbone: Any, train_blocks: int) -> None:
    """Leave only the last `train_blocks` blocks of a ViT, and its last norm, to train.

    Raises:
        UserError: a network without blocks, or with fewer.
    """
    blocks = getattr(backbone, "blocks", None)
    if blocks is None or train_blocks > len(blocks):
        has = "no blocks" if blocks is None else f"{len(blocks)} blocks"
        raise UserError(f"train_blocks is {train_blocks} and the network has {has}; choose fewer")
    backbone.requires_grad_(False)
    for part in (*blocks[len(blocks) - train_blocks :], backbone.norm):
        part.requires_grad_(True)


def _depth(network: nn.Module) -> int:
    """Find the number of the last block, counting from 1; what follows it has its rate."""
    numbers = [int(m[1]) for name, _ in network.named_parameters() if (m := _BLOCK.match(name))]
    return max(numbers, default=0) + 1


def _layer(name: str, depth: int) -> int:
    """Number a parameter's block from 1; 0 is what comes before the blocks, the last norm as the last."""
    if found := _BLOCK.match(name):
        return int(found[1]) + 1
    tokens = ("cls_token", "dist_token", "reg_token", "patch_embed", "embeds", "norm_pre")
    positions = ("pos_embed", "rope", "rel_pos_bias", "shared_rel_pos")
    before = (*tokens, *positions)
    return 0 if name.removeprefix("backbone.").startswith(before) else depth
