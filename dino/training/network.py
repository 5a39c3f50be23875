"""Backbone and head as one trainable network, and the forward over crops of several sizes."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from dino.model.families import Family, family_of
from dino.model.forward import block, embed, last_block_cls


class Network(nn.Module):
    """What student and teacher both are: `backbone` (a timm model) and `head`.

    The parameter names are the original's: `backbone.*`, `head.*`.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, crops: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Forward crops, each [B,3,H,W], neighbours of one size together.

        Returns:
            Logits [len(crops) · B, K] and the backbone's features [len(crops) · B, D], crop by crop.
        """
        same_size = groupby(crops, key=lambda crop: crop.shape[-2:])
        features = [embed_images(self.backbone, torch.cat(list(group))) for _, group in same_size]
        joined = torch.cat(features)
        return self.head(joined), joined


def embed_images(backbone: Any, images: Tensor) -> Tensor:
    """Compute what is trained of a network, [B,D]: CLS after the last norm, the mean patch of a ViT that
    has no CLS token, pooled features of another network.

    Positions are interpolated as the original does, whatever the size of the crop; relative ones as timm
    does, whose table learns from crops of the trained size.
    """
    family = family_of(backbone)
    if family is None:
        return backbone(images)
    patch = family.patch_size
    grid = (images.shape[-2] // patch, images.shape[-1] // patch)
    if not family.original_positions:
        return _embed_by_parts(backbone, family, images, grid)
    x = embed(backbone, images, grid, backbone.cls_token.dtype)
    for part in backbone.blocks[:-1]:
        x = part(x)
    return backbone.norm(last_block_cls(backbone, x)[:, 0])


def _embed_by_parts(backbone: Any, family: Family, images: Tensor, grid: tuple[int, int]) -> Tensor:
    x = embed(backbone, images, grid, torch.float32, positions="timm")
    places = family.places(backbone, grid)
    for index in range(len(backbone.blocks)):
        x = block(backbone, index, x, places)
    x = backbone.norm(x)
    pooled = x[:, 0] if "cls" in family.prefix else x[:, len(family.prefix) :].mean(dim=1)
    return getattr(backbone, "fc_norm", nn.Identity())(pooled)


def prefer_plain_attention(network: nn.Module) -> None:
    """Let a ViT multiply its attention out instead of using the fused kernel.

    For bfloat16 on a CPU, whose fused kernel is the slower one forward and three times slower
    backward (measured at ViT-Ti/8, 64 px: 1.4 times the images a second of a whole step).
    """
    attentions: list[Any] = [m for m in network.modules() if hasattr(m, "fused_attn")]
    for attention in attentions:
        attention.fused_attn = False
