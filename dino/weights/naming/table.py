"""List every layout that is known, the most particular first."""

from __future__ import annotations

from dino.weights.naming.clip import HUGGING_FACE_TOWER, OPENAI
from dino.weights.naming.hugging_face import HUGGING_FACE, HUGGING_FACE_DINOV3
from dino.weights.naming.plain import AIM, MMLAB, TIMM, TORCHVISION
from dino.weights.naming.rules import Layout

XCIT = Layout(
    family="xcit",
    words="XCiT",
    patches=("patch_embed.proj.0.0.weight",),
    anchors=("cls_attn_blocks.0.norm1.weight", "cls_token"),
    dropped=r"head\.",
)
RESNET = Layout(
    family="resnet",
    words="ResNet-50",
    patches=("layer1.0.conv1.weight",),
    dropped=r"(fc|head)\.",
)
LAYOUTS = (
    XCIT,
    HUGGING_FACE,
    HUGGING_FACE_DINOV3,
    HUGGING_FACE_TOWER,
    OPENAI,
    RESNET,
    TORCHVISION,
    MMLAB,
    AIM,
    TIMM,
)
BY_FAMILY = {layout.family: layout for layout in LAYOUTS}
