"""`eval report`: everything that was measured, beside what others published, as one page."""

from pathlib import Path
from typing import Annotated

import typer

from dino.cli import run


def report(
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders searched for history.jsonl, which every evaluation leaves in its --out. "
            "Default: results."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder the report goes to.")] = Path("report"),
) -> None:
    """Write report.html and report.md: the latest of each measurement beside published figures.

    The page needs nothing but itself, shows light and dark, and prints.
    """
    from dino.evaluation.summary import build_sections, html_page, markdown, read_histories
    from dino.evaluation.summary.history import describe_history

    history = read_histories(results or [Path("results")])
    sections = build_sections(history.reports)
    lines = describe_history(history)
    run.make_folder(out)
    pages = {"report.html": html_page(sections, lines), "report.md": markdown(sections, lines)}
    run.write_files(((name, text.encode()) for name, text in pages.items()), out)
    print(*lines, *(out / name for name in pages), sep="\n")
    damaged: dict[Path, list[int]] = {}
    for file, number in history.damaged:
        damaged.setdefault(file, []).append(number)
    for file, numbers in damaged.items():
        run.print_status(f"{file}: damaged and left out: line {run.list_some(numbers)}")
    if damaged:
        raise typer.Exit(1)
