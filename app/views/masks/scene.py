"""Gather what the Masks page draws from: how masks are made, of what, and how they are shown."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.cache import masks as cached_masks
from app.cache import pictures
from app.state.selection import Choice
from app.ui import layout
from app.ui.masks import METHODS, shrink_masks
from dino.attention.photo import PhotoAttention
from dino.masks import proposals
from dino.masks.discovery.methods import Discovery
from dino.masks.settings import Mask, MaskSettings
from dino.media import draw
from dino.model.backbone import Backbone

OVERLAY, OUTLINE, CUT_OUT = VIEWS = ("overlay", "outline", "cut-out")
_NAMES = {method: name for name, method in METHODS.items()}


@dataclass(frozen=True)
class Scene:
    """What a mask is drawn from: the page's choice, how masks are made, and how they are shown.

    `labels` [h,w] the cluster of each patch for k-means; `found` the objects where some are sought.
    """

    choice: Choice
    backbone: Backbone
    attention: PhotoAttention
    settings: MaskSettings
    labels: np.ndarray | None = None
    found: Discovery | None = None
    view: str = OVERLAY

    @property
    def heads(self) -> tuple[int, ...]:
        """Give the chosen heads."""
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
        return cached_masks.finish_masks(
            self.choice, self.backbone, self.settings, enlarged
        ).unpack()

    def described(self) -> tuple[Mask, list[Mask]]:
        """Make the mask of all and that of each object at the photo's size, saying how they were made."""
        seen, settings = self.attention, self.settings
        masks = [proposals.describe_mask(mask, seen, settings) for mask in self.masks()]
        return proposals.merge_masks(masks, seen.geometry.original, settings), masks

    def photo(self, width: int | None = None) -> np.ndarray:
        """Give the photo's pixels at its own size, or at most `width` px wide."""
        photo = self.choice.photo
        return pictures.pixels(photo) if width is None else pictures.shown(photo, width)

    def shown_masks(self, width: int) -> np.ndarray:
        """Make the masks over the photo at most `width` px wide, bool [n,h,w]."""
        frame = draw.scaled(self.attention.geometry, width)
        if self.is_patches:
            return frame.to_photo(self.grid_masks)
        small = shrink_masks(self.masks(), width)
        return np.stack(small) if small else np.zeros((0, *frame.original), dtype=bool)

    def draw(self, masks: np.ndarray, width: int | None = None, *, first: int = 0) -> np.ndarray:
        """Draw masks [n,h,w] over the photo at its own size, or at most `width` px wide, as the view says.

        `first` is the number of the first of them, which says its colour.
        """
        photo = self.photo(width)
        if self.view == CUT_OUT:
            whole = np.logical_or.reduce(masks, axis=0)
            return layout.marked(draw.on_checkers(draw.cutout(photo, whole)), self.backbone)
        blank = np.zeros((first, *masks.shape[1:]), dtype=bool)
        drawn = draw.objects_outline if self.view == OUTLINE else draw.objects_overlay
        return layout.marked(drawn(photo, np.concatenate([blank, masks])), self.backbone)

    @property
    def name(self) -> str:
        """Name the mask in words."""
        settings, heads = self.settings, self.heads
        words = f"head{'s' * (len(heads) > 1)} {', '.join(map(str, heads))}"
        if self.found is not None:
            number = len(self.found.masks)
            objects = {0: "no object", 1: "one object"}.get(number, f"{number} objects")
            part = "" if len(heads) == self.attention.num_heads else f" in {words}"
            return f"{_NAMES[settings.method]}{part}, {objects}"
        which = f"{settings.combine.title()} of {words}" if len(heads) > 1 else f"Head {heads[0]}"
        if settings.method == "otsu":
            return f"{which} above Otsu's threshold"
        if settings.method == "kmeans":
            return f"{which} in {settings.clusters} groups by k-means"
        return f"{which} at {settings.mass:.0%}"
