"""A mask for a photo by settings that can be kept, repeated and told: what the app, the queue of
photos to annotate and `segment` all start from.

    mask = propose(backbone, rgb, MaskSettings(method="kmeans", largest=True, refine="guided"))
    mask = propose_from(attention, rgb, settings, features=features)     # without another forward

In steps: `patch_masks` says which patches, `finish` tidies and refines at the photo's size.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dino import explore, thresholds
from dino.backbone import Backbone
from dino.cleanup import check_min_area, clean
from dino.errors import UserError
from dino.explore import Attention, PatchFeatures
from dino.masks import COMBINATIONS, DEFAULT_MASS, Mask, check_heads, check_mass, mass_mask
from dino.preprocessing import FITS
from dino.refine import check_refinement, refined

METHODS = ("mass", "otsu", "kmeans")


@dataclass(frozen=True)
class MaskSettings:
    """How a mask is made.

    `size` the longer side in px and `fit` how that becomes whole patches, as in `preprocess`;
    `method` "mass" (the fewest patches that hold `mass`, a share of the attention), "otsu" or
    "kmeans" (of the patch features, into `clusters`); `heads` that take part (None: all) and
    `combine` "mean" or "union" of them; `min_area` (a share of the photo), `largest` and
    `fill_holes` as in `cleanup.clean`; `refine` "none", "guided" or "grabcut".

    Raises:
        UserError: a value out of its range, at once; heads that do not exist, once a network is
            known.
    """

    size: int = 480
    mass: float = DEFAULT_MASS
    heads: tuple[int, ...] | None = None
    combine: str = "mean"
    method: str = "mass"
    clusters: int = thresholds.DEFAULT_CLUSTERS
    largest: bool = False
    fill_holes: bool = False
    min_area: float = 0.0
    refine: str = "none"
    fit: str = "floor"

    def __post_init__(self) -> None:
        if isinstance(self.heads, list):  # JSON has lists
            object.__setattr__(self, "heads", tuple(self.heads))
        for name, choices in (("combine", COMBINATIONS), ("method", METHODS), ("fit", FITS)):
            if getattr(self, name) not in choices:
                raise UserError(f"{name} is {getattr(self, name)!r}; expected one of {choices}")
        if not _is_whole(self.size) or self.size < 1:
            raise UserError(f"size is {self.size!r}; expected a whole number of px, such as 480")
        if isinstance(self.mass, bool) or not isinstance(self.mass, int | float):
            raise UserError(f"mass is {self.mass!r}; expected a share, such as {DEFAULT_MASS}")
        check_mass(self.mass)
        if self.heads is not None and (not self.heads or not all(map(_is_whole, self.heads))):
            raise UserError(f"heads is {self.heads!r}; expected numbers such as 0, 3, or none")
        thresholds.check_clusters(self.clusters)
        for name in ("largest", "fill_holes"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(f"{name} is {getattr(self, name)!r}; expected true or false")
        check_min_area(self.min_area)
        check_refinement(self.refine)

    @property
    def cleans(self) -> bool:
        """Whether pieces or holes may be changed."""
        return bool(self.min_area or self.largest or self.fill_holes)

    @property
    def words(self) -> str:
        """How the mask is made, such as "otsu, mean of heads, largest piece, guided edge"."""
        method = f"kmeans of {self.clusters}" if self.method == "kmeans" else self.method
        steps = [method, f"{self.combine} of heads"]
        if self.min_area:
            steps.append(f"pieces of at least {100 * self.min_area:g} % of the photo")
        steps += ["largest piece"] * self.largest + ["holes filled"] * self.fill_holes
        return ", ".join(steps + [f"{self.refine} edge"] * (self.refine != "none"))

    def to_json(self) -> str:
        """The settings as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "MaskSettings":
        """Read what `to_json` wrote; settings that are not named take their defaults.

        Raises:
            UserError: not JSON, settings that do not exist, or values out of their range.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise UserError(
                f"the mask settings are not JSON ({error}); restore the file"
            ) from error
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Any) -> "MaskSettings":
        """As `MaskSettings(**values)`, with unknown settings named in one sentence."""
        if not isinstance(values, dict):
            raise UserError(
                f"the mask settings are {values!r:.40}; expected an object such as {{}}"
            )
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise UserError(
                f"unknown mask settings {', '.join(unknown)}; known: {', '.join(known)}"
            )
        return cls(**values)


def propose(backbone: Backbone, rgb: NDArray[np.uint8], settings: MaskSettings) -> Mask:
    """The mask of a photo, uint8 [H,W,3], at the photo's size.

    Raises:
        UserError: heads that do not exist, a photo too large for this machine, or a network
            without attention.
    """
    attention = explore.attend(backbone, rgb, size=settings.size, fit=settings.fit)
    features = None
    if settings.method == "kmeans":
        features = explore.features(backbone, rgb, size=settings.size, fit=settings.fit)
    return propose_from(attention, rgb, settings, features=features)


def propose_from(
    attention: Attention,
    rgb: NDArray[np.uint8],
    settings: MaskSettings,
    *,
    features: PatchFeatures | None = None,
) -> Mask:
    """As `propose`, from attention and (for k-means) features of this photo that are there already.

    `settings.size` and `settings.fit` change nothing any more.
    """
    labels = None
    if settings.method == "kmeans" and features is not None:
        labels = cluster_labels(features, settings)
    kept = patch_mask(attention, settings, labels=labels)
    return described(finish(rgb, attention.geometry.to_photo(kept), settings), attention, settings)


def cluster_labels(features: PatchFeatures, settings: MaskSettings) -> NDArray[np.int32]:
    """The cluster of each patch, int32 [h,w], by k-means of the features."""
    labels = thresholds.cluster_patches(features.patches, clusters=settings.clusters)
    return labels.reshape(features.geometry.grid)


def patch_masks(
    maps: NDArray[np.floating],
    settings: MaskSettings,
    *,
    labels: NDArray[np.integer] | None = None,
) -> NDArray[np.bool_]:
    """Which patches each map [M,h,w] keeps by the settings' method, bool of the same shape.

    Args:
        labels: `cluster_labels` for k-means.
    Raises:
        UserError: k-means without labels.
    """
    if settings.method == "otsu":
        return thresholds.otsu_mask(maps)
    if settings.method == "kmeans":
        if labels is None:
            raise UserError("k-means needs the photo's patch features; pass them along")
        return thresholds.cluster_mask(maps, labels)
    return mass_mask(torch.from_numpy(maps), settings.mass).numpy()


def patch_mask(
    attention: Attention, settings: MaskSettings, *, labels: NDArray[np.integer] | None = None
) -> NDArray[np.bool_]:
    """The patches [h,w] that the chosen heads keep together: of their mean, or of any of them."""
    heads = list(range(attention.num_heads) if settings.heads is None else settings.heads)
    check_heads(heads, attention.num_heads)
    maps = attention.weights[heads]
    if settings.combine == "mean":
        maps = torch.from_numpy(maps).mean(dim=0, keepdim=True).numpy()
    return np.logical_or.reduce(patch_masks(maps, settings, labels=labels))


def finish(
    rgb: NDArray[np.uint8], pixels: NDArray[np.bool_], settings: MaskSettings
) -> NDArray[np.bool_]:
    """Tidy and refine a mask [H,W] at the photo's size.

    Tidied before, so that a refinement learns from the piece that is kept, and again after it.
    """
    tidy = _clean(pixels, settings)
    if settings.refine == "none":
        return tidy
    return _clean(refined(rgb, tidy, settings.refine), settings)


def described(pixels: NDArray[np.bool_], attention: Attention, settings: MaskSettings) -> Mask:
    """The `Mask` of these pixels, saying how it was made."""
    chosen = range(attention.num_heads) if settings.heads is None else settings.heads
    return Mask(
        pixels=pixels,
        method=settings.words,
        mass=settings.mass if settings.method == "mass" else None,
        head=",".join(str(head) for head in chosen),
    )


def _clean(pixels: NDArray[np.bool_], settings: MaskSettings) -> NDArray[np.bool_]:
    return clean(
        pixels,
        min_area=settings.min_area,
        largest=settings.largest,
        fill_holes=settings.fill_holes,
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
