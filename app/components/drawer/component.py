"""The sidebar on a phone, where it holds the pages' menu and lies over the page."""

from app.components.registration import register

_component = register("dino_drawer", __file__)


def close_on_choice(page: str) -> None:
    """Close the sidebar once another page than the last was opened; nothing on a wide screen."""
    _component(key="drawer", data={"page": page}, height=1)
