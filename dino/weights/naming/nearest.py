"""Find the known layout whose names are most like those of a file, and say how to rename."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_TYPICAL = {
    "timm / original DINO ViT": (
        "cls_token",
        "pos_embed",
        "patch_embed.proj.weight",
        "blocks.0.norm1.weight",
        "blocks.0.attn.qkv.weight",
        "blocks.0.attn.proj.weight",
        "blocks.0.mlp.fc1.weight",
        "norm.weight",
    ),
    "Hugging Face ViT": (
        "embeddings.cls_token",
        "embeddings.position_embeddings",
        "embeddings.patch_embeddings.projection.weight",
        "encoder.layer.0.layernorm_before.weight",
        "encoder.layer.0.attention.attention.query.weight",
        "encoder.layer.0.attention.output.dense.weight",
        "encoder.layer.0.intermediate.dense.weight",
        "layernorm.weight",
    ),
    "torchvision ViT": (
        "class_token",
        "encoder.pos_embedding",
        "conv_proj.weight",
        "encoder.layers.encoder_layer_0.ln_1.weight",
        "encoder.layers.encoder_layer_0.self_attention.in_proj_weight",
        "encoder.layers.encoder_layer_0.mlp.0.weight",
        "encoder.ln.weight",
    ),
    "OpenAI CLIP image tower": (
        "class_embedding",
        "positional_embedding",
        "conv1.weight",
        "transformer.resblocks.0.ln_1.weight",
        "transformer.resblocks.0.attn.in_proj_weight",
        "transformer.resblocks.0.mlp.c_fc.weight",
        "ln_post.weight",
    ),
}
_ALIKE = 0.72  # below this two names are not the same thing spelt differently


def nearest_layout(names: Iterable[str]) -> str | None:
    """Name the layout most like a file's keys and up to three keys to rename; None where none is near."""
    keys = sorted({re.sub(r"\.\d+\.", ".0.", name) for name in names})
    best: tuple[float, str, list[tuple[str, str]]] = (0.0, "", [])
    for layout, typical in _TYPICAL.items():
        near = [max((_likeness(key, wanted), key, wanted) for key in keys) for wanted in typical]
        pairs = [(key, wanted) for likeness, key, wanted in near if likeness >= _ALIKE]
        total = sum(likeness for likeness, _, _ in near if likeness >= _ALIKE)
        if total > best[0]:
            best = (total, layout, pairs)
    _, layout, pairs = best
    if len(pairs) * 2 < len(_TYPICAL.get(layout, ())) or len(pairs) < 3:
        return None
    changes = ", ".join(f"{old!r} to {new!r}" for old, new in pairs if old != new)
    return f"the nearest known is {layout}: rename {changes}"


def _likeness(key: str, wanted: str) -> float:
    """Say how alike two names are, 0 to 1: as a whole, and in their last two parts."""
    key_end, wanted_end = (".".join(name.split(".")[-2:]) for name in (key, wanted))
    whole = difflib.SequenceMatcher(None, key, wanted).ratio()
    return (whole + difflib.SequenceMatcher(None, key_end, wanted_end).ratio()) / 2
