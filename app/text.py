"""Text from outside (file names, links, error sentences) made safe to show."""


def plain_text(text: str) -> str:
    """Text from outside as Streamlit's Markdown shows it literally: no link, no picture, no markup."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>()#+!|$~:" else c for c in text)
