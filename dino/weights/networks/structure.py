"""Write down a ViT of timm as plain values, and build it from them again.

    options = recipe(model)                # {"class": "Eva", "options": {"embed_dim": 384, …}}
    construct(options)                     # the same network, without its weights

A file that `saving.save_model` writes carries its recipe, so that nothing has to be guessed when it is
opened again. A recipe is only ever given out after the network built from it was compared with the one
it came from, module by module.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from dino.errors import WeightsError

if TYPE_CHECKING:
    from torch import nn

ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu", "silu", "relu")
_CLASSES = ("VisionTransformer", "VisionTransformerDistilled", "Eva", "Beit")
# Attributes that change nothing in what a network computes when it is not being trained.
_IDLE = frozenset(
    {
        *(
            "training",
            "fused_attn",
            "grad_checkpointing",
            "weight_init_mode",
            "fix_init",
            "init_values",
        ),
        *("head_init_scale", "distilled_training", "call_super_init", "dump_patches", "inplace"),
        *("num_classes", "drop_prob", "scale_by_keep", "p", "prob", "global_pool", "aug_active"),
        *("drop", "shift_coords", "jitter_coords", "rescale_coords", "in_place", "flatten"),
    }
)


def create(arch: str, **options: object) -> nn.Module:
    """Make timm's network of that name, without a classifier.

    Raises:
        WeightsError: timm has none of that name, with the nearest.
    """
    import timm

    if not timm.is_model(arch):
        near = difflib.get_close_matches(arch, timm.list_models(), n=1, cutoff=0.4)
        hint = f"; nearest: {near[0]}" if near else ""
        raise WeightsError(f"arch={arch!r} is not a model timm knows{hint}")
    model: nn.Module = timm.create_model(arch, pretrained=False, num_classes=0, **options)
    return model


def construct(recipe: Mapping[str, Any]) -> nn.Module:
    """Build the network of a recipe.

    Raises:
        WeightsError: not a recipe this version knows.
    """
    try:
        if "arch" in recipe:
            import timm

            return timm.create_model(
                str(recipe["arch"]), pretrained=False, num_classes=0, **dict(recipe["options"])
            )
        make = _classes()[recipe["class"]]
        return make(**_live(dict(recipe["options"])), num_classes=0)
    except (KeyError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise WeightsError(
            f"the file describes a network that this version does not know ({error}); save it again"
        ) from error


def recipe(model: nn.Module) -> dict[str, Any] | None:
    """Describe a network so that `construct` builds it again; None for one that cannot be described."""
    name = type(model).__name__
    readers: dict[str, Callable[[Any], dict[str, Any]]] = {
        "VisionTransformer": _vit_options,
        "VisionTransformerDistilled": _vit_options,
        "Eva": _eva_options,
        "Beit": _beit_options,
    }
    candidates: list[dict[str, Any]] = []
    if name in readers and type(model) is _classes()[name]:
        with suppress(AttributeError, TypeError, IndexError):  # parts of another kind inside
            candidates.append({"class": name, "options": readers[name](model)})
    own: Any = getattr(model, "pretrained_cfg", None)
    cfg = own.to_dict() if hasattr(own, "to_dict") else own  # an object in some versions of timm
    if isinstance(cfg, Mapping) and cfg.get("architecture"):
        sized = getattr(getattr(model, "patch_embed", None), "img_size", None)
        size = {"img_size": list(sized)} if sized else {}
        candidates += [{"arch": cfg["architecture"], "options": o} for o in (size, {})]
    return next((c for c in candidates if _builds(c, model)), None)


def signature(model: nn.Module) -> list[tuple[str, str, tuple[tuple[str, object], ...]]]:
    """List every module with its kind and its plain attributes: what a network computes, save weights."""
    import torch

    rows: list[tuple[str, str, tuple[tuple[str, object], ...]]] = []
    for name, module in model.named_modules():
        kind = type(module).__name__
        if kind in ("Dropout", "DropPath", "PatchDropout"):
            kind = "Identity"
        facts: list[tuple[str, object]] = [
            (key, str(value))
            for key, value in sorted(vars(module).items())
            if not key.startswith("_")
            and key not in _IDLE
            and isinstance(value, bool | int | float | str | tuple | list | torch.Size | None)
        ]
        rows.append((name, kind, tuple(facts) if kind != "Identity" else ()))
    return rows


def empty(make: Callable[[], nn.Module]) -> nn.Module:
    """Call `make` without allocating or drawing weights, where timm's version allows that."""
    import timm  # noqa: F401 (here, since torch 2.6 cannot be loaded further on the meta device)
    import torch

    try:
        with torch.device("meta"):
            return make()
    except (RuntimeError, NotImplementedError):  # older timm calls .item() while building
        return make()


