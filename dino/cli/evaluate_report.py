"""`eval report`: everything that was measured, beside what others published, as one page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli.measurement import make_out, say

if TYPE_CHECKING:
    from dino.evaluation.summary import History


def report(
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders searched for history.jsonl, which every evaluation leaves in its --out. "
            "Default: results.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder the report goes to.")] = Path("report"),
) -> None:
    """Write report.html and report.md: the latest of each measurement beside published figures.

    The page needs nothing but itself, shows light and dark, and prints.
    """
    from dino.evaluation.summary import build_sections, html_page, markdown, read_histories
    from dino.evaluation.summary.history import describe_history
    from dino.system.files import write_atomically

    history = read_histories(results or [Path("results")])
    sections = build_sections(history.reports)
    lines = describe_history(history)
    make_out(out)
    write_atomically(html_page(sections, lines).encode(), out / "report.html")
    write_atomically(markdown(sections, lines).encode(), out / "report.md")
    for line in lines:
        print(line)
    print(f"{out / 'report.html'}\n{out / 'report.md'}")
    _say_damaged(history)


def register(app: typer.Typer) -> None:
    """Add this module's command to the evaluations."""
    app.command()(report)


def _say_damaged(history: "History") -> None:
    """Name the lines that could not be read, and exit 1 if there are any."""
    by_file: dict[Path, list[int]] = {}
    for file, number in history.damaged:
        by_file.setdefault(file, []).append(number)
    for file, lines in by_file.items():
        shown = ", ".join(map(str, lines[:10]))
        more = f" and {len(lines) - 10} more" if len(lines) > 10 else ""
        say(f"{file}: damaged and left out: line {shown}{more}")
    if by_file:
        raise typer.Exit(1)
