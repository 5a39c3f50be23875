"""Make text from outside (file names, links, error sentences) safe to show."""

_MARKUP = r"\`*_{}[]<>()#+!|$~:"
# Streamlit makes links of bare addresses even where their colon is escaped; a zero-width space in
# the middle stops that and cannot be seen.
_BREAK = "\u200b"


def plain_text(text: str) -> str:
    """Escape text so that Streamlit's Markdown shows it literally: no link, no picture, no markup."""
    unlinked = (
        text.replace("://", f":{_BREAK}//")
        .replace("www.", f"www{_BREAK}.")
        .replace("@", f"{_BREAK}@")
    )
    return "".join(f"\\{c}" if c in _MARKUP else c for c in unlinked)


def sentence(text: str) -> str:
    """End a text with a full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