def _builds(candidate: dict[str, Any], model: nn.Module) -> bool:
    """Tell whether a recipe builds this very network."""
    try:
        other = empty(lambda: construct(candidate))
    except WeightsError:
        return False
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    same = shapes == {name: value.shape for name, value in other.state_dict().items()}
    return same and signature(other) == signature(model)


def _classes() -> dict[str, Any]:
    from timm.models.beit import Beit
    from timm.models.deit import VisionTransformerDistilled
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    known = (VisionTransformer, VisionTransformerDistilled, Eva, Beit)
    return dict(zip(_CLASSES, known, strict=True))


def _live(options: dict[str, Any]) -> dict[str, Any]:
    """Turn names of parts into the parts."""
    from timm.layers import SwiGLU, SwiGLUPacked
    from timm.models.vision_transformer import ParallelScalingBlock, ParallelThingsBlock
    from torch import nn

    eps = float(options.pop("norm_eps", 1e-6))
    options["norm_layer"] = partial(nn.LayerNorm, eps=eps)
    mlp, act = options.pop("mlp", "plain"), options.pop("act", None)
    if mlp == "swiglu packed":
        options |= {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU}
    elif mlp == "swiglu":
        options |= {"mlp_layer": SwiGLU, "act_layer": nn.SiLU}
    elif act is not None:
        options["act_layer"] = activation(act)
    block = options.pop("block", None)
    if block is not None:
        kinds = {"parallel scaling": ParallelScalingBlock, "parallel things": ParallelThingsBlock}
        options["block_fn"] = kinds[block]
    return options


def activation(name: str) -> Any:
    """Find an activation by timm's name.

    Raises:
        WeightsError: one that no ViT here has.
    """
    from timm.layers import get_act_layer
    from torch import nn

    if name not in ACTIVATIONS:
        raise WeightsError(
            f"the activation {name!r} is not known here; expected one of {', '.join(ACTIVATIONS)}"
        )
    return nn.GELU if name == "gelu" else get_act_layer(name)


