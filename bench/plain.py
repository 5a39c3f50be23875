"""The method written plainly from the paper's equations: what the fast code is compared with.

Attention maps of all tokens in every block, one log-softmax a pair of views, parameter-by-parameter
clipping, teacher update and host reads, PIL crops; float32. DINO Explorer uses nothing of this.
"""

import copy
import math
import random
from typing import Any

import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F


class PlainAttention(nn.Module):
    """softmax(q·kᵀ/√d)·v with the whole N×N map in memory, around a timm `Attention`'s weights."""

    def __init__(self, fused: nn.Module) -> None:
        super().__init__()
        self.qkv, self.proj, self.num_heads = fused.qkv, fused.proj, fused.num_heads

    def forward(self, x: Tensor, **_: object) -> Tensor:
        batch, length, dim = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(dim // self.num_heads)).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, length, dim))


class PlainPrototypes(nn.Module):
    """A head's last layer with its weights normalised by torch's `weight_norm`, as the original has it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.weight_g, self.weight_v = layer.weight_g, layer.weight_v

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, torch._weight_norm(self.weight_v, self.weight_g, 0))


def whole_maps(model: nn.Module) -> nn.Module:
    """Copy a timm ViT, with blocks that all hold their N×N maps."""
    plain = copy.deepcopy(model).float()
    for block in plain.blocks:
        block.attn = PlainAttention(block.attn)
    return plain


@torch.no_grad()
def last_maps(model: nn.Module, images: Tensor) -> Tensor:
    """Compute the last block's CLS row [B,A,N] of images [B,3,H,W] out of its whole map, patches only."""
    x = model.norm_pre(model._pos_embed(model.patch_embed(images)))
    for block in model.blocks[:-1]:
        x = block(x)
    last = model.blocks[-1]
    attn, y = last.attn, last.norm1(x)
    batch, length, dim = y.shape
    qkv = attn.qkv(y).reshape(batch, length, 3, attn.num_heads, dim // attn.num_heads)
    q, k, _ = qkv.permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1)
    return weights[:, :, 0, 1:]


def forward(network: nn.Module, crops: list[Tensor]) -> Tensor:
    """Compute the logits of all crops; whole blocks to the end, CLS taken last."""
    features = []
    for size in sorted({crop.shape[-1] for crop in crops}, reverse=True):
        batch = torch.cat([crop for crop in crops if crop.shape[-1] == size])
        features.append(network.backbone.forward_features(batch)[:, 0])
    return network.head(torch.cat(features))


def step(
    student,
    teacher,
    optimizer,
    crops: list[Tensor],
    *,
    center: Tensor,
    momentum: float,
    scaler: Any = None,
) -> float:
    """Take one step by Algorithm 1, written as the equations read, and give its loss.

    With a gradient `scaler` in fp16 under autocast on the crops' device, as on a GPU.
    """
    with torch.autocast(crops[0].device.type, dtype=torch.float16, enabled=scaler is not None):
        loss, teacher_out = _loss(student, teacher, crops, center)
    if not math.isfinite(loss.item()):
        raise ArithmeticError
    optimizer.zero_grad()
    if scaler is None:
        loss.backward()
    else:
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
    for parameter in student.parameters():
        if parameter.grad is not None:
            norm = parameter.grad.norm(2)
            scale = 3.0 / (norm.item() + 1e-6)
            if scale < 1:
                parameter.grad.mul_(scale)
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()
    with torch.no_grad():
        for ours, theirs in zip(teacher.parameters(), student.parameters(), strict=True):
            ours.mul_(momentum).add_((1 - momentum) * theirs)
        center.mul_(0.9).add_(teacher_out.float().mean(dim=0, keepdim=True) * 0.1)
    return loss.item()


def _loss(student, teacher, crops: list[Tensor], center: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean over pairs of views, and the teacher's logits."""
    num_views = len(crops)
    teacher_out = forward_no_grad(teacher, crops[:2])
    views = (forward(student, crops) / 0.1).chunk(num_views)
    targets = F.softmax((teacher_out - center) / 0.04, dim=-1).chunk(2)
    total, pairs = 0.0, 0
    for i, target in enumerate(targets):
        for j, view in enumerate(views):
            if i != j:
                total = total + (-target * F.log_softmax(view, dim=-1)).sum(dim=-1).mean()
                pairs += 1
    return total / pairs, teacher_out


@torch.no_grad()
def forward_no_grad(network: nn.Module, crops: list[Tensor]) -> Tensor:
    """Compute logits without a graph."""
    return forward(network, crops)


def crops_by_pil(
    picture: Image.Image, rng: random.Random, *, num_locals: int = 8
) -> list[Image.Image]:
    """Make the recipe's crops with PIL: 2 × 224 px and `num_locals` × 96 px."""
    views = [(224, (0.4, 1.0), 1.0, 0.0), (224, (0.4, 1.0), 0.1, 0.2)]
    views += [(96, (0.05, 0.4), 0.5, 0.0)] * num_locals
    return [_one_crop(picture, rng, view) for view in views]


def _one_crop(picture, rng, view: tuple) -> Image.Image:
    size, scale, blur, solarize = view
    width, height = picture.size
    for _ in range(10):
        area = width * height * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if w <= width and h <= height:
            break
    else:
        w = h = min(width, height)
    left, top = rng.randint(0, width - w), rng.randint(0, height - h)
    crop = picture.crop((left, top, left + w, top + h)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    if rng.random() < 0.5:
        crop = ImageOps.mirror(crop)
    if rng.random() < 0.8:
        crop = _jitter(crop, rng)
    if rng.random() < 0.2:
        crop = crop.convert("L").convert("RGB")
    if rng.random() < blur:
        crop = crop.filter(ImageFilter.GaussianBlur(rng.uniform(0.1, 2.0)))
    return ImageOps.solarize(crop, 128) if rng.random() < solarize else crop


def _jitter(crop: Image.Image, rng: random.Random) -> Image.Image:
    changes = [
        lambda c: ImageEnhance.Brightness(c).enhance(rng.uniform(0.6, 1.4)),
        lambda c: ImageEnhance.Contrast(c).enhance(rng.uniform(0.6, 1.4)),
        lambda c: ImageEnhance.Color(c).enhance(rng.uniform(0.8, 1.2)),
        lambda c: _hue(c, rng.uniform(-0.1, 0.1)),
    ]
    rng.shuffle(changes)
    for change in changes:
        crop = change(crop)
    return crop


def _hue(crop: Image.Image, shift: float) -> Image.Image:
    hue, saturation, value = crop.convert("HSV").split()
    hue = hue.point(lambda level: (level + round(shift * 255)) % 256)
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")
