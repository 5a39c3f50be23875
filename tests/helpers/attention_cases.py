"""A small ViT whose norms and heads all matter, and its whole N×N attention the plain way."""

import torch
from timm.models.vision_transformer import VisionTransformer

from helpers import backbone_cases


def small_vit(**options) -> VisionTransformer:
    """Build three blocks of three heads on a 4×4 grid with two registers: 19 tokens."""
    special = {"depth": 3, "reg_tokens": 2, "no_embed_class": True, "init_values": 0.7}
    model = backbone_cases.small_vit(**{**special, **options}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def plain_states(model: VisionTransformer, images: torch.Tensor) -> list[torch.Tensor]:
    """Compute the tokens entering each block and leaving the last, by timm's own forward."""
    with torch.no_grad():
        x = model.norm_pre(model._pos_embed(model.patch_embed(images)))
        states = [x]
        for block in model.blocks:
            states.append(block(states[-1]))
    return states


def plain_projections(model: VisionTransformer, index: int, x: torch.Tensor) -> torch.Tensor:
    """Compute q, k and v of a block: [3,B,A,N,d]."""
    attn = model.blocks[index].attn
    batch, length, _ = x.shape
    with torch.no_grad():
        qkv = attn.qkv(model.blocks[index].norm1(x))
        q, k, v = qkv.reshape(batch, length, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
        return torch.stack([attn.q_norm(q), attn.k_norm(k), v])


def plain_logits(model: VisionTransformer, index: int, x: torch.Tensor) -> torch.Tensor:
    """Compute q·k/√d of all tokens with all: [B,A,N,N]."""
    q, k, _ = plain_projections(model, index, x)
    return q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
