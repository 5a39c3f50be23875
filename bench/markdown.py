"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Write the lines of a table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return ["|" + "".join(f" {cell} |" if cell != "" else " |" for cell in line) for line in lines]
