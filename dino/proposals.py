"""A mask for a photo by settings that can be kept, repeated and told: what the app, the queue of
photos to annotate and `segment` all start from."""

from dataclasses import dataclass

import numpy as np

from dino import explore, export
from dino.backbone import Backbone
from dino.masks import DEFAULT_MASS, Mask


@dataclass(frozen=True)
class MaskSettings:
    """How a mask is made: `size` the longer side in px, `mass` the share of attention kept, `heads`
    that take part (None: all), `combine` "mean" or "union" of them."""

    size: int = 480
    mass: float = DEFAULT_MASS
    heads: tuple[int, ...] | None = None
    combine: str = "mean"


def propose(backbone: Backbone, rgb: np.ndarray, settings: MaskSettings) -> Mask:
    """The mask of a photo, uint8 [H,W,3], at the photo's size.

    Raises:
        UserError: a setting out of range, a photo too large for this machine, or a network without
            attention.
    """
    attention = explore.attend(backbone, rgb, size=settings.size)
    return export.photo_mask(
        attention, settings.mass, heads=settings.heads, combine=settings.combine
    )
