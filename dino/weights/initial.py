"""Draw weights as they are before any training, by the recipe of Caron et al. 2021 and facebookresearch/dino.

Normals of std 0.02, cut at ±2, for linear layers and learned tokens; zero biases; LayerNorm 1 and 0; the
patch convolution has PyTorch's default. Training starts from them, and untrained networks that trained ones
are compared with consist of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dino.weights.zoo import ZooEntry

if TYPE_CHECKING:
    from torch import Generator, Tensor

_WIDTHS = {"tiny": 192, "small": 384, "base": 768}
_DEPTH = 12
_IMAGE_SIZE_PX = 224
_STD = 0.02
# How much of each block a network with LayerScale lets through at the start. Source: DINOv2.
_LAYER_SCALE = 1e-5


def initial_values(
    name: str,
    shape: Sequence[int],
    *,
    patch_size: int,
    generator: Generator | None = None,
    normal: Callable[[Tensor, Generator | None], Tensor] | None = None,
) -> Tensor:
    """Draw a ViT's parameter before training, float32.

    Args:
        name, shape: of the parameter, as timm calls it.
        generator: None: torch's global one.
        normal: how the normals are drawn into a tensor; default: torch's `trunc_normal_`.
    """
    import torch

    values = torch.empty(*shape)
    if name.endswith((".gamma", ".gamma_1", ".gamma_2")):
        return values.fill_(_LAYER_SCALE)
    if "norm" in name:
        return values.fill_(float(name.endswith("weight")))
    if name.startswith("patch_embed.proj."):
        # PyTorch's default for a convolution: weight and bias uniform within 1/√(inputs)
        bound = 1 / math.sqrt(3 * patch_size**2)
        return values.uniform_(-bound, bound, generator=generator)
    if name.endswith("bias"):
        return values.zero_()
    if normal is not None:
        return normal(values, generator)
    return torch.nn.init.trunc_normal_(values, std=_STD, generator=generator)


def initial_tensors(entry: ZooEntry, *, seed: int = 0) -> dict[str, Tensor]:
    """Draw the canonical tensors of an untrained ViT, the same for the same seed; no global generator
    is used.

    Args:
        entry: zoo entry of origin "random"; its `arch` gives the width, its `patch_size` the grid.
    """
    import torch

    assert entry.origin == "random"
    width, patch = _WIDTHS[entry.arch.split("_")[1]], entry.patch_size
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + (_IMAGE_SIZE_PX // patch) ** 2, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
    }
    layers = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
    norms = [f"blocks.{block}.norm{number}" for block in range(_DEPTH) for number in (1, 2)]
    for name in (*norms, "norm"):
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    for block in range(_DEPTH):
        for layer, (rows, columns) in layers.items():
            name = f"blocks.{block}.{layer}"
            shapes[f"{name}.weight"] = (rows * width, columns * width)
            shapes[f"{name}.bias"] = (rows * width,)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: initial_values(
            name, shape, patch_size=patch, generator=generator, normal=_clamped_normal
        )
        for name, shape in shapes.items()
    }


def _clamped_normal(values: Tensor, generator: Generator | None) -> Tensor:
    """Draw the same distribution ten times faster: the cut at ±2 is 100 standard deviations out."""
    return values.normal_(0, _STD, generator=generator).clamp_(-2, 2)
