"""The networks that are measured: random, since time does not depend on weights."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench import plain
from bench.flops import Shape
from dino.media.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from dino.model.backbone import Backbone, wrap

HEAD_DIM = 64


@dataclass(frozen=True)
class Networks:
    """One ViT as timm makes it (`timm`), with whole maps (`plain`), and as ours in each precision."""

    shape: Shape
    side: int
    timm: Any
    plain: Any
    ours: dict[str, Backbone]
    images: Tensor


def networks(patch: int, side: int, *, tiny: bool, precisions: tuple[str, ...]) -> Networks:
    """Make ViT-S (or a tiny one) of a patch, for one square image of `side` px (48 px if tiny)."""
    shape = Shape(dim=2 * HEAD_DIM, depth=2, patch=patch) if tiny else Shape(patch=patch)
    side = 48 if tiny else side
    made = vit(shape, side)
    ours = {precision: wrapped(vit(shape, side), precision) for precision in precisions}
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(1, 3, side, side, generator=generator)
    return Networks(shape, side, made, plain.whole_maps(made), ours, images)


def vit(shape: Shape, side: int) -> Any:
    """Make a timm ViT without a classifier, the same weights each time, positions made for `side` px."""
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    model = VisionTransformer(
        img_size=side, patch_size=shape.patch, embed_dim=shape.dim, depth=shape.depth,
        num_heads=shape.dim // HEAD_DIM, num_classes=0,
    )  # fmt: skip
    return model.eval().requires_grad_(False)


def wrapped(model: Any, precision: str) -> Backbone:
    """Wrap a timm ViT as DINO Explorer does, on the CPU."""
    return wrap(
        model, name="random", description="random weights", mean=IMAGENET_MEAN, std=IMAGENET_STD,
        device="cpu", precision=precision,
    )  # fmt: skip


def check_maps(found: Networks) -> float:
    """Find the largest difference of our float32 maps from the plain ones.

    Raises:
        ArithmeticError: more than 1e-5: what is timed is not the same.
    """
    ours = found.ours["fp32"].attention(found.images).weights[:, 0, 0].flatten(-2)
    apart = float((ours - plain.last_maps(found.plain, found.images)).abs().max())
    if apart > 1e-5:
        raise ArithmeticError(f"our maps differ from the plain ones by {apart:.1e}")
    return apart
