"""A control bound to the link."""

from typing import Any

import streamlit as st


def seeded(key: str, default: str) -> str:
    """The session's value, or the one of the URL on the first run, or the default."""
    value: Any = st.session_state.get(key)
    if value is None:
        value = st.session_state[key] = st.query_params.get(key, default)
    return str(value)


def link(key: str, value: str, default: str) -> None:
    """Keep the URL's parameter in step with a value that widgets and clicks both set."""
    if value == default:
        if key in st.query_params:
            del st.query_params[key]
    elif st.query_params.get(key) != value:
        st.query_params[key] = value
