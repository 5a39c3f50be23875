"""Many small maps in rows and columns, each a button: one picture cut by the browser, so that a
network of hundreds of heads is one download."""

import base64
from collections.abc import Callable, Sequence

import streamlit as st

from app.components.registration import register

_component = register("dino_map_grid", __file__)


def map_grid(
    key: str,
    *,
    sprite: bytes,
    rows: Sequence[str],
    columns: Sequence[str],
    titles: Sequence[Sequence[str]],
    chosen: tuple[int, int],
    aspect: float,
    label: str,
    on_choose: Callable[[int, int], None],
) -> None:
    """Draw maps and call `on_choose(row, column)` before the run that follows a choice.

    Args:
        sprite: JPEG of all maps without gaps, `rows` down and `columns` across.
        titles: a name for each map, [rows][columns].
        chosen: (row, column) to outline; -1 for none.
        aspect: width by height of one map.
    """

    def changed() -> None:
        place = st.session_state[key].chosen
        try:
            row, column = (int(index) for index in place)
        except (TypeError, ValueError):
            return  # not from our own script; nothing to tell a user
        if 0 <= row < len(rows) and 0 <= column < len(columns):
            on_choose(row, column)

    data = {
        "sprite": "data:image/jpeg;base64," + base64.b64encode(sprite).decode(),
        "rows": list(rows),
        "columns": list(columns),
        "titles": [list(names) for names in titles],
        "chosen": list(chosen),
        "aspect": aspect,
        "label": label,
    }
    _component(key=key, data=data, on_chosen_change=changed)
