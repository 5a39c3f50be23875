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

from bench.markdown import table

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def main(figures: Path, page: Path) -> None:
    """Put the table of `figures` into `page`."""
    lines = [json.loads(line) for line in figures.read_text(encoding="utf-8").splitlines()]
    found = {
        (line["row"], line["tried"]): line["found"] for line in lines
    }  # the last of each check
    rows = sorted(((*check, result) for check, result in found.items()), key=lambda row: row[0])
    written = "\n".join(table(("#", "what is tried", "what was found"), rows))
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    machine = (
        f"{torch.get_num_threads()} cores, {platform.system()}, Python {platform.python_version()}"
    )
    when = f"Measured {date.today().isoformat()} by `make soak` ({machine}, torch {torch.__version__})."
    page.write_text(f"{before}{BEGIN}\n{when}\n\n{written}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
