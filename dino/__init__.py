"""See what a self-supervised vision transformer sees.

    import dino
    backbone = dino.load("dino_vits16")
    image, geometry = dino.preprocess(dino.decode(open("photo.jpg", "rb").read()), size=480, patch_size=16)
    maps = backbone.attention(image).weights[0, 0, 0]      # [heads, h, w]
    mask = geometry.to_photo(dino.mass_mask(maps, 0.6)[0].numpy())

After Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers".
Names are imported on first use, so that `import dino` and the command line's help stay quick.
"""

from typing import TYPE_CHECKING

from dino.system.faces import lazy_names

if TYPE_CHECKING:
    from dino.attention.mass import attention_mask, mass_mask
    from dino.attention.pixels import attention_map
    from dino.errors import UserError
    from dino.features.notebook import show
    from dino.features.pixels import pca_map
    from dino.features.projections import Projection, pca_rgb, project
    from dino.masks.discovery.keys import discover
    from dino.masks.settings import Mask
    from dino.media.geometry import Geometry
    from dino.media.images import decode
    from dino.media.preprocessing import preprocess
    from dino.media.regions import jaccard
    from dino.model.backbone import AttentionMaps, Backbone, Tokens
    from dino.training.loop import fit
    from dino.weights import load

_HOME = {
    "load": "dino.weights",
    "decode": "dino.media.images",
    "preprocess": "dino.media.preprocessing",
    "mass_mask": "dino.attention.mass",
    "attention_mask": "dino.attention.mass",
    "attention_map": "dino.attention.pixels",
    "jaccard": "dino.media.regions",
    "Mask": "dino.masks.settings",
    "discover": "dino.masks.discovery.keys",
    "project": "dino.features.projections",
    "fit": "dino.training.loop",
    "show": "dino.features.notebook",
    "pca_map": "dino.features.pixels",
    "pca_rgb": "dino.features.projections",
    "Projection": "dino.features.projections",
    "Backbone": "dino.model.backbone",
    "Tokens": "dino.model.backbone",
    "AttentionMaps": "dino.model.backbone",
    "Geometry": "dino.media.geometry",
    "UserError": "dino.errors",
}

# Modules that scripts reach through the package; where they lie is the house's affair.
_MODULES = {"layers": "dino.attention.layers", "tracking": "dino.video.tracking"}

__all__ = [
    "AttentionMaps",
    "Backbone",
    "Geometry",
    "Mask",
    "Projection",
    "Tokens",
    "UserError",
    "attention_map",
    "attention_mask",
    "decode",
    "discover",
    "fit",
    "jaccard",
    "load",
    "mass_mask",
    "pca_map",
    "pca_rgb",
    "preprocess",
    "project",
    "show",
]


__getattr__, __dir__ = lazy_names(__name__, _HOME, _MODULES)
