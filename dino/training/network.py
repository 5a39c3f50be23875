"""Backbone and head as one trainable network, and the forward over crops of several sizes."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from dino.model.forward import embed, is_plain, last_block_cls


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
    """Compute the CLS token after the last norm of a ViT, pooled features of another network: [B,D].

    A ViT's positions are interpolated as the original does, whatever the size of the crop.
    """
    if not is_plain(backbone):
        return backbone(images)
    patch = backbone.patch_embed.patch_size[0]
    grid = (images.shape[-2] // patch, images.shape[-1] // patch)
    x = embed(backbone, images, grid, backbone.cls_token.dtype)
    for block in backbone.blocks[:-1]:
        x = block(x)
    return backbone.norm(last_block_cls(backbone, x)[:, 0])


def prefer_plain_attention(network: nn.Module) -> None:
    """Let a ViT multiply its attention out instead of using the fused kernel.

    For bfloat16 on a CPU, whose fused kernel is the slower one forward and three times slower
    backward (measured at ViT-Ti/8, 64 px: 1.4 times the images a second of a whole step).
    """
    attentions: list[Any] = [m for m in network.modules() if hasattr(m, "fused_attn")]
    for attention in attentions:
        attention.fused_attn = False
