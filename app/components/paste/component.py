"""Paste a picture with Ctrl+V (⌘V) anywhere on the page: Streamlit's uploader takes files only."""

import base64
import binascii
from collections.abc import Callable

import streamlit as st

from app.components.registration import register
from app.state.selection import MAX_PHOTO_BYTES

_component = register("dino_paste", __file__)


def paste_photo(key: str, on_paste: Callable[[str, bytes], None]) -> None:
    """Call `on_paste(file name, bytes)` before the run that follows a paste."""

    def changed() -> None:
        pasted = st.session_state[key].pasted or {}
        try:
            content = base64.b64decode(pasted["data"], validate=True)
        except (binascii.Error, KeyError, TypeError, ValueError):
            return  # not from our own script; nothing to tell a user
        on_paste(str(pasted.get("name") or "pasted.png"), content)

    _component(key=key, data={"max_bytes": MAX_PHOTO_BYTES}, on_pasted_change=changed)
