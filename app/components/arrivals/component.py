"""Bring bytes to the browser, where the canvas finds them by the hash of their content.

Each is a message of its own, which Streamlit does not send again while it stays as it is. What came so needs no
address: nothing to be missing, and nothing that depends on the path that the app is served below.
"""

from collections.abc import Iterable

import streamlit as st

from dino.canvas import scripts
from dino.canvas.content import Blob

_component = st.components.v2.component("dino_arrivals", js=scripts.BRINGING)


def bring(key: str, blobs: Iterable[Blob]) -> None:
    """Send each of the bytes once."""
    for number, blob in enumerate({blob.id: blob for blob in blobs}.values()):
        _component(key=f"{key}_{number}", data=blob.id.encode() + blob.data, height=1)
