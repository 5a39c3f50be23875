"""Keys that turn pages: arrows, and Page Up and Down as a presenter's clicker sends them.

They work while nothing that has such keys of its own is focused: the page itself, a button or a switch.
A page that was turned begins at its top, however far down the one before was read.
"""

from collections.abc import Callable

import streamlit as st

from app.components.registration import register

_component = register("dino_step_keys", __file__)


def step_keys(key: str, on_turn: Callable[[int], None], *, page: int) -> None:
    """Call `on_turn` with +1 or −1 before the run that follows such a key; `page` is the one shown."""

    def turned() -> None:
        turn = st.session_state[key].turned
        if turn in (1, -1):
            on_turn(turn)

    _component(key=key, data={"page": str(page)}, on_turned_change=turned, height=1)
