"""Annotate: sessions of photos whose proposed masks are accepted, edited or rejected by keyboard."""

import streamlit as st

from app.cache import annotation, backbones
from app.cache.annotation import Opened
from app.state import url, weights_menu
from app.state.problems import attempt, show_error, show_kept
from app.state.selection import Choice
from app.text import plain_text
from app.ui import layout
from app.views.annotate import export, queue, start
from dino.annotation.session import Session, annotations_folder, list_sessions
from dino.errors import UserError
from dino.model.backbone import Backbone

SESSION = "annotate_session"
_CLASS_PROBLEM = "annotate_class_problem"


def show(choice: Choice, backbone: Backbone) -> None:
    """Draw the page: choose or begin a session; its queue, classes and exports."""
    names = list_sessions(annotations_folder())
    name = _session_name(names)
    layout.heading("Annotate", "Masks are proposed; accept, edit or reject them, then export.")
    left, right = st.columns([2, 3], gap="medium", vertical_alignment="bottom")
    if names:
        left.selectbox("Session", names, key=SESSION, on_change=queue.forget_place)
    place = right if names else st.container()
    with place.expander("New session", icon=":material/add:", expanded=not names):
        if (begun := start.form(choice, backbone)) is not None:
            st.session_state[start.BEGUN] = begun
            st.rerun()
    if name is None:
        return
    url.link("session", name)
    opened = annotation.open_named(name)
    proposer = _proposer(opened, choice, backbone)
    queue.read_masks_again()
    _session(name, proposer)


def _session_name(names: list[str]) -> str | None:
    """Find the session begun just now, else the one chosen, else the link's, else the newest."""
    asked = st.query_params.get("session")
    begun = st.session_state.pop(start.BEGUN, None)
    if begun in names:
        st.session_state[SESSION] = begun
        queue.forget_place()
    elif st.session_state.get(SESSION) not in names:
        st.session_state[SESSION] = asked if asked in names else next(iter(names), None)
        if asked and asked not in names:
            st.warning(
                plain_text(f"The link names the session “{asked}”, which is not on this machine."),
                icon=":material/link_off:",
            )
    return st.session_state[SESSION]


@st.fragment
def _session(name: str, proposer: Backbone | None) -> None:
    """Draw everything that one photo after another changes."""
    try:
        opened = annotation.open_named(name)
        queue.show(opened, proposer)
        left, right = st.columns(2, gap="medium")
        with left:
            _classes(opened)
        with right:
            export.show(opened)
    except UserError as error:
        show_error(error)


def _proposer(opened: Opened, choice: Choice, backbone: Backbone) -> Backbone | None:
    """Open the weights a session's proposals are made with; None, and what to do, where they are not here."""
    session = opened.session
    if backbone.weights_sha256 == session.weights_sha256:
        return backbone
    for name in weights_menu.weights_options(st.session_state):
        if session.weights in (name, weights_menu.weights_location(name, st.session_state)):
            found = backbones.open_weights(name, st.session_state)
            if found.weights_sha256 == session.weights_sha256:
                return found
    st.warning(
        f"The proposals of this session are made with {plain_text(session.weights)} "
        f"(sha256 {session.weights_sha256[:16]}), which is not among the weights here. Choose it in "
        "the sidebar, or go on with the weights chosen now; photos opened meanwhile have no proposal.",
        icon=":material/model_training:",
    )
    location = weights_menu.start_weights(choice.weights, st.session_state)
    st.button(
        f"Go on with {choice.weights}",
        on_click=_go_on_with,
        args=(session, location, backbone.weights_sha256),
    )
    return None


def _go_on_with(session: Session, weights: str, weights_sha256: str) -> None:
    session.with_weights(weights, weights_sha256)


def _classes(opened: Opened) -> None:
    """Rename classes, or add one; objects stay with their class."""
    session = opened.session
    with st.expander("Classes", icon=":material/label:"):
        show_kept(_CLASS_PROBLEM)
        for number, current in enumerate((*session.classes, "")):
            key = f"annotate_class:{session.name}:{number}:{current}"
            st.text_input(
                f"Class {number + 1}" if current else "Another class",
                current,
                key=key,
                placeholder=None if current else "Name",
                on_change=_set_class,
                args=(session.name, number, key),
            )


def _set_class(name: str, number: int, key: str) -> None:
    def rename() -> None:
        annotation.open_named(name).session.with_class(number, st.session_state[key])

    attempt(_CLASS_PROBLEM, rename)
