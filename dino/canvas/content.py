"""What goes to the browser to be drawn: photos, features and the numbers of all maps, once, and words.

    content([Panel(photo, …)], maps=MapSet(map_values(maps), names, titles))   # what the scripts read

The app sends it by Streamlit, a notebook by its kernel (`dino.show`).
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np

from dino.canvas.look import Look
from dino.errors import UserError

_PICK = re.compile(r"([0-9]):(\d{1,4}):(\d{1,4})")


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
class Panel:
    """One photo on the canvas, covered by its patches from edge to edge.

    `photo` is a JPEG, `map` (what is shown over it until a patch is pointed at) an address or a data URL,
    `features` float16 [N,D] of unit length, row by row of the grid (`rows`, `columns`); None compares
    nothing. `width` and `height` in px give the shape.
    """

    photo: Blob
    alt: str
    rows: int
    columns: int
    width: int
    height: int
    features: Blob | None = None
    map: str | None = None
    caption: str = ""

    def message(self) -> dict[str, Any]:
        """Write what the script reads, which finds the bytes by their hashes."""
        features = self.features.id if self.features else None
        return vars(self) | {"photo": self.photo.id, "features": features}


@dataclass(frozen=True)
class Picked:
    """A patch of a panel, both from 0."""

    panel: int
    row: int
    column: int


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


def content(
    panels: Sequence[Panel],
    *,
    hint: str,
    help_text: str,
    maps: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Write what the scripts read of a canvas; without `more` its panels are looked at, one by one.

    Args:
        hint: a line below while nothing is pointed at; `help_text` what a screen reader says of keys.
        maps: a `MapSet.message`.
        more: of the names below.
    """
    return {
        "panels": [panel.message() for panel in panels],
        "maps": maps,
        "hint": hint,
        "help": help_text,
        "colormap": "inferno",
        "opacity": 0.7,
        "link": None,
        "chosen": None,
        "lines": [],
        "wipe": False,
        "picks": False,
        "follow_picks": True,
        "map_on_pick": False,
        "tools": ["pick"],
        "brushes": [],
        "paint_rows": panels[0].rows,
        "paint_columns": panels[0].columns,
        "points": [],
        "box": None,
        "painted": [],
        "most_points": 0,
        "heard": 0,
        "page_keys": False,
    } | more


def read_pick(sent: Any, panels: Sequence[Panel]) -> Picked | None:
    """Check what a browser sent as a pick, of which nothing is taken for granted; None clears.

    Raises:
        UserError: it is no patch of these panels.
    """
    if sent == "clear":
        return None
    match = _PICK.fullmatch(sent) if isinstance(sent, str) else None
    if match:
        number, row, column = map(int, match.groups())
        if number < len(panels) and row < panels[number].rows and column < panels[number].columns:
            return Picked(number, row, column)
    raise UserError("the browser picked a patch that is not there; reload the page")
