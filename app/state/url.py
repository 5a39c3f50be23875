"""Controls bound to the link: what an address asks for, and an address that names what is shown.

Where a widget alone sets a value, Streamlit's own `bind="query-params"` does all of it. Where clicks,
uploads or buttons set it too, or the link has other words than the widget, that leaves the address
behind: then `linked` draws the widget, or `seeded` comes before it and `link` after it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import streamlit as st

T = TypeVar("T")


def seeded(key: str, default: str) -> str:
    """Return the session's value, or the one of the link on the first run, or the default."""
    value: Any = st.session_state.get(key)
    if value is None:
        value = st.session_state[key] = st.query_params.get(key, default)
    return str(value)


def link(key: str, value: str | None, default: str | None = None) -> None:
    """Keep a parameter of the link in step with a value; the default, or None, needs none."""
    st.session_state[f"link_{key}"] = value
    if value in (default, None):
        st.query_params.pop(key, None)
    elif st.query_params.get(key) != value:
        st.query_params[key] = str(value)


def brought(key: str) -> str | None:
    """Return what a link brought since `link` last wrote this parameter, for pages that others link to
    with values of their own; None for nothing new."""
    asked = st.query_params.get(key)
    return asked if asked != st.session_state.get(f"link_{key}") else None


def linked(
    key: str,
    options: Sequence[T],
    default: T,
    draw: Callable[[], Any],
    *,
    param: str = "",
    follows: bool = False,
    keeps_default: bool = False,
) -> T:
    """Draw a control whose value is in the link, also where something else than it has set it.

    Args:
        options: the values it may have; another one becomes that of the link, or the default.
        draw: draws the widget of that key, with `persist_state`, and returns its value.
        param: the parameter's name, where it is not the key.
        follows: takes what a later link brings, too.
        keeps_default: a parameter that the link has stays in it, with the default.
    """
    param = param or key
    asked = st.query_params.get(param)
    if st.session_state.get(key) not in options or (follows and brought(param)):
        by_word = {_word(option): option for option in options if option is not None}
        kept = st.session_state.get(key)
        st.session_state[key] = by_word.get(asked, kept if kept in options else default)
    value: T = draw()
    link(param, _word(value), None if keeps_default and asked else _word(default))
    return value


def forget_unknown(key: str, options: Iterable[Any]) -> None:
    """Drop a bound control's value that is not offered any more, so that it begins at its default."""
    value = st.session_state.get(key)
    values = value if isinstance(value, list | tuple) else [value]
    if value is not None and not set(values) <= set(options):
        st.session_state.pop(key)


def _word(value: Any) -> str | None:
    """Write a value as links have it."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
