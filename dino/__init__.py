"""See what a self-supervised vision transformer sees.

    import dino
    backbone = dino.load("dino_vits16")
    image, geometry = dino.preprocess(dino.decode(open("photo.jpg", "rb").read()), size=480, patch_size=16)
    maps = backbone.attention(image).weights[0, 0, 0]      # [heads, h, w]
    mask = geometry.to_photo(dino.mass_mask(maps, 0.6)[0].numpy())

After Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers".
Names are imported on first use, so that `import dino` and the command line's help stay quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dino.backbone import AttentionMaps, Backbone, Tokens
    from dino.errors import UserError
    from dino.geometry import Geometry
    from dino.images import decode
    from dino.masks import Mask, attention_mask, jaccard, mass_mask
    from dino.objects import discover
    from dino.preprocessing import preprocess
    from dino.projections import Projection, pca_rgb, project
    from dino.training.loop import fit
    from dino.weights import load

_HOME = {
    "load": "dino.weights",
    "decode": "dino.images",
    "preprocess": "dino.preprocessing",
    "mass_mask": "dino.masks",
    "attention_mask": "dino.masks",
    "jaccard": "dino.masks",
    "Mask": "dino.masks",
    "discover": "dino.objects",
    "project": "dino.projections",
    "fit": "dino.training.loop",
    "pca_rgb": "dino.projections",
    "Projection": "dino.projections",
    "Backbone": "dino.backbone",
    "Tokens": "dino.backbone",
    "AttentionMaps": "dino.backbone",
    "Geometry": "dino.geometry",
    "UserError": "dino.errors",
}

__all__ = [
    "AttentionMaps",
    "Backbone",
    "Geometry",
    "Mask",
    "Projection",
    "Tokens",
    "UserError",
    "attention_mask",
    "decode",
    "discover",
    "fit",
    "jaccard",
    "load",
    "mass_mask",
    "pca_rgb",
    "preprocess",
    "project",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dino' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
