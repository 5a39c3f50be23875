"""Layouts of transformers: ViT, DeiT, MAE, MSN, I-JEPA, DINOv2, DINOv3 and BEiT, of versions 4 and 5."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dino.weights.naming.rules import HEADS, Layout, join, move

if TYPE_CHECKING:
    from torch import Tensor

_RULES = (
    (r"embeddings\.cls_token$", "cls_token"),
    (r"embeddings\.distillation_token$", "dist_token"),
    (r"embeddings\.position_embeddings$", "pos_embed"),
    (r"embeddings\.register_tokens$", "reg_token"),
    (r"embeddings\.patch_embeddings\.(projection\.)?", "patch_embed.proj."),
    (r"pooler\.layernorm\.", "fc_norm."),
    (r"(layernorm|norm)\.", "norm."),
    (r"(encoder|model)?\.?layers?\.(\d+)\.", r"blocks.\2."),
    (r"(encoder\.relative|shared)_position_bias\.", "rel_pos_bias."),
    (r"^(blocks\.\d+)\.attention\.attention\.relative_position_bias\.", r"\1.attn."),
    (r"^(blocks\.\d+)\.relative_position_bias\.", r"\1.attn."),
    (r"^(blocks\.\d+)\.attention\.attention\.(query|key|value)\.", r"\1.attn.\2."),
    (r"^(blocks\.\d+)\.attention\.q_proj\.", r"\1.attn.query."),
    (r"^(blocks\.\d+)\.attention\.k_proj\.", r"\1.attn.key."),
    (r"^(blocks\.\d+)\.attention\.v_proj\.", r"\1.attn.value."),
    (r"^(blocks\.\d+)\.attention\.(output\.dense|o_proj)\.", r"\1.attn.proj."),
    (r"^(blocks\.\d+)\.layernorm_before\.", r"\1.norm1."),
    (r"^(blocks\.\d+)\.layernorm_after\.", r"\1.norm2."),
    (r"^(blocks\.\d+)\.intermediate\.dense\.", r"\1.mlp.fc1."),
    (r"^(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"^(blocks\.\d+)\.layer_scale([12])\.lambda1$", r"\1.ls\2.gamma"),
    (r"^(blocks\.\d+)\.lambda_([12])$", r"\1.gamma_\2"),
    (r"^(blocks\.\d+)\.mlp\.weights_in\.", r"\1.mlp.fc1."),
    (r"^(blocks\.\d+)\.mlp\.weights_out\.", r"\1.mlp.fc2."),
)
_DROPPED = (
    r"(pooler\.dense|classifier|\w*head|decoder|projection_head|lm_head|neck|fpn)\.|"
    r"embeddings\.mask_token$|.*relative_position_index$"
)


def _join_parts(tensors: dict[str, Tensor], origin: dict[str, str]) -> None:
    """Stack query, key and value into timm's `attn.qkv`, and gate and up of DINOv2's SwiGLU."""
    join(tensors, origin, ("query", "key", "value"), "qkv")
    join(tensors, origin, ("gate_proj", "up_proj"), "fc1")
    for name in [name for name in tensors if ".mlp.down_proj." in name]:
        move(tensors, origin, name, name.replace("down_proj", "fc2"))


def _dinov3_parts(tensors: dict[str, Tensor], origin: dict[str, str]) -> None:
    """Name DINOv3's feed-forward parts as timm does, with a gate or without."""
    gated = any(".mlp.gate_proj." in name for name in tensors)
    new = {"gate_proj": "fc1_g", "up_proj": "fc1_x" if gated else "fc1", "down_proj": "fc2"}
    for name in [name for name in tensors if ".mlp." in name]:
        part = name.split(".mlp.")[1].split(".")[0]
        if part in new:
            move(tensors, origin, name, name.replace(f".mlp.{part}.", f".mlp.{new[part]}."))
    join(tensors, origin, ("query", "key", "value"), "qkv")


HUGGING_FACE = Layout(
    family="huggingface",
    words="Hugging Face ViT or Dinov2",
    patches=("embeddings.patch_embeddings.projection.weight",),
    anchors=("embeddings.cls_token", "embeddings.position_embeddings"),
    rules=_RULES,
    dropped=_DROPPED,
    shape=_join_parts,
)
HUGGING_FACE_DINOV3 = Layout(
    family="huggingface dinov3",
    words="Hugging Face DINOv3",
    patches=("embeddings.patch_embeddings.weight",),
    anchors=("embeddings.register_tokens",),
    rules=_RULES,
    dropped=HEADS + "|" + _DROPPED,
    shape=_dinov3_parts,
)
