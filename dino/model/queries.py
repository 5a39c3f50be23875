"""Name the token whose row of attention is asked for: the CLS token, a register, or a patch.

parse_query("12:7")                # (12, 7): row 12, column 7 of the grid
query_name((12, 7))                # "12:7", as links, file names and commands have it
"""

from dino.errors import UserError

Query = str | tuple[int, int]


def parse_query(text: str) -> Query:
    """Read "cls", "register:0" or "12:7" (row:column) as a query.

    Raises:
        UserError: anything else.
    """
    plain = text.strip().lower()
    kind, _, number = plain.partition(":")
    if plain == "cls" or (kind == "register" and _is_number(number)):
        return plain
    if _is_number(kind) and _is_number(number):
        return int(kind), int(number)
    raise UserError(
        f"query is {text[:40]!r}; expected cls, register:N, or row:column of a patch such as 12:7"
    )


def query_name(query: Query) -> str:
    """Write a query as the text that `parse_query` reads."""
    return f"{query[0]}:{query[1]}" if isinstance(query, tuple) else query


def token_position(
    query: Query, grid: tuple[int, int], *, num_class: int, num_registers: int, network: str
) -> int:
    """Find a query in the token sequence: CLS, registers, patches row by row.

    Args:
        grid: (h, w).
        num_class, num_registers: how many of each `network` has.
    Raises:
        UserError: a patch outside the grid, or a token the network does not have.
    """
    if isinstance(query, tuple):
        row, column = query
        if not (0 <= row < grid[0] and 0 <= column < grid[1]):
            raise UserError(
                f"query patch {row}:{column} is outside the grid of {grid[0]}×{grid[1]} patches"
            )
        return num_class + num_registers + row * grid[1] + column
    if query == "cls" and num_class:
        return 0
    kind, _, number = query.partition(":")
    if kind == "register" and _is_number(number) and int(number) < num_registers:
        return num_class + int(number)
    raise UserError(
        f"query {query!r} is not available; {network} has "
        f"{'a CLS token' if num_class else 'no CLS token'} and {num_registers} registers; "
        "expected 'cls', 'register:N' or a (row, column)"
    )


def prefix_queries(*, num_class: int, num_registers: int) -> list[str]:
    """List the queries that are no patches."""
    return ["cls"] * num_class + [f"register:{number}" for number in range(num_registers)]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