def exact_ratio(hidden: int, width: int) -> float:
    """Find the ratio of which timm's `int(width * ratio)` gives `hidden`."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else (hidden + 0.5) / width


def _act_name(act: nn.Module) -> str | None:
    kinds = {
        "GELU": "gelu",
        "GELUTanh": "gelu_tanh",
        "GELUTANH": "gelu_tanh",
        "QuickGELU": "quick_gelu",
        "SiLU": "silu",
        "ReLU": "relu",
    }
    return kinds.get(type(act).__name__)


def _vit_options(model: Any) -> dict[str, Any]:
    """Read the options of a plain ViT off it."""
    from torch import nn

    block = model.blocks[0]
    distilled = type(model).__name__ == "VisionTransformerDistilled"
    gated = {"SwiGLUPacked": "swiglu packed", "GluMlp": "swiglu packed", "SwiGLU": "swiglu"}
    mlp = gated.get(type(block.mlp).__name__, "plain")
    hidden = block.mlp.fc1.out_features if mlp != "swiglu" else block.mlp.fc1_g.out_features
    norm, fc_norm = (not isinstance(n, nn.Identity) for n in (model.norm, model.fc_norm))
    options = {
        "img_size": list(model.patch_embed.img_size),
        "patch_size": model.patch_embed.patch_size[0],
        "in_chans": model.patch_embed.proj.in_channels,
        "embed_dim": model.embed_dim,
        "depth": len(model.blocks),
        "num_heads": block.attn.num_heads,
        "mlp_ratio": exact_ratio(hidden, model.embed_dim),
        "qkv_bias": block.attn.qkv.bias is not None,
        "qk_norm": not isinstance(block.attn.q_norm, nn.Identity),
        "init_values": 1e-5 if hasattr(block.ls1, "gamma") else None,
        "pos_embed": "none" if model.pos_embed is None else "learn",
        "no_embed_class": model.no_embed_class,
        "reg_tokens": model.num_reg_tokens,
        "pre_norm": not isinstance(model.norm_pre, nn.Identity),
        "final_norm": norm or fc_norm,
        "fc_norm": fc_norm,
        "norm_eps": block.norm1.eps,
        "mlp": mlp,
        "act": None if mlp != "plain" else _act_name(block.mlp.act),
        "global_pool": model.global_pool,
        "dynamic_img_size": model.dynamic_img_size,
    }
    return options if distilled else options | {"class_token": model.cls_token is not None}


def _eva_options(model: Any) -> dict[str, Any]:
    """Read the options of an Eva off it."""
    from torch import nn

    block, rope = model.blocks[0], model.rope
    split = hasattr(block.mlp, "fc1_g")
    hidden = block.mlp.fc1_g.out_features if split else block.mlp.fc1.out_features
    packed = not split and hidden == 2 * block.mlp.fc2.in_features
    kinds = {"RotaryEmbeddingCat": "cat", "RotaryEmbeddingMixed": "mixed"}
    options = {
        "img_size": list(model.patch_embed.img_size),
        "patch_size": model.patch_embed.patch_size[0],
        "embed_dim": model.embed_dim,
        "depth": len(model.blocks),
        "num_heads": block.attn.num_heads,
        "mlp_ratio": exact_ratio(hidden // 2 if packed else hidden, model.embed_dim),
        "qkv_bias": getattr(block.attn, "q_bias", None) is not None
        or getattr(block.attn.q_proj, "bias", None) is not None,
        "qkv_fused": block.attn.qkv is not None,
        "qk_norm": not isinstance(block.attn.q_norm, nn.Identity),
        "init_values": None if block.gamma_1 is None else 1e-5,
        "swiglu_mlp": split or packed,
        "swiglu_align_to": 1 if split and isinstance(block.mlp.norm, nn.Identity) else 0,
        "scale_mlp": not isinstance(block.mlp.norm, nn.Identity),
        "scale_attn_inner": not isinstance(block.attn.norm, nn.Identity),
        "attn_type": "rope" if type(block.attn).__name__ == "AttentionRope" else "eva",
        "class_token": model.cls_token is not None,
        "num_reg_tokens": 0 if model.reg_token is None else model.reg_token.shape[1],
        "no_embed_class": model.no_embed_class,
        "use_abs_pos_emb": model.pos_embed is not None,
        "use_rot_pos_emb": rope is not None,
        "rope_rotate_half": bool(block.attn.rotate_half),
        "use_pre_transformer_norm": not isinstance(model.norm_pre, nn.Identity),
        "use_post_transformer_norm": not isinstance(model.norm, nn.Identity),
        "use_fc_norm": not isinstance(model.fc_norm, nn.Identity),
        "dynamic_img_size": model.dynamic_img_size,
        "norm_eps": block.norm1.eps,
        "global_pool": model.global_pool,
    }
    if rope is not None:
        reference = getattr(rope, "ref_feat_shape", None)
        options |= {
            "rope_type": kinds.get(type(rope).__name__, "dinov3"),
            "rope_temperature": rope.temperature,
            "rope_grid_offset": getattr(rope, "grid_offset", 0.0),
            "rope_grid_indexing": rope.grid_indexing,
            "ref_feat_shape": None if reference is None else list(reference),
        }
    return options


def _beit_options(model: Any) -> dict[str, Any]:
    """Read the options of a Beit off it."""
    from torch import nn

    block = model.blocks[0]
    return {
        "img_size": list(model.patch_embed.img_size),
        "patch_size": model.patch_embed.patch_size[0],
        "embed_dim": model.embed_dim,
        "depth": len(model.blocks),
        "num_heads": block.attn.num_heads,
        "qkv_bias": block.attn.q_bias is not None,
        "mlp_ratio": exact_ratio(block.mlp.fc1.out_features, model.embed_dim),
        "init_values": None if block.gamma_1 is None else 1e-5,
        "use_abs_pos_emb": model.pos_embed is not None,
        "use_rel_pos_bias": block.attn.relative_position_bias_table is not None,
        "use_shared_rel_pos_bias": model.rel_pos_bias is not None,
        "use_fc_norm": not isinstance(model.fc_norm, nn.Identity),
        "norm_eps": block.norm1.eps,
        "global_pool": model.global_pool,
    }
