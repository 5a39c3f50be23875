"""The same network before any learning: what an architecture alone sees, to compare with.

attention_jaccard(random_twin(backbone), data, size=280)
"""

import copy
from dataclasses import replace

import torch

from dino.model.backbone import Backbone
from dino.weights.initial import initial_values
from dino.weights.saving import digest


def random_twin(backbone: Backbone, *, seed: int = 0) -> Backbone:
    """Build a ViT of the same shape with the recipe's initial weights, the same for the same seed.

    Raises:
        UserError: not a ViT.
    """
    backbone.check_attention()
    module = copy.deepcopy(backbone.module)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if name.startswith("rope."):
            continue  # frequencies of a rotation, drawn by timm when it is made: positions, not knowledge
        values = initial_values(
            name, parameter.shape, patch_size=backbone.patch_size, generator=generator
        )
        parameter.data.copy_(values)
    return replace(
        backbone,
        module=module,
        name=f"{backbone.name}, random weights",
        description=f"the architecture of {backbone.name} with random weights, seed {seed}",
        weights_sha256=digest(module.state_dict()),
        is_random=True,
    )
