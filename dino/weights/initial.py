"""Draw weights as they are before any training: what a random network sees, to compare with.

Source: the recipe of Caron et al. 2021 and the defaults of facebookresearch/dino: truncated normal
with std 0.02, cut at ±2, for linear layers, CLS token and position embedding; zero biases; LayerNorm
1 and 0; the patch convolution keeps PyTorch's default.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dino.weights.zoo import ZooEntry

if TYPE_CHECKING:
    from torch import Tensor

_WIDTHS = {"tiny": 192, "small": 384, "base": 768}
_DEPTH = 12
_IMAGE_SIZE_PX = 224


def initial_tensors(entry: ZooEntry, *, seed: int = 0) -> dict[str, Tensor]:
    """Draw the canonical tensors of an untrained ViT, the same for the same seed; the global generator
    stays as it is.

    Args:
        entry: zoo entry of origin "random"; its `arch` gives the width, its `patch_size` the grid.
    """
    import torch

    assert entry.origin == "random"
    width, patch = _WIDTHS[entry.arch.split("_")[1]], entry.patch_size
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        # The cut at ±2 is 100 standard deviations out, so clamping draws the same distribution,
        # ten times faster than torch's trunc_normal_.
        return torch.empty(*shape).normal_(0, 0.02, generator=generator).clamp_(-2, 2)

    # PyTorch's default for a convolution: weight and bias uniform within 1/√(inputs)
    bound = 1 / math.sqrt(3 * patch * patch)

    def uniform(*shape: int) -> Tensor:
        return torch.empty(*shape).uniform_(-bound, bound, generator=generator)

    tensors = {
        "cls_token": normal(1, 1, width),
        "pos_embed": normal(1, 1 + (_IMAGE_SIZE_PX // patch) ** 2, width),
        "patch_embed.proj.weight": uniform(width, 3, patch, patch),
        "patch_embed.proj.bias": uniform(width),
    }
    layers = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
    for block in range(_DEPTH):
        for norm in ("norm1", "norm2"):
            tensors[f"blocks.{block}.{norm}.weight"] = torch.ones(width)
            tensors[f"blocks.{block}.{norm}.bias"] = torch.zeros(width)
        for layer, (rows, columns) in layers.items():
            name = f"blocks.{block}.{layer}"
            tensors[f"{name}.weight"] = normal(rows * width, columns * width)
            tensors[f"{name}.bias"] = torch.zeros(rows * width)
    return tensors | {"norm.weight": torch.ones(width), "norm.bias": torch.zeros(width)}
