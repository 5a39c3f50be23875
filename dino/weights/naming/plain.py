"""Layouts whose networks are timm's VisionTransformer under other names.

Sources: the key names of facebookresearch/dino, dinov2 and dinov3, bytedance/ibot, torchvision,
mmpretrain and mmsegmentation, apple/ml-aim, and timm itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dino.weights.naming.rules import HEADS, Layout, move

if TYPE_CHECKING:
    from torch import Tensor

# timm's own names, and those that original projects use in place of one or another of them.
_ORIGINAL = (
    (r"(register_tokens|storage_tokens)$", "reg_token"),
    (r"blocks\.\d+\.(\d+)\.", r"blocks.\1."),  # training wrote blocks in chunks
    (r"^(blocks\.\d+)\.mlp\.w12\.", r"\1.mlp.fc1."),  # SwiGLU, gate first as in timm's packed one
    (r"^(blocks\.\d+)\.mlp\.w1\.", r"\1.mlp.fc1_g."),
    (r"^(blocks\.\d+)\.mlp\.w2\.", r"\1.mlp.fc1_x."),
    (r"^(blocks\.\d+)\.mlp\.w3\.", r"\1.mlp.fc2."),
    (r"^(blocks\.\d+)\.mlp\.ffn_ln\.", r"\1.mlp.norm."),
    (r"^(blocks\.\d+)\.attn\.inner_attn_ln\.", r"\1.attn.norm."),
)
TIMM = Layout(
    family="timm",
    words="timm / original DINO ViT",
    patches=("patch_embed.proj.weight",),
    anchors=("cls_token", "pos_embed", "blocks.0.norm1.weight"),
    rules=_ORIGINAL,
    dropped=HEADS + r"|.*relative_position_index$|rope\.freqs_(cos|sin)$|cls_pt_layers\.",
)

TORCHVISION = Layout(
    family="torchvision",
    words="torchvision ViT",
    patches=("conv_proj.weight",),
    anchors=("class_token", "encoder.pos_embedding"),
    rules=(
        (r"class_token$", "cls_token"),
        (r"conv_proj\.", "patch_embed.proj."),
        (r"encoder\.pos_embedding$", "pos_embed"),
        (r"encoder\.ln\.", "norm."),
        (r"encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
        (r"^(blocks\.\d+)\.ln_([12])\.", r"\1.norm\2."),
        (r"^(blocks\.\d+)\.self_attention\.in_proj_(weight|bias)$", r"\1.attn.qkv.\2"),
        (r"^(blocks\.\d+)\.self_attention\.out_proj\.", r"\1.attn.proj."),
        (r"^(blocks\.\d+)\.mlp\.(0|linear_1)\.", r"\1.mlp.fc1."),
        (r"^(blocks\.\d+)\.mlp\.(3|linear_2)\.", r"\1.mlp.fc2."),
    ),
    norm_eps=1e-6,
)


def _mmlab_shape(tensors: dict[str, Tensor], origin: dict[str, str]) -> None:
    """Tell the norm after pooling from the last norm, and LayerScale of BEiT from that of others."""
    if any("relative_position_bias_table" in name for name in tensors):
        for name in [name for name in tensors if name.endswith((".ls1.gamma", ".ls2.gamma"))]:
            gamma = name.replace(".ls1.gamma", ".gamma_1").replace(".ls2.gamma", ".gamma_2")
            move(tensors, origin, name, gamma)


MMLAB = Layout(
    family="mmlab",
    words="mmpretrain / mmsegmentation ViT",
    patches=("patch_embed.projection.weight",),
    anchors=("layers.0.ln1.weight", "layers.0.ffn.layers.0.0.weight"),
    rules=(
        (r"patch_embed\.projection\.", "patch_embed.proj."),
        (r"pre_norm\.", "norm_pre."),
        (r"ln1\.", "norm."),
        (r"ln2\.", "fc_norm."),
        (r"layers\.(\d+)\.", r"blocks.\1."),
        (r"^(blocks\.\d+)\.ln([12])\.", r"\1.norm\2."),
        (r"^(blocks\.\d+)\.attn\.attn\.in_proj_(weight|bias)$", r"\1.attn.qkv.\2"),
        (r"^(blocks\.\d+)\.attn\.attn\.out_proj\.", r"\1.attn.proj."),
        (r"^(blocks\.\d+)\.attn\.gamma1\.(weight|scale)$", r"\1.ls1.gamma"),
        (r"^(blocks\.\d+)\.ffn\.gamma2\.(weight|scale)$", r"\1.ls2.gamma"),
        (r"^(blocks\.\d+)\.ffn\.layers\.0\.0\.", r"\1.mlp.fc1."),
        (r"^(blocks\.\d+)\.ffn\.layers\.1\.", r"\1.mlp.fc2."),
        (r"^(blocks\.\d+)\.ffn\.w12\.", r"\1.mlp.fc1."),
        (r"^(blocks\.\d+)\.ffn\.w3\.", r"\1.mlp.fc2."),
    ),
    dropped=HEADS + r"|.*relative_position_index$",
    shape=_mmlab_shape,
    norm_eps=1e-6,
)

AIM = Layout(
    family="aim",
    words="AIMv2",
    patches=("preprocessor.patchifier.proj.weight",),
    rules=(
        (r"preprocessor\.patchifier\.", "patch_embed."),
        (r"preprocessor\.pos_embed$", "pos_embed"),
        (r"trunk\.post_trunk_norm\.", "norm."),
        (r"trunk\.", ""),
        (r"^(blocks\.\d+)\.norm_([12])\.", r"\1.norm\2."),
        (r"^(blocks\.\d+)\.mlp\.fc1\.", r"\1.mlp.fc1_g."),
        (r"^(blocks\.\d+)\.mlp\.fc3\.", r"\1.mlp.fc1_x."),
    ),
)
