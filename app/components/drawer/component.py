"""The sidebar on a phone, where it holds the pages' menu and lies over the page."""

import streamlit as st

_JS = """
// The page last shown is kept on the document, as this may be set up anew with a page; before the first it
// is the one in the address the app was opened by, as another may be chosen before this is set up at all.
const { dataset } = document.documentElement;
const openedBy = () => {
  const [opened] = performance.getEntriesByType("navigation");
  return new URL(opened?.name ?? location.href).pathname.split("/").pop();
};

export default function ({ data }) {
  const another = (dataset.dinoPage ?? openedBy()) !== data.page;
  dataset.dinoPage = data.page;
  if (another && matchMedia("(max-width: 768px)").matches)
    document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click();
}
"""

_component = st.components.v2.component("dino_drawer", js=_JS)


def close_on_choice(page: str) -> None:
    """Close it once another page than the last was opened; nothing on a wide screen."""
    _component(key="drawer", data={"page": page}, height=1)
