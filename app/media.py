"""Give addresses to what a browser fetches only when it needs it: sheets of thumbnails, kept for as long as a
page of the session shows them."""

from streamlit import runtime


def address(data: bytes, mime: str, name: str) -> str | None:
    """Return where a browser finds the bytes; None where no server runs, as in tests of a page alone.

    Args:
        name: says where on a page they are shown; the same name replaces what was there.
    """
    if not runtime.exists():
        return None
    return runtime.get_instance().media_file_mgr.add(data, mime, name)
