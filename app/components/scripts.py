"""The scripts and styles of our own components, joined without a build step."""

from pathlib import Path

_PAINTING = Path(__file__).parent / "painting.js"


def joined(parts: Path) -> str:
    """The scripts of a component that paints: the brush, then its parts in the order of their names,
    each of which builds on those before."""
    return "\n".join(path.read_text() for path in [_PAINTING, *sorted(parts.glob("*.js"))])
