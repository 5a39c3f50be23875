"""The history.jsonl files that evaluations append to: read, checked, and each measurement's latest."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from dino.errors import UserError
from dino.evaluation.report import Report
from dino.system.words import counted

HISTORY = "history.jsonl"
_SOURCES = (
    "Published figures are set beside ours with their sources: Caron et al. 2021 is arXiv 2104.14294. "
    "“Not the same data” means just that: such figures give an idea and are no comparison."
)


@dataclass(frozen=True)
class History:
    """The latest report of each task, weights, data and settings; `num_older` that those replace.

    `damaged` are lines that say nothing, as a crash leaves them: (file, number of the line from 1).
    """

    reports: tuple[Report, ...]
    num_older: int
    damaged: tuple[tuple[Path, int], ...]


def read_histories(folders: Sequence[Path]) -> History:
    """Read every history.jsonl in and below some folders; a file itself does too.

    Raises:
        UserError: no such folder, none of the files, nothing but damaged lines, or a file that
            cannot be read.
    """
    files = find_histories(folders)
    if not files:
        places = ", ".join(str(folder) for folder in folders)
        raise UserError(
            f"{places} holds no {HISTORY}; measure something first, for example with "
            "`python -m dino eval knn --train … --val … --out results`"
        )
    reports, damaged = [], []
    for file in files:
        found, bad = _read(file)
        reports += found
        damaged += [(file, number) for number in bad]
    if not reports and damaged:
        places = ", ".join(str(file) for file in files)
        raise UserError(f"{places}: no line of it says anything; measure again")
    latest = latest_of_each(reports)
    return History(latest, len(reports) - len(latest), tuple(damaged))


def find_histories(folders: Sequence[Path]) -> list[Path]:
    """Find the history files in and below folders, each once.

    Raises:
        UserError: a folder that does not exist.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.exists():
            raise UserError(f"{folder} does not exist; expected a folder of results (their --out)")
        for file in sorted(folder.rglob(HISTORY)) if folder.is_dir() else [folder]:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def latest_of_each(reports: Iterable[Report]) -> tuple[Report, ...]:
    """Keep the latest of each measurement, by task and then by date."""
    latest: dict[str, Report] = {}
    for report in sorted(reports, key=_moment):  # stable: of one second, the later line
        latest[measurement_key(report)] = report
    return tuple(sorted(latest.values(), key=lambda report: (report.task, _moment(report))))


def measurement_key(report: Report) -> str:
    """Say what makes two reports the same measurement: task, weights in their arithmetic, data,
    settings.

    Data are known by their paths, so a folder that has grown since is still the same one.
    """
    weights = report.weights.get("sha256") or report.weights.get("name")
    paths = {k: v for k, v in report.data.items() if "path" in k}
    key = [report.task, weights, report.weights.get("precision"), paths, report.settings]
    return json.dumps(key, sort_keys=True, default=str)


def parse_report(text: str) -> Report:
    """Parse a line of a history.

    Raises:
        ValueError: not JSON, or not what `write_report` wrote.
    """
    document = json.loads(text)
    if not isinstance(document, Mapping):
        raise ValueError("not an object")
    values: dict[str, Any] = {field.name: document.get(field.name) for field in fields(Report)}
    report = Report(**values)
    _check(report)
    return report


def _check(report: Report) -> None:
    for name, hint in get_type_hints(Report).items():
        kind = get_origin(hint) or hint  # a whole number of seconds does too
        if not isinstance(getattr(report, name), (int, float) if kind is float else kind):
            raise ValueError(f"{name} is {getattr(report, name)!r:.40}")
    if not report.rows or not all(isinstance(row, dict) for row in report.rows):
        raise ValueError("rows are no list of objects")
    if not isinstance(report.weights.get("name"), str) or "path" not in report.data:
        raise ValueError("weights without a name, or data without a path")
    _moment(report)


def _moment(report: Report) -> datetime:
    """Read when a report was made; a time without zone is this machine's."""
    return datetime.fromisoformat(report.date).astimezone()


def _read(file: Path) -> tuple[list[Report], list[int]]:
    """Read the reports of a file, and the numbers of its damaged lines."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); check it") from error
    reports, damaged = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            reports.append(parse_report(line))
        except (ValueError, OverflowError, RecursionError):
            damaged.append(number)
    return reports, damaged


def describe_history(history: History) -> tuple[str, ...]:
    """Describe what a history holds, in lines for the head of a report."""
    if not history.reports:
        return ()
    first, last = (pick(map(_moment, history.reports)).strftime("%Y-%m-%d") for pick in (min, max))
    days = first if first == last else f"{first} to {last}"
    lines = [f"{counted(len(history.reports), 'measurement')}, {days}.", _SOURCES]
    if history.num_older:
        older = counted(history.num_older, "earlier run")
        lines.append(f"{older} of the same measurements, which later ones replace, not shown.")
    if history.damaged:
        lines.append(f"{counted(len(history.damaged), 'damaged line')} of the histories left out.")
    return tuple(lines)
