"""The same network before any learning: what an architecture alone sees, to compare with.

attention_jaccard(random_twin(backbone), data, size=280)
"""

import copy
import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from dino.errors import UserError
from dino.model.backbone import Backbone
from dino.weights.saving import digest

# How much of each block a network with LayerScale lets through at the start. Source: DINOv2.
_LAYER_SCALE = 1e-5


def random_twin(backbone: Backbone, *, seed: int = 0) -> Backbone:
    """Build a ViT of the same shape with the recipe's initial weights, the same for the same seed.

    Raises:
        UserError: not a plain ViT.
    Source: the defaults of facebookresearch/dino: normals of std 0.02 for linear layers and learned
        tokens, zero biases, LayerNorm 1 and 0, PyTorch's default for the patch convolution.
    """
    if not backbone.has_attention:
        raise UserError(
            f"{backbone.name} has no self-attention of a CLS token over patches; choose a ViT"
        )
    module = copy.deepcopy(backbone.module)
    generator = torch.Generator().manual_seed(seed)
    bound = 1 / math.sqrt(3 * backbone.patch_size**2)
    for name, parameter in module.named_parameters():
        parameter.data.copy_(_initial(name, parameter.shape, bound=bound, generator=generator))
    return replace(
        backbone,
        module=module,
        name=f"{backbone.name}, random weights",
        description=f"the architecture of {backbone.name} with random weights, seed {seed}",
        weights_sha256=digest(module.state_dict()),
        is_random=True,
    )


def _initial(name: str, shape: torch.Size, *, bound: float, generator: torch.Generator) -> Tensor:
    """Draw a timm ViT's parameter as before training, float32; `bound` of the patch convolution."""
    values = torch.empty(shape)
    if name.endswith(".gamma"):
        return values.fill_(_LAYER_SCALE)
    if "norm" in name:
        return values.fill_(float(name.endswith("weight")))
    if name.startswith("patch_embed.proj."):
        return values.uniform_(-bound, bound, generator=generator)
    if name.endswith("bias"):
        return values.zero_()
    return nn.init.trunc_normal_(values, std=0.02, generator=generator)
