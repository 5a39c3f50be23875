"""Small networks wrapped as backbones, and the one whose arrays are golden."""

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer

from dino.model.backbone import Backbone, wrap

ZEROS, ONES = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def wrapped(model: torch.nn.Module, precision: str = "fp32") -> Backbone:
    return wrap(
        model,
        name="small",
        description="a small network",
        mean=ZEROS,
        std=ONES,
        device="cpu",
        precision=precision,
    )


def small_vit(**options) -> VisionTransformer:
    torch.manual_seed(0)
    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}
    return VisionTransformer(**{**shape, "num_classes": 0, **options})


def golden_vit(arrays: dict[str, np.ndarray], precision: str = "fp32") -> Backbone:
    model = VisionTransformer(
        img_size=64, patch_size=8, embed_dim=48, depth=3, num_heads=3, num_classes=0
    )
    state = {k[6:]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith("state/")}
    model.load_state_dict(state, strict=True)
    return wrapped(model, precision)
