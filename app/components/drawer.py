"""The sidebar on a phone, where it holds the pages' menu and lies over the page."""

import streamlit as st

_JS = """
let shown;

export default function ({ data }) {
  const another = shown !== undefined && shown !== data.page;
  shown = data.page;
  if (another && matchMedia("(max-width: 768px)").matches)
    document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click();
}
"""

_component = st.components.v2.component("dino_drawer", js=_JS)


def close_on_choice(page: str) -> None:
    """Close it once another page than the last was opened; nothing on a wide screen."""
    _component(key="drawer", data={"page": page}, height=1)
