"""A canvas that paints masks over a photo: brush and erase by mouse, touch, pen or keyboard.

It holds what was painted until there is a pause, a verdict or another photo, and sends the masks then.
So a run of the script costs no stroke, and a reload of the page costs what was painted in the last 0.7
seconds. Its own buttons do all that its keys do.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.components.registration import register
from dino.annotation.editing import Painted
from dino.annotation.session import MAX_OBJECTS
from dino.canvas import scripts
from dino.errors import UserError
from dino.media.palettes import OBJECT_COLORS, hex_color
from dino.media.regions import from_row_runs

ACTIONS = ("save", "accept", "reject", "next", "previous")

_COLORS = f"const COLORS = {json.dumps([hex_color(color) for color in OBJECT_COLORS])};"
_component = register(
    "dino_mask_editor", __file__, scripts_before="\n".join([scripts.BRUSH, _COLORS])
)


@dataclass(frozen=True)
class Edit:
    """What comes back: an action, the number from 0 of the photo it is about, and all its objects as
    painted, None where nothing was painted."""

    action: str
    index: int
    objects: tuple[Painted, ...] | None


def mask_editor(key: str, data: Mapping[str, Any], on_edit: Callable[[Any], None]) -> None:
    """Draw the editor.

    Args:
        data: `visit` (another one replaces what is painted, the same one keeps it), `index`, `photo` as
            a URL, `alt`, `width` and `height` in px of the masks, `objects` as {id, class, runs},
            `classes`, `where` and `status` in words, `has_previous`, `has_next`.
        on_edit: called with what came back before the run that follows; `read_edit` checks it.
    """

    def changed() -> None:
        if (event := st.session_state[key].event) is not None:
            on_edit(event)

    _component(key=key, data=dict(data), on_event_change=changed)


def read_edit(event: Any, size_of: Callable[[int], tuple[int, int]]) -> Edit:
    """Check what a browser sent, which may be anything.

    Args:
        size_of: (h, w) in px that photo number i is painted on at.
    Raises:
        UserError: it is not what the editor sends, or from `size_of`.
    """
    try:
        action, index, objects = event["action"], event["index"], event["objects"]
        if action not in ACTIONS or type(index) is not int:
            raise TypeError
        if objects is None:
            return Edit(action, index, None)
        size = size_of(index)
        if len(objects) > MAX_OBJECTS:
            raise TypeError
        return Edit(action, index, tuple(_painted(entry, size) for entry in objects))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError("the browser sent something that is no mask; reload the page") from error


def _painted(entry: Mapping[str, Any], size: tuple[int, int]) -> Painted:
    number, kind, runs = entry["id"], entry["class"], entry["runs"]
    if type(number) is not int or number < 1 or type(kind) is not int or not isinstance(runs, list):
        raise TypeError
    return Painted(number, kind, from_row_runs(runs, size))
