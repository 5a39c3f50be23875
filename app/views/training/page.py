"""Training: start runs, watch them, and see whether anything was learned.

URL parameters: `part` (new or runs) and `runs`, the names of the chosen ones between commas.
"""

from collections.abc import Callable

import streamlit as st

from app import access
from app.state import url
from app.state.problems import show_error
from app.text import sentence
from app.ui import layout, sidebar
from app.ui.sidebar import Selection
from app.views.training import form, runs
from dino.errors import UserError
from dino.training.runs.jobs import runs_folder
from dino.training.runs.listing import list_runs

_PARTS = {"new": "New run", "runs": "Runs"}
_PART, _GO_TO = "train_part", "train_go_to"


def show(selection: Selection, open_weights: Callable[[str], None]) -> None:
    """Draw the page; it needs no weights.

    Args:
        open_weights: opens the Attention page with weights of a name.
    """
    sidebar.show_problems()
    layout.heading("Training", "Teach a network on your own photos, with DINO, without labels.")
    if not access.may_work():
        st.info(sentence(access.OFF), icon=":material/lock:")
        return
    part = _choose_part()
    try:
        if part == "new":
            form.show(selection, _started)
        else:
            runs.show(open_weights, _show_form)
    except UserError as error:
        show_error(error)
    url.link("part", part)
    chosen = st.session_state.get(runs.SELECTED) if part == "runs" else None
    url.link("runs", ",".join(chosen) if chosen else None)


def _choose_part() -> str:
    """Choose the part to show: what was just started, what the link says, or what was chosen."""
    if (name := st.session_state.pop(_GO_TO, None)) is not None:
        st.session_state[_PART] = "runs"
        runs.select([name])
    elif (asked := url.brought("part")) in _PARTS:
        st.session_state[_PART] = asked
    if asked := url.brought("runs"):
        runs.select(asked.split(","))
    if _PART not in st.session_state:
        st.session_state[_PART] = "runs" if list_runs(runs_folder()) else "new"
    part = st.segmented_control(
        "Part",
        list(_PARTS),
        format_func=_PARTS.__getitem__,
        key=_PART,
        required=True,
        label_visibility="collapsed",
        persist_state="session",
    )
    assert part in _PARTS
    return part


def _started(name: str) -> None:
    """Show a run that was just started."""
    st.session_state[_GO_TO] = name
    st.toast(f"{name} starts", icon=":material/rocket_launch:")
    st.rerun()


def _show_form() -> None:
    """Show the form; for callbacks."""
    st.session_state[_PART] = "new"
