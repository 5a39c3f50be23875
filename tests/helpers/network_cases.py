"""Small networks of every kind of ViT, random, and the layouts of other projects written by hand from them."""

import re
from functools import partial
from typing import Any

import torch
from timm.models.beit import Beit
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

State = dict[str, Tensor]
WIDTH, HEADS, PATCH, SIDE = 128, 2, 8, 32


def randomised(model: nn.Module, seed: int = 0) -> Any:
    """Draw every parameter anew, each differing from what a new network has."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            scale = 0.12 if "weight" in name and parameter.ndim > 1 else 0.3
            base = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(base + scale * noise)
    return model.eval()


def vit(*, eps: float = 1e-6, seed: int = 0, kind: Any = VisionTransformer, **options: Any) -> Any:
    """Make a small plain ViT of timm."""
    settings = {"img_size": SIDE, "patch_size": PATCH, "embed_dim": WIDTH, "depth": 2}
    settings |= {"num_heads": HEADS, "num_classes": 0, "norm_layer": partial(nn.LayerNorm, eps=eps)}
    return randomised(kind(**settings | options), seed)


def distilled() -> Any:
    return vit(kind=VisionTransformerDistilled)


def dinov3(*, gated: bool = False, bias: bool = True, base: float = 100.0) -> Any:
    """Make a small DINOv3 of timm."""
    gate = {"swiglu_mlp": True, "swiglu_align_to": 8} if gated else {}
    return vit(
        kind=Eva,
        eps=1e-5,
        qkv_bias=bias,
        init_values=1e-5,
        rope_type="dinov3",
        rope_temperature=base,
        rope_rotate_half=True,
        use_rot_pos_emb=True,
        use_abs_pos_emb=False,
        num_reg_tokens=4,
        use_fc_norm=False,
        dynamic_img_size=True,
        **gate,
    )


def beit(*, shared: bool = False, fc_norm: bool = True, eps: float = 1e-6) -> Any:
    """Make a small BEiT of timm, with a table a block or one for all."""
    options = {"use_shared_rel_pos_bias": True} if shared else {"use_rel_pos_bias": True}
    return vit(
        kind=Beit, eps=eps, use_abs_pos_emb=False, init_values=0.1, use_fc_norm=fc_norm, **options
    )


def clip(**options: Any) -> Any:
    return vit(eps=1e-5, pre_norm=True, **options)


def siglip(**options: Any) -> Any:
    return vit(
        class_token=False, global_pool="avg", fc_norm=False, act_layer="gelu_tanh", **options
    )


def renamed(state: State, rules: list[tuple[str, str]]) -> State:
    """Rename every key by the first rule whose pattern matches the whole of it; every key must have one."""
    out: State = {}
    for name, value in state.items():
        new = next(
            (re.sub(f"^{old}$", new, name) for old, new in rules if re.match(f"^{old}$", name)),
            None,
        )
        assert new is not None, name
        out[new] = value.clone()
    return out


def split(state: State, whole: str, parts: tuple[str, ...]) -> State:
    """Take joined query, key and value apart: `whole` in a name becomes each of `parts`."""
    out: State = {}
    for name, value in state.items():
        if whole not in name:
            out[name] = value
            continue
        for part, piece in zip(parts, value.chunk(len(parts)), strict=True):
            out[name.replace(whole, part)] = piece.clone()
    return out


def torchvision_names(state: State) -> State:
    block, new = r"blocks\.(\d+)\.", r"encoder.layers.encoder_layer_\1."
    return renamed(
        state,
        [
            ("cls_token", "class_token"),
            ("pos_embed", "encoder.pos_embedding"),
            (r"patch_embed\.proj\.(.*)", r"conv_proj.\1"),
            (r"norm\.(.*)", r"encoder.ln.\1"),
            (block + r"norm(\d)\.(.*)", new + r"ln_\2.\3"),
            (block + r"attn\.qkv\.(.*)", new + r"self_attention.in_proj_\2"),
            (block + r"attn\.proj\.(.*)", new + r"self_attention.out_proj.\2"),
            (block + r"mlp\.fc1\.(.*)", new + r"mlp.0.\2"),
            (block + r"mlp\.fc2\.(.*)", new + r"mlp.3.\2"),
        ],
    )


def mmlab_names(state: State) -> State:
    block, new = r"blocks\.(\d+)\.", r"backbone.layers.\1."
    return renamed(
        state,
        [
            ("(cls_token|pos_embed)", r"backbone.\1"),
            (r"patch_embed\.proj\.(.*)", r"backbone.patch_embed.projection.\1"),
            (r"norm\.(.*)", r"backbone.ln1.\1"),
            (block + r"norm(\d)\.(.*)", new + r"ln\2.\3"),
            (block + r"(attn\..*)", new + r"\2"),
            (block + r"mlp\.fc1\.(.*)", new + r"ffn.layers.0.0.\2"),
            (block + r"mlp\.fc2\.(.*)", new + r"ffn.layers.1.\2"),
        ],
    )


def openai_names(state: State, prefix: str = "visual.", *, pooled: bool = False) -> State:
    block, new = r"blocks\.(\d+)\.", prefix + r"transformer.resblocks.\1."
    out = renamed(
        state,
        [
            ("cls_token", prefix + "class_embedding"),
            ("pos_embed", prefix + "positional_embedding"),
            (r"patch_embed\.proj\.(.*)", prefix + r"conv1.\1"),
            (r"norm_pre\.(.*)", prefix + r"ln_pre.\1"),
            (r"norm\.(.*)", prefix + r"ln_post.\1"),
            (block + r"norm(\d)\.(.*)", new + r"ln_\2.\3"),
            (block + r"attn\.qkv\.(.*)", new + r"attn.in_proj_\2"),
            (block + r"attn\.proj\.(.*)", new + r"attn.out_proj.\2"),
            (block + r"mlp\.fc1\.(.*)", new + r"mlp.c_fc.\2"),
            (block + r"mlp\.fc2\.(.*)", new + r"mlp.c_proj.\2"),
            *([(r"attn_pool\.(.*)", prefix + r"attn_pool.\1")] if pooled else []),
        ],
    )
    out |= {prefix + "attn_pool.probe": torch.ones(1)} if pooled else {}
    out[prefix + "class_embedding"] = out[prefix + "class_embedding"][0, 0]
    out[prefix + "positional_embedding"] = out[prefix + "positional_embedding"][0]
    out[prefix + "proj"] = torch.ones(WIDTH, 16)
    text = {"positional_embedding": torch.ones(77, 64), "text_projection": torch.ones(64, 16)}
    text |= {"token_embedding.weight": torch.ones(10, 64), "logit_scale": torch.tensor(4.6)}
    text |= {"transformer.resblocks.0.ln_1.weight": torch.ones(64), "ln_final.bias": torch.ones(64)}
    return out | text


def tower_names(state: State, prefix: str = "vision_model.") -> State:
    """Name a CLIP or SigLIP as transformers does."""
    block, new = r"blocks\.(\d+)\.", prefix + r"encoder.layers.\1."
    parts = tuple(f"self_attn.{p}_proj" for p in "qkv")
    out = renamed(
        split(state, "attn.qkv", parts),
        [
            ("cls_token", prefix + "embeddings.class_embedding"),
            ("pos_embed", prefix + "embeddings.position_embedding.weight"),
            (r"patch_embed\.proj\.(.*)", prefix + r"embeddings.patch_embedding.\1"),
            (r"norm_pre\.(.*)", prefix + r"pre_layrnorm.\1"),
            (r"norm\.(.*)", prefix + r"post_layernorm.\1"),
            (block + r"norm(\d)\.(.*)", new + r"layer_norm\2.\3"),
            (block + r"(self_attn\..*)", new + r"\2"),
            (block + r"attn\.proj\.(.*)", new + r"self_attn.out_proj.\2"),
            (block + r"(mlp\..*)", new + r"\2"),
        ],
    )
    for name in ("class_embedding", "position_embedding.weight"):
        whole = f"{prefix}embeddings.{name}"
        if whole in out:
            out[whole] = out[whole][0, 0] if name == "class_embedding" else out[whole][0]
    text = {"text_model.embeddings.token_embedding.weight": torch.ones(10, 64)}
    text |= {"text_model.encoder.layers.0.layer_norm1.weight": torch.ones(64)}
    return out | (text | {"logit_scale": torch.tensor(4.6)} if prefix else {})


def meta_dinov3_names(state: State, model: Any) -> State:
    """Name a DINOv3 as its own project does: joined biases with a mask, storage tokens, periods."""
    out: State = {
        "mask_token": torch.zeros(1, WIDTH),
        "rope_embed.periods": model.rope.periods.clone(),
    }
    swap = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
    swap |= {"fc1_g": "w1", "fc1_x": "w2"}
    gated = any("fc1_g" in name for name in state)
    for name, value in state.items():
        if name.endswith("v_bias"):
            continue
        new = name
        for old, other in swap.items():
            new = new.replace(old, other)
        if gated:
            new = new.replace("mlp.fc2", "mlp.w3")
        if name.endswith("q_bias"):
            base = name.removesuffix("q_bias")
            noise = torch.full_like(value, 0.7)  # what the mask takes away
            out[f"{base}qkv.bias"] = torch.cat([value, noise, state[f"{base}v_bias"]])
            ones = torch.ones_like(value)
            out[f"{base}qkv.bias_mask"] = torch.cat([ones, 0 * ones, ones])
        else:
            out[new] = value.clone()
    return out


def hugging_face_dinov3_names(state: State, layer: str = "layer.") -> State:
    gated = any("fc1_g" in name for name in state)
    block, new = r"blocks\.(\d+)\.", layer + r"\1."
    mlp = {"fc1_g": "gate_proj", "fc1_x": "up_proj", "fc1": "up_proj", "fc2": "down_proj"}
    parts = tuple(f"attention.{p}_proj" for p in "qkv")
    return renamed(
        split(state, "attn.qkv", parts),
        [
            ("cls_token", "embeddings.cls_token"),
            ("reg_token", "embeddings.register_tokens"),
            (r"patch_embed\.proj\.(.*)", r"embeddings.patch_embeddings.\1"),
            (r"(norm\..*)", r"\1"),
            (block + r"(attention\..*)", new + r"\2"),
            (block + r"attn\.q_bias", new + "attention.q_proj.bias"),
            (block + r"attn\.v_bias", new + "attention.v_proj.bias"),
            (block + r"attn\.proj\.(.*)", new + r"attention.o_proj.\2"),
            (block + r"gamma_(\d)", new + r"layer_scale\2.lambda1"),
            (block + r"(norm\d\..*)", new + r"\2"),
            *[
                (block + rf"mlp\.{old}\.(.*)", new + rf"mlp.{other}.\2")
                for old, other in mlp.items()
                if gated or "fc1_" not in old
            ],
        ],
    )


def hugging_face_beit_names(state: State, *, newest: bool = False) -> State:
    """Name a BEiT as transformers does, of version 4 or 5."""
    block = r"blocks\.(\d+)\."
    new = r"beit.layers.\1." if newest else r"beit.encoder.layer.\1."
    words = ("q_proj", "k_proj", "v_proj") if newest else ("query", "key", "value")
    inner = "attention." if newest else "attention.attention."
    table = "relative_position_bias.relative_position_bias_table"
    out = "o_proj" if newest else "output.dense"
    mlp = ("mlp.fc1", "mlp.fc2") if newest else ("intermediate.dense", "output.dense")
    shared = "shared_position_bias" if newest else "encoder.relative_position_bias"
    return renamed(
        split(state, "attn.qkv", tuple(inner + word for word in words)),
        [
            ("cls_token", "beit.embeddings.cls_token"),
            (r"patch_embed\.proj\.(.*)", r"beit.embeddings.patch_embeddings.projection.\1"),
            (r"fc_norm\.(.*)", r"beit.pooler.layernorm.\1"),
            (r"norm\.(.*)", r"beit.layernorm.\1"),
            (r"rel_pos_bias\.(.*)", rf"beit.{shared}.\1"),
            (block + r"(attention\..*)", new + r"\2"),
            (block + r"attn\.q_bias", new + inner + words[0] + ".bias"),
            (block + r"attn\.v_bias", new + inner + words[2] + ".bias"),
            (
                block + r"attn\.relative_position_bias_table",
                new + ("" if newest else "attention.attention.") + table,
            ),
            (block + r"attn\.proj\.(.*)", new + rf"attention.{out}.\2"),
            (block + r"gamma_(\d)", new + r"lambda_\2"),
            (block + r"norm1\.(.*)", new + r"layernorm_before.\2"),
            (block + r"norm2\.(.*)", new + r"layernorm_after.\2"),
            (block + r"mlp\.fc1\.(.*)", new + mlp[0] + r".\2"),
            (block + r"mlp\.fc2\.(.*)", new + mlp[1] + r".\2"),
        ],
    )


def hugging_face_5_names(state: State, prefix: str = "", *, gated: bool = False) -> State:
    """Name a ViT as transformers 5 does inside, the norms of DINOv2 too."""
    block, new = r"blocks\.(\d+)\.", prefix + r"layers.\1."
    return renamed(
        split(state, "attn.qkv", tuple(f"attention.{p}_proj" for p in "qkv")),
        [
            ("cls_token", prefix + "embeddings.cls_token"),
            ("dist_token", prefix + "embeddings.distillation_token"),
            ("pos_embed", prefix + "embeddings.position_embeddings"),
            (r"patch_embed\.proj\.(.*)", prefix + r"embeddings.patch_embeddings.projection.\1"),
            (r"norm\.(.*)", prefix + r"layernorm.\1"),
            (block + r"(attention\..*)", new + r"\2"),
            (block + r"attn\.proj\.(.*)", new + r"attention.o_proj.\2"),
            (block + r"norm1\.(.*)", new + (r"norm1.\2" if gated else r"layernorm_before.\2")),
            (block + r"norm2\.(.*)", new + (r"norm2.\2" if gated else r"layernorm_after.\2")),
            (block + r"mlp\.fc2\.(.*)", new + ("mlp.down_proj" if gated else "mlp.fc2") + r".\2"),
            (block + r"(mlp\..*|ls\d\.gamma)", new + r"\2"),
        ],
    )


def lora(state: State, rank: int = 4) -> tuple[State, State]:
    """Write a ViT with LoRA on its qkv as PEFT does; also give B·A of each layer, by its timm name."""
    generator = torch.Generator().manual_seed(3)
    out, changes = {}, {}
    for name, value in state.items():
        if "attn.qkv" not in name:
            out[f"base_model.model.{name}"] = value.clone()
            continue
        layer, part = name.rsplit(".", 1)
        out[f"base_model.model.{layer}.base_layer.{part}"] = value.clone()
        if part == "weight":
            a = torch.randn(rank, value.shape[1], generator=generator) * 0.1
            b = torch.randn(value.shape[0], rank, generator=generator) * 0.1
            out[f"base_model.model.{layer}.lora_A.default.weight"] = a
            out[f"base_model.model.{layer}.lora_B.default.weight"] = b
            changes[name] = b @ a
    return out, changes
