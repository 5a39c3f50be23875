"""What a user can cause and reads in one sentence: shown at once, or kept by a callback for the run that
follows."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.text import plain_text, sentence
from dino.errors import UserError


def show_error(problem: UserError | str, icon: str = "error") -> None:
    """Show a problem as a sentence of plain text."""
    st.error(plain_text(sentence(str(problem))), icon=f":material/{icon}:")


def attempt(key: str, action: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Do something in a callback, and keep what a user caused under a session's key."""
    try:
        action(*args, **options)
    except UserError as error:
        st.session_state[key] = str(error)


def show_kept(key: str, icon: str = "error") -> None:
    """Show what `attempt` kept under a key, once."""
    if problem := st.session_state.pop(key, None):
        show_error(problem, icon)
