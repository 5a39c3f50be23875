"""What the Masks page draws from: how masks are made, of what, and how they are shown."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.cache import masks as cached_masks
from app.cache import pictures
from app.state.selection import Choice
from app.views.masks import controls
from dino.attention.photo import PhotoAttention
from dino.masks import proposals
from dino.masks.discovery.methods import Discovery
from dino.masks.settings import Mask, MaskSettings
from dino.media import draw
from dino.media.draw import objects_outline, objects_overlay
from dino.model.backbone import Backbone

VIEWS = ("overlay", "outline", "cut-out")


@dataclass(frozen=True)
class Scene:
    """What a mask is drawn from: the page's choice, how masks are made, and how they are shown.

    `labels` [h,w] the cluster of each patch for k-means; `found` the objects where some are sought.
    """

    choice: Choice
    backbone: Backbone
    attention: PhotoAttention
    settings: MaskSettings
    labels: np.ndarray | None
    found: Discovery | None
    view: str = VIEWS[0]

    @property
    def heads(self) -> tuple[int, ...]:
        """Return the chosen heads."""
        assert self.settings.heads is not None
        return self.settings.heads

    @cached_property
    def grid_masks(self) -> np.ndarray:
        """Find the patches of each object, or those the chosen heads keep, bool [n,h,w], before clean-up
        and refinement."""
        if self.found is not None:
            return self.found.masks
        return proposals.patch_mask(self.attention, self.settings, labels=self.labels)[None]

    @cached_property
    def grid_mask(self) -> np.ndarray:
        """Join all of these, bool [h,w]."""
        return np.logical_or.reduce(self.grid_masks, axis=0)

    @cached_property
    def compared_masks(self) -> np.ndarray:
        """Make the masks of patches to compare, bool [n,h,w]: of each object, or of each head by itself."""
        if self.found is not None:
            return self.found.masks
        return proposals.patch_masks(self.attention.heads, self.settings, labels=self.labels)

    @property
    def is_patches(self) -> bool:
        """Whether the mask is whole patches, neither tidied nor refined."""
        return not self.settings.cleans and self.settings.refine == "none"

    def masks(self) -> np.ndarray:
        """Make the mask, or that of each object, at the photo's size, bool [n,H,W]."""
        enlarged = self.attention.geometry.to_photo(self.grid_masks)
        return cached_masks.finish_masks(self.choice, self.backbone, self.settings, enlarged)

    def mask(self) -> np.ndarray:
        """Join all of these, bool [H,W]."""
        return np.logical_or.reduce(self.masks(), axis=0)

    def described(self) -> list[Mask]:
        """Return the masks at the photo's size, saying how they were made."""
        masks = self.masks()
        return [proposals.describe_mask(mask, self.attention, self.settings) for mask in masks]

    def shown_masks(self, width: int) -> np.ndarray:
        """Make the masks over the photo at most `width` px wide."""
        if self.is_patches:
            return draw.scaled(self.attention.geometry, width).to_photo(self.grid_masks)
        masks = self.masks()
        small = [draw.shrink(mask.astype(np.uint8) * 255, width) >= 128 for mask in masks]
        if small:
            return np.stack(small)
        return np.zeros((0, *pictures.shown(self.choice.photo, width).shape[:2]), dtype=bool)

    def draw(self, masks: np.ndarray, width: int, *, first: int = 0) -> np.ndarray:
        """Draw masks [n,h,w] over the photo at most `width` px wide, as the view says.

        `first` is the number of the first of them, which says its colour.
        """
        photo = pictures.shown(self.choice.photo, width)
        if self.view == "cut-out":
            whole = np.logical_or.reduce(masks, axis=0)
            pixels = draw.on_checkers(draw.cutout(photo, whole))
        else:
            blank = np.zeros((first, *masks.shape[1:]), dtype=bool)
            numbered = np.concatenate([blank, masks])
            outlines = self.view == "outline"
            drawn = objects_outline if outlines else objects_overlay
            pixels = drawn(photo, numbered)
        return draw.mark_random(pixels) if self.backbone.is_random else pixels

    @property
    def name(self) -> str:
        """Name the mask in words."""
        settings, heads = self.settings, self.heads
        if self.found is not None:
            number = len(self.found.masks)
            objects = {0: "no object", 1: "one object"}.get(number, f"{number} objects")
            part = "" if len(heads) == self.attention.num_heads else f" in {_words(heads)}"
            return f"{controls.NAMES[settings.method]}{part}, {objects}"
        which = f"{settings.combine.title()} of {_words(heads)}"
        which = which if len(heads) > 1 else f"Head {heads[0]}"
        if settings.method == "otsu":
            return f"{which} above Otsu's threshold"
        if settings.method == "kmeans":
            return f"{which} in {settings.clusters} groups by k-means"
        return f"{which} at {settings.mass:.0%}"


def _words(heads: tuple[int, ...]) -> str:
    return f"head{'s' * (len(heads) > 1)} {', '.join(map(str, heads))}"
