"""Keys that turn pages: arrows, and Page Up and Down as a presenter's clicker sends them.

They work while nothing that has such keys of its own is focused: the page itself, a button or a switch.
A page that was turned begins at its top, however far down the one before was read.
"""

from collections.abc import Callable

import streamlit as st

_JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  const { dataset } = parentElement.host ?? parentElement; // a shadow root has none
  if (dataset.page && dataset.page !== data.page) document.querySelector('[data-testid="stMain"]')?.scrollTo(0, 0);
  dataset.page = data.page;
  const turns = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 };
  const turn = (event) => {
    if (!(event.key in turns) || event.defaultPrevented) return;
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const target = event.composedPath()[0];
    const free = target === document.body || target === document.documentElement
      || target.matches?.('[data-testid="stMain"], [data-testid="stButton"] button, input[type="checkbox"]');
    if (!free) return;
    event.preventDefault();
    setTriggerValue("turned", turns[event.key]);
  };
  document.addEventListener("keydown", turn);
  return () => document.removeEventListener("keydown", turn);
}
"""

_component = st.components.v2.component("dino_step_keys", js=_JS)


def step_keys(key: str, on_turn: Callable[[int], None], *, page: int) -> None:
    """Listen; `on_turn` is called with +1 or −1 before the run that follows; `page` is the one shown."""

    def turned() -> None:
        told = st.session_state[key].turned
        if told in (1, -1):
            on_turn(told)

    _component(key=key, data={"page": str(page)}, on_turned_change=turned, height=1)
