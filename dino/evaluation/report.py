"""What an evaluation leaves behind: results.json, results.csv, and a line in history.jsonl.

report = make_report("knn", backbone, data=..., settings=..., rows=[...], seconds=12.5)
write_report(report, Path("results"))
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from dino.model.backbone import Backbone
from dino.system.files import append_line, write_atomically, write_error

ReportRow = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """One evaluation: what was measured (`rows`), on what, with what and how.

    `weights` has name, sha256, description and precision; `data` paths and numbers of images;
    `settings` the protocol; `seconds` of wall time, `threads` of torch, `date` with its time zone.
    """

    task: str
    weights: dict[str, Any]
    data: dict[str, Any]
    settings: dict[str, Any]
    rows: list[ReportRow]
    seconds: float
    threads: int
    device: str
    date: str


def own_names(names: Mapping[str, str]) -> dict[str, str]:
    """Give the networks of a report the names that tables show, by what they are called in its rows: the
    weights and their twin by their own names, the same of random weights as it is.

    Args:
        names: role → name of the network, such as {"weights": "dino_vits16", "random weights": …}.
    """
    shown: dict[str, str] = {}
    for role, name in names.items():
        own = name if role in ("weights", "twin") else role
        shown[role] = f"{own} ({role})" if own in shown.values() else own
    return shown


def make_report(
    task: str,
    weights: Backbone | ReportRow,
    *,
    device: str = "",
    data: ReportRow,
    settings: ReportRow,
    rows: list[ReportRow],
    seconds: float,
    threads: int | None = None,
) -> Report:
    """Make a report of now, on this machine.

    Args:
        weights: the network; or, where no file of weights stands for what was measured, such as
            training itself, what stands in their place, with `name`, `sha256` (None) and
            `description`, and its `device`.
        threads: of torch; None: this process's.
    """
    if isinstance(weights, Backbone):
        device = str(weights.device)
        weights = {
            "name": weights.name,
            "sha256": weights.weights_sha256,
            "description": weights.description,
            "is_random": weights.is_random,
            "precision": weights.precision,
        }
    return Report(
        task=task,
        weights=weights,
        data=data,
        settings=settings,
        rows=rows,
        seconds=round(seconds, 3),
        threads=torch.get_num_threads() if threads is None else threads,
        device=device,
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def write_report(report: Report, folder: Path) -> None:
    """Write results.json and results.csv, and append to history.jsonl.

    The two are this evaluation's and replaced by the next; the history keeps every one.
    Raises:
        UserError: the folder cannot be written.
    """
    document = asdict(report)
    write_atomically((json.dumps(document, indent=1) + "\n").encode(), folder / "results.json")
    write_atomically(results_csv(report).encode(), folder / "results.csv")
    try:
        append_line(folder / "history.jsonl", json.dumps(document))
    except OSError as error:
        raise write_error(folder / "history.jsonl", error) from error


def results_csv(*reports: Report) -> str:
    """Write a line a row, each beginning with what it belongs to; columns of all reports."""
    lines = []
    for report in reports:
        common = {
            "task": report.task,
            "weights": report.weights["name"],
            "weights_sha256": report.weights["sha256"],
            "data": report.data["path"],
            "num_images": report.data["num_images"],
        }
        made = {"seconds": report.seconds, "date": report.date}
        lines += [common | row | made for row in report.rows]
    buffer = io.StringIO()
    columns = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Write rows of text under their keys, the first column to the left, the others to the right."""
    columns = list(rows[0])
    widths = {c: max(len(c), *(len(row[c]) for row in rows)) for c in columns}
    first, *rest = columns
    lines = [{c: c for c in columns}, *rows]
    return "\n".join(
        "  ".join(
            [line[first].ljust(widths[first]), *(line[c].rjust(widths[c]) for c in rest)]
        ).rstrip()
        for line in lines
    )
