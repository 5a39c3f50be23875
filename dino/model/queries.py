"""Name whose row of attention is asked for: the CLS token, a register, a patch, or the mean patch.

parse_query("12:7")                # (12, 7): row 12, column 7 of the grid
query_name((12, 7))                # "12:7", as links, file names and commands have it
"""

from dino.errors import UserError

Query = str | tuple[int, int]
# The mean of the rows of all patches, which networks without a CLS token are looked at by.
MEAN = "mean"


def parse_query(text: str) -> Query:
    """Read "cls", "mean", "register:0", "dist" or "12:7" (row:column) as a query.

    Raises:
        UserError: anything else.
    """
    plain = text.strip().lower()
    kind, _, number = plain.partition(":")
    if plain in ("cls", "dist", MEAN) or (kind == "register" and _is_number(number)):
        return plain
    if _is_number(kind) and _is_number(number):
        return int(kind), int(number)
    raise UserError(
        f"query is {text[:40]!r}; expected cls, mean, register:N, or row:column of a patch such as 12:7"
    )


def query_name(query: Query) -> str:
    """Write a query as the text that `parse_query` reads."""
    return f"{query[0]}:{query[1]}" if isinstance(query, tuple) else query


def query_words(query: Query) -> str:
    """Put a query in words: "the CLS token", "the mean of all patches", "patch 12:7"."""
    if isinstance(query, tuple):
        return f"patch {query_name(query)}"
    known = {
        "cls": "the CLS token",
        "dist": "the distillation token",
        MEAN: "the mean of all patches",
    }
    return known.get(query, query.replace(":", " "))


def token_position(
    query: Query, grid: tuple[int, int], *, prefix: tuple[str, ...], network: str
) -> int:
    """Find a query in the token sequence: prefix tokens, then patches row by row.

    Args:
        grid: (h, w).
        prefix: names of the tokens before the patches that `network` has.
    Raises:
        UserError: a patch outside the grid, a token the network does not have, or "mean", which is none.
    """
    if isinstance(query, tuple):
        row, column = query
        if not (0 <= row < grid[0] and 0 <= column < grid[1]):
            raise UserError(
                f"query patch {row}:{column} is outside the grid of {grid[0]}×{grid[1]} patches"
            )
        return len(prefix) + row * grid[1] + column
    if query in prefix:
        return prefix.index(query)
    if query == "cls":
        raise UserError(
            f"query 'cls' is not available, since {network} has no CLS token; ask for 'mean' (the mean "
            f"of all patches' rows){', a register' if prefix else ''} or a patch (row, column)"
        )
    names = ", ".join(repr(name) for name in (*prefix, MEAN))
    raise UserError(
        f"query {query!r} is not available; {network} has {names}, and patches as (row, column)"
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
