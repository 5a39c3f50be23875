"""How a mask is made, as settings that can be kept, repeated and put in words.

MaskSettings(method="kmeans", largest=True, refine="guided").to_json()
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from dino.attention import thresholds
from dino.attention.mass import COMBINATIONS, DEFAULT_MASS, check_mass
from dino.errors import UserError
from dino.masks.cleanup import check_min_area
from dino.masks.discovery import methods
from dino.masks.discovery.keys import check_keys
from dino.masks.discovery.methods import DEFAULT_OBJECTS, check_objects
from dino.masks.refine import REFINEMENTS
from dino.media.preprocessing import FITS
from dino.system.files import parse_json

METHODS = ("mass", "otsu", "kmeans", *methods.METHODS)


@dataclass(frozen=True)
class MaskSettings:
    """How a mask is made.

    `size` the longer side in px and `fit` how that becomes whole patches, as in `preprocess`;
    `method` "mass" (the fewest patches that hold `mass`, a share of the attention), "otsu" or
    "kmeans" (of the patch features, into `clusters`), or a way to find objects in the keys of the
    last block: "lost", "tokencut" or "maskcut" (up to `objects`), of which `keys` says what is taken
    out of them (`keys.KEYS`); `heads` that take part (None: all) and, of attention, `combine`
    "mean" or "union" of them; `min_area` (a share of the photo), `largest` and `fill_holes` as in
    `cleanup.clean`, of each object; `refine` "none", "guided" or "grabcut".

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
    objects: int = DEFAULT_OBJECTS
    keys: str = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.heads, list):  # JSON has lists
            object.__setattr__(self, "heads", tuple(self.heads))
        known = {"combine": COMBINATIONS, "method": METHODS, "fit": FITS, "refine": REFINEMENTS}
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                raise UserError(f"{name} is {getattr(self, name)!r}; expected one of {choices}")
        if not _is_whole(self.size) or self.size < 1:
            raise UserError(f"size is {self.size!r}; expected a whole number of px, such as 480")
        if isinstance(self.mass, bool) or not isinstance(self.mass, int | float):
            raise UserError(f"mass is {self.mass!r}; expected a share, such as {DEFAULT_MASS}")
        check_mass(self.mass)
        if self.heads is not None and not (
            isinstance(self.heads, tuple) and self.heads and all(map(_is_whole, self.heads))
        ):
            raise UserError(f"heads is {self.heads!r}; expected numbers such as 0, 3, or none")
        thresholds.check_clusters(self.clusters)
        check_objects(self.objects)
        check_keys(self.keys)
        for name in ("largest", "fill_holes"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(f"{name} is {getattr(self, name)!r}; expected true or false")
        check_min_area(self.min_area)

    @property
    def discovers(self) -> bool:
        """Whether objects are found in keys, rather than patches chosen by their attention."""
        return self.method in methods.METHODS

    @property
    def cleans(self) -> bool:
        """Whether pieces or holes may be changed."""
        return bool(self.min_area or self.largest or self.fill_holes)

    @property
    def words(self) -> str:
        """Say how the mask is made, such as "otsu, mean of heads, largest piece, guided edge"."""
        method = f"kmeans of {self.clusters}" if self.method == "kmeans" else self.method
        steps = [method, f"{self.keys} keys" if self.discovers else f"{self.combine} of heads"]
        if self.min_area:
            steps.append(f"pieces of at least {100 * self.min_area:g} % of the photo")
        steps += ["largest piece"] * self.largest + ["holes filled"] * self.fill_holes
        return ", ".join(steps + [f"{self.refine} edge"] * (self.refine != "none"))

    def to_json(self) -> str:
        """Write the settings as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "MaskSettings":
        """Read what `to_json` wrote; settings that are not named take their defaults.

        Raises:
            UserError: not JSON, settings that do not exist, or values out of their range.
        """
        try:
            values = parse_json(text)
        except ValueError as error:
            raise UserError(
                f"the mask settings are not JSON ({error}); restore the file"
            ) from error
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Any) -> "MaskSettings":
        """Build settings as `MaskSettings(**values)`, with unknown settings named in one sentence."""
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


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class Mask:
    """A mask of a photo: `pixels` [H,W] bool, and how it was made.

    `method` in words ("mass"), `mass` the share of attention kept, `head` the heads it came from in
    words ("0", "0,2,5", "mean"), `score` the Jaccard index against a reference where there is one.
    """

    pixels: np.ndarray
    method: str
    mass: float | None = None
    head: str | None = None
    score: float | None = None
