"""Layouts of CLIP and SigLIP image towers: OpenAI's and open_clip's, and transformers'.

The text tower beside them is left out by its names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dino.errors import WeightsError
from dino.weights.naming.rules import HEADS, Layout, join

if TYPE_CHECKING:
    from torch import Tensor

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def _batched(tensors: dict[str, Tensor]) -> None:
    """Give token and positions the batch axis that timm has; they are written without one."""
    for name in ("cls_token", "pos_embed"):
        if name in tensors and tensors[name].ndim < 3:
            tensors[name] = tensors[name].reshape(1, -1, tensors[name].shape[-1])


def _refuse_perception_encoder(names: Iterable[str]) -> None:
    """Refuse a Perception Encoder, which has CLIP's names.

    Raises:
        WeightsError: it is one.
    """
    known = set(names)
    if "attn_pool.probe" in known or not known & {"proj", "ln_post.weight"}:
        raise WeightsError(
            "these look like a Perception Encoder, whose rotary positions the tensors do not show; "
            "pass arch= (--arch) with its timm name, such as vit_pe_core_base_patch16_224"
        )


def _openai_shape(tensors: dict[str, Tensor], origin: dict[str, str]) -> None:
    _batched(tensors)
    tensors.pop("proj", None)


OPENAI = Layout(
    family="clip",
    words="OpenAI CLIP / open_clip image tower",
    patches=("class_embedding",),
    also="conv1.weight",
    anchors=("class_embedding", "ln_pre.weight", "ln_post.weight"),
    rules=(
        (r"class_embedding$", "cls_token"),
        (r"positional_embedding$", "pos_embed"),
        (r"conv1\.", "patch_embed.proj."),
        (r"ln_pre\.", "norm_pre."),
        (r"ln_post\.", "norm."),
        (r"transformer\.resblocks\.(\d+)\.", r"blocks.\1."),
        (r"^(blocks\.\d+)\.attn\.in_proj_(weight|bias)$", r"\1.attn.qkv.\2"),
        (r"^(blocks\.\d+)\.attn\.out_proj\.", r"\1.attn.proj."),
        (r"^(blocks\.\d+)\.ln_([12])\.", r"\1.norm\2."),
        (r"^(blocks\.\d+)\.ls_([12])\.gamma$", r"\1.ls\2.gamma"),
        (r"^(blocks\.\d+)\.mlp\.c_fc\.", r"\1.mlp.fc1."),
        (r"^(blocks\.\d+)\.mlp\.c_proj\.", r"\1.mlp.fc2."),
    ),
    dropped=r"(head|attn_pool)\.",
    check=_refuse_perception_encoder,
    beside=(
        r"(transformer|token_embedding|ln_final|text|text_decoder)\.|"
        r"(positional_embedding|text_projection|logit_scale|logit_bias|attn_mask|"
        r"input_resolution|context_length|vocab_size)$"
    ),
    shape=_openai_shape,
    norm_eps=1e-5,
    act="quick_gelu",
    assumed_act=(
        "The activation is not recorded; quick_gelu, as in OpenAI's own CLIP, is assumed; of an "
        "open_clip network with plain gelu pass arch= with its timm name, such as "
        "vit_base_patch32_clip_224."
    ),
    mean=CLIP_MEAN,
    std=CLIP_STD,
)


def _tower_shape(tensors: dict[str, Tensor], origin: dict[str, str]) -> None:
    """Bring positions, the class token and SigLIP 2's linear patch embedding to timm's form."""
    _batched(tensors)
    join(tensors, origin, ("q_proj", "k_proj", "v_proj"), "qkv")
    projection = tensors.get("patch_embed.proj.weight")
    if projection is not None and projection.ndim == 2:  # rows of (height, width, channel)
        side = round((projection.shape[1] / 3) ** 0.5)
        if 3 * side * side == projection.shape[1]:
            conv = projection.reshape(-1, side, side, 3).permute(0, 3, 1, 2)
            tensors["patch_embed.proj.weight"] = conv.contiguous()


HUGGING_FACE_TOWER = Layout(
    family="huggingface clip",
    words="Hugging Face CLIP or SigLIP image tower",
    patches=("embeddings.patch_embedding.weight",),
    anchors=("embeddings.position_embedding.weight", "encoder.layers.0.self_attn.q_proj.weight"),
    rules=(
        (r"embeddings\.class_embedding$", "cls_token"),
        (r"embeddings\.position_embedding\.weight$", "pos_embed"),
        (r"embeddings\.patch_embedding\.", "patch_embed.proj."),
        (r"pre_layr?norm\.", "norm_pre."),
        (r"post_layernorm\.", "norm."),
        (r"encoder\.layers\.(\d+)\.", r"blocks.\1."),
        (r"^(blocks\.\d+)\.layer_norm([12])\.", r"\1.norm\2."),
        (r"^(blocks\.\d+)\.self_attn\.out_proj\.", r"\1.attn.proj."),
        (r"^(blocks\.\d+)\.self_attn\.", r"\1.attn."),
    ),
    dropped=HEADS + r"|embeddings\.position_ids$",
    beside=r"(text_model|text_projection|visual_projection|logit_scale|logit_bias)",
    shape=_tower_shape,
)
