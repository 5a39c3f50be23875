"""How maps look in the browser.

A `Look` is all that the canvas draws by itself: it changes while a hand moves, and Python hears of it when the
hand rests. `read_look` takes nothing for granted of what a browser, or a link, says.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

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
    opacity: float = 0.65
    greys: bool = True
    outline: int = 0
    fill: bool = False
    beside: str = ""


# What links drew that name no version.
FORMER = Look(scale="full", smooth="patches", opacity=0.8, greys=False)


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
