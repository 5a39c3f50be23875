"""Registering components whose HTML, CSS and JavaScript lie in files beside their module."""

from pathlib import Path
from typing import Any

import streamlit as st


def register(name: str, module: str, *, scripts_before: str = "") -> Any:
    """Register a component with Streamlit and return what draws it.

    Args:
        name: by which Streamlit knows it.
        module: `__file__` of the component's module; its folder's files of a kind become one, by name.
        scripts_before: JavaScript that the component's own builds on.
    """
    folder = Path(module).parent

    def joined(ending: str) -> str:
        return "\n".join(path.read_text() for path in sorted(folder.glob(f"*.{ending}")))

    return st.components.v2.component(
        name,
        html=joined("html") or None,
        css=joined("css") or None,
        js="\n".join(filter(None, (scripts_before, joined("js")))),
    )
