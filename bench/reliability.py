"""Write the table of docs/reliability.md, of what the checks of `make soak` found.

python -m bench.reliability .venv/figures.jsonl docs/reliability.md

Replaces what lies between the two marks in the page and leaves the words around it.
"""

import json
import platform
import sys
from datetime import date
from pathlib import Path

import torch

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def table(lines: list[dict]) -> str:
    """Write `row`, `tried` and `found` as Markdown, by row; a check that ran twice counts with its last."""
    latest = {(line["row"], line["tried"]): line for line in lines}
    rows = ["| # | what is tried | what was found |", "| --- | --- | --- |"]
    for line in sorted(latest.values(), key=lambda line: line["row"]):
        rows.append(f"| {line['row']} | {line['tried']} | {line['found']} |")
    return "\n".join(rows)


def main(figures: Path, page: Path) -> None:
    """Put the table of `figures` into `page`."""
    lines = [json.loads(line) for line in figures.read_text(encoding="utf-8").splitlines()]
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    machine = (
        f"{torch.get_num_threads()} cores, {platform.system()}, Python {platform.python_version()}"
    )
    when = f"Measured {date.today().isoformat()} by `make soak` ({machine}, torch {torch.__version__})."
    page.write_text(f"{before}{BEGIN}\n{when}\n\n{table(lines)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
