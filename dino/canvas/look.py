"""How maps look in the browser, and what goes there to be drawn: the numbers of all maps, once.

A `Look` is all that the canvas draws by itself: it changes while a hand moves, and Python hears of it when the
hand rests. `read_look` takes nothing for granted of what a browser, or a link, says.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from typing import Any

import numpy as np

from dino.errors import UserError
from dino.media.draw import COLORMAPS

SCALES = ("robust", "full", "shared")
# Between patches; "sharp" follows the photo's edges. "bilinear" is what links of before mean by "smooth".
SMOOTHING = ("bicubic", "patches", "sharp", "bilinear")
# Where the photo is seen: under the map, on the other side of a slider, or beside it.
PLACES = ("", "wipe", "side")
_CHOICES = {"scale": SCALES, "smooth": SMOOTHING, "colours": tuple(COLORMAPS), "beside": PLACES}


@dataclass(frozen=True)
class Look:
    """How maps are drawn, and which of them is large.

    Args:
        head: its number, "mean" or "max".
        scale: "robust" draws what lies above the 98.5th percentile of a map's patches brightest, "full"
            its largest value, "shared" the largest of all maps.
        smooth: one of `SMOOTHING`.
        opacity: 0 shows the photo, 1 the map alone.
        greys: the photo below the map has no colours.
        outline: percent of the attention that the outlined patches hold; 0 outlines none.
        fill: tints those patches.
        beside: one of `PLACES`.
    """

    head: str = "mean"
    scale: str = "robust"
    smooth: str = "bicubic"
    colours: str = "inferno"
    opacity: float = 0.8
    greys: bool = True
    outline: int = 0
    fill: bool = False
    beside: str = ""


# What links drew that name no version.
FORMER = Look(scale="full", smooth="patches", greys=False)


def read_look(sent: Any, heads: Sequence[str], default: Look | None = None) -> Look:
    """Check a look that a browser sent; what it does not name is as in `default`.

    Raises:
        UserError: a value that is not offered.
    """
    look = default or Look()
    if not isinstance(sent, Mapping):
        raise UserError("the browser sent no settings of the map; reload the page")
    named = {field.name: sent[field.name] for field in fields(Look) if field.name in sent}
    for name, value in named.items():
        if not _is_offered(name, value, heads):
            raise UserError(
                f"the browser sent {name} = {str(value)[:40]!r}, which is not offered; reload the page"
            )
    if "opacity" in named:
        named["opacity"] = round(float(named["opacity"]), 2)
    return replace(look, **named)


def _is_offered(name: str, value: Any, heads: Sequence[str]) -> bool:
    if name == "head":
        return value in heads
    if name in _CHOICES:
        return isinstance(value, str) and value in _CHOICES[name]
    if name == "opacity":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value) and 0 <= value <= 1
    if name == "outline":
        return type(value) is int and 0 <= value <= 100
    return type(value) is bool


@dataclass(frozen=True)
class Blob:
    """Bytes that a browser keeps by the hash of their content."""

    id: str
    data: bytes

    @classmethod
    def of(cls, data: bytes) -> "Blob":
        """Hash bytes."""
        return cls(sha256(data).hexdigest(), data)


@dataclass(frozen=True)
class MapSet:
    """All maps that a canvas may show large, and their words.

    Args:
        values: float32 [K,h,w] row by row, of the first panel's grid.
        names: K names, as `Look.head` has them.
        titles: K titles; `notes` a short line for each, or fewer.
        of: what follows a title in words for a screen reader ("of the last block's attention, …").
        what: what the bar's values are; they are shown times `factor`, with `unit` behind.
        group: what the small pictures are together.
        shares: the values are no less than 0, so that a mask of a share of them can be drawn.
        beside: the small pictures stand at the right of the large one, where there is room.
        mark: written across each picture, where no such picture may pass for a result.
    """

    values: Blob
    names: tuple[str, ...]
    titles: tuple[str, ...]
    notes: tuple[str, ...] = ()
    of: str = ""
    what: str = ""
    group: str = "Heads"
    factor: float = 1.0
    unit: str = ""
    shares: bool = True
    beside: bool = True
    mark: str = ""

    def message(self, look: Look, heard: int) -> dict[str, Any]:
        """Write what the script reads; a head that is not among the maps becomes the first one's."""
        if look.head not in self.names:
            look = replace(look, head=self.names[0])
        return {
            "id": self.values.id,
            "names": list(self.names),
            "titles": list(self.titles),
            "notes": list(self.notes),
            "of": self.of,
            "what": self.what,
            "group": self.group,
            "factor": self.factor,
            "unit": self.unit,
            "shares": self.shares,
            "mark": self.mark,
            "tiles": "beside" if self.beside else "below",
            "look": asdict(look),
            "heard": heard,
        }


def map_values(maps: np.ndarray) -> Blob:
    """Pack maps [K,h,w] as a canvas takes them."""
    return Blob.of(np.ascontiguousarray(maps, dtype="<f4").tobytes())
