"""Say what a network seems to be that none of the layouts fits, by names of its keys."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FEATURES = (
    "it has no attention of this kind, but features, k-means and correspondence work with "
    "arch= (--arch), its timm name"
)
_SEEMS = (
    (r"^embeds\.proj\.weight", "a NaFlexViT of timm",
     "pass its timm name as arch= (--arch), such as naflexvit_base_patch16_gap"),
    (r"_flat_param$|\.flat_param", "one rank of a sharded FSDP checkpoint",
     "save it again with a full state dict"),
    (r"(layers|stages)\.\d+\.blocks\.\d+\.attn\..*bias_table|downsample\.reduction",
     "a Swin Transformer", f"{_FEATURES}, such as swin_tiny_patch4_window7_224"),
    (r"stages\.\d+\.(blocks\.)?\d+\.(conv_dw|dwconv|depthwise_conv)\.|downsample_layers\.0\.0\.weight",
     "a ConvNeXt", f"{_FEATURES}, such as convnext_tiny"),
    (r"mlp_tokens\.fc1|token_mix", "an MLP-Mixer", f"{_FEATURES}, such as mixer_b16_224"),
    (r"conv_stem\.weight|_conv_stem", "an EfficientNet or MobileNet",
     f"{_FEATURES}, such as efficientnet_b0"),
    (r"layer1\.0\.conv1\.weight", "a ResNet", f"{_FEATURES}, such as resnet18"),
    (r"features\.0\.weight|features\.\d+\.\d+\.", "a network of torchvision",
     f"{_FEATURES}, if timm has the same network"),
    (r"image_encoder\.|rel_pos_h$", "the image encoder of Segment Anything",
     "its windowed attention is not drawn here"),
    (r"word_embeddings\.weight|embed_tokens\.weight|token_embedding\.weight", "a language model",
     "give the image tower alone"),
    (r"down_blocks\.0\.|input_blocks\.0\.", "a diffusion network",
     "it is no backbone of images"),
    (r"(backbone\.body\.|model\.\d+\.conv\.weight)", "a detector",
     "give the state dict of its backbone"),
)  # fmt: skip


def seems(names: Iterable[str]) -> str | None:
    """Say what the network seems to be and what helps; None where nothing is recognised."""
    keys = list(names)
    for pattern, what, remedy in _SEEMS:
        found = next((key for key in keys if re.search(pattern, key)), None)
        if found is not None:
            return f"this seems to be {what} ({found!r}); {remedy}"
    return None
