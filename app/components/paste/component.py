"""Paste a picture with Ctrl+V (⌘V) anywhere on the page: Streamlit's uploader takes files only."""

import base64
import binascii
from collections.abc import Callable

import streamlit as st

from app.state.selection import MAX_PHOTO_BYTES

_JS = """
export default function ({ setTriggerValue, parentElement, data }) {
  const status = parentElement.querySelector("#status");
  const onPaste = (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((f) => f.type.startsWith("image/"));
    if (!file) return; // text pasted into a field is none of our business
    event.preventDefault();
    if (file.size > data.max_bytes) {
      status.textContent =
        `The pasted picture has ${(file.size / 2 ** 20).toFixed(1)} MB; ` +
        `the limit is ${data.max_bytes / 2 ** 20} MB. Resize it first.`;
      return;
    }
    status.textContent = "Pasted.";
    const reader = new FileReader();
    reader.onload = () =>
      setTriggerValue("pasted", { name: file.name || "pasted.png", data: reader.result.split(",")[1] });
    reader.readAsDataURL(file);
  };
  document.addEventListener("paste", onPaste);
  return () => document.removeEventListener("paste", onPaste);
}
"""

_component = st.components.v2.component(
    "dino_paste",
    html='<div id="hint">or paste a picture with <kbd>Ctrl</kbd>+<kbd>V</kbd></div>'
    '<div id="status" role="status" aria-live="polite"></div>',
    css="#hint, #status { font: 0.85rem var(--st-font); color: var(--st-text-color); opacity: 0.75 }"
    "kbd { font: inherit; border: 1px solid var(--st-border-color); border-radius: 4px; padding: 0 4px }",
    js=_JS,
)


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
