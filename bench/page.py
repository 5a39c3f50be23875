"""Write `speed.md` from `speed.json`: rows that fall short first, what each was measured beside, machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import growth_page
from bench.markdown import table
from bench.outcome import (
    NOT_APPLICABLE,
    NOT_MEASURED,
    PASS,
    SHORT,
    reaches_stretch,
    row_verdict,
    verdict,
)
from bench.table import BY_NUMBER, ROWS, Criterion, Row

FAILED = "failed"
_ORDER = (FAILED, SHORT, PASS, NOT_APPLICABLE, NOT_MEASURED)
_INTRODUCTION = """# Speed

Made by `python -m bench` out of `speed.json`; do not edit. Each row is a ratio against a baseline **in the
same run**, in turns with it, so that a busy machine slows both. *Plain* is the method written as its
equations read (`bench/plain.py`): N×N attention in every block, loops over parameters, PIL crops. Peers are
other packages (`requirements-bench.txt`). Efficiency is the arithmetic the result needs (GFLOP, counted in
`bench/flops.py`, without what we leave out), over the rate this machine multiplies matrices with in that
precision (the best of four shapes, in turns with the rest), over the time taken. Figures are of medians; spread
is highest − lowest over the median, and where it is large, the machine was shared: see the fastest too. Networks are random, except in row 17.
"""


def write(content: Mapping[str, Any], out: Path) -> None:
    """Write the page and its picture into the folder `out`."""
    (out / "speed.md").write_text(markdown(content), encoding="utf-8")
    growth = content["sections"].get("growth")
    if growth and growth["status"] == "measured":
        (out / "speed.svg").write_text(growth_page.picture(growth), encoding="utf-8")


def markdown(content: Mapping[str, Any]) -> str:
    """Write the whole page."""
    rows = content["rows"]
    parts = [_INTRODUCTION, _machines(rows), _table(rows), _reasons(rows), _ways(rows)]
    parts += growth_page.sections(content["sections"])
    return "\n".join(part for part in parts if part)


def status(row: Row, found: Mapping[str, Any] | None) -> str:
    """Give a row's verdict: what its figures say, or why there are none."""
    if found is None:
        return NOT_MEASURED
    if found["status"] != "measured":
        return str(found["status"])
    return row_verdict(row, found["figures"])


def summary(name: str, found: Mapping[str, Any]) -> str:
    """Sum a row up in one line, for whoever waits."""
    if found["status"] != "measured":
        return f"{found['status']}: {found['reason']}"
    if not name.isdigit():
        return "measured"
    row = BY_NUMBER[int(name)]
    figures = "; ".join(f"{c.figure} {figure(c, found['figures'])}" for c in row.criteria)
    return f"{row_verdict(row, found['figures'])}: {figures}"


def figure(criterion: Criterion, figures: Mapping[str, float | None]) -> str:
    """Write a figure as it is read."""
    if criterion.figure not in figures:
        return NOT_MEASURED
    value = figures[criterion.figure]
    return NOT_APPLICABLE if value is None else number(value, criterion.unit)


def number(value: float, unit: str) -> str:
    """Write a number with its unit: shares in percent, the rest to three digits."""
    if unit == "%":
        return f"{value:.0%}"
    text = f"{value:.3f}" if not unit and value else f"{value:.3g}"
    return f"{text} {unit}" if unit.isalpha() else f"{text}{unit}"


def _machines(rows: Mapping[str, Any]) -> str:
    """Describe the machine, or the machines, that rows were measured on."""
    measured: dict[str, list[str]] = {}
    for name, found in rows.items():
        if "machine" in found:
            measured.setdefault(_machine(found), []).append(name)
    lines = [
        f"- {machine}: row{'s' if len(names) > 1 else ''} {', '.join(names)}"
        for machine, names in measured.items()
    ]
    tiny = [name for name, found in rows.items() if found.get("tiny")]
    if tiny:
        lines.append(
            f"- **Rows {', '.join(tiny)} were run with `--tiny`: they show that it works, no speed.**"
        )
    loads = [found["machine"]["load before"] for found in rows.values() if "machine" in found]
    if loads:
        lines.append(f"- Load average before a row: {min(loads)} to {max(loads)}.")
    return "\n".join(["## Machine\n", *lines, ""])


def _machine(found: Mapping[str, Any]) -> str:
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    return (
        f"{gpu}{machine['processor']} ({' '.join(machine['flags']) or 'no flags known'}), "
        f"{machine['cores']} cores, {machine['threads']} threads (waiting: {machine.get('threads wait', 'passive')}), {machine['memory_gb']} GB, "
        f"{machine['system']}, Python {machine['python']}; {versions}; {found['at'][:10]}"
    )


def _table(rows: Mapping[str, Any]) -> str:
    """Write a line for each criterion, the rows that fall short first."""
    lines = [
        "## The table\n",
        "| # | what | beside | figure | measured | bar | | stretch | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in sorted(ROWS, key=lambda row: _ORDER.index(status(row, rows.get(str(row.number))))):
        lines += _criteria(row, rows.get(str(row.number)))
    return "\n".join([*lines, ""])


def _criteria(row: Row, found: Mapping[str, Any] | None) -> list[str]:
    figures = found["figures"] if found and found["status"] == "measured" else {}
    failed = status(row, found) == FAILED
    lines = []
    for index, criterion in enumerate(row.criteria):
        head = f"| {row.number} | {row.what} | {row.baseline} " if index == 0 else "| | | "
        word = FAILED if failed else verdict(criterion, figures)
        word = f"**{word}**" if word in (SHORT, FAILED) else word
        further = {True: "reached", False: "not yet", None: ""}[reaches_stretch(criterion, figures)]
        cells = [
            criterion.figure,
            figure(criterion, figures),
            _limit(criterion, criterion.bar),
            word if criterion.bar is not None or failed else "",
            _limit(criterion, criterion.stretch),
            further,
        ]
        lines.append(f"{head}| {' | '.join(cells)} |")
    return lines


def _limit(criterion: Criterion, value: float | None) -> str:
    return "–" if value is None else f"{criterion.sign} {number(value, criterion.unit)}"


def _reasons(rows: Mapping[str, Any]) -> str:
    """Say why rows were not measured or failed, and what is to be said of those that were."""
    lines = []
    for row in ROWS:
        found = rows.get(str(row.number), {"status": NOT_MEASURED, "reason": "not asked for yet"})
        if found["status"] != "measured":
            lines.append(f"- Row {row.number}: {found['status']}: {found['reason']}.")
        lines += [f"- Row {row.number}: {note}" for note in found.get("notes", [])]
    return "\n".join(["## Notes\n", *lines, ""])


def _ways(rows: Mapping[str, Any]) -> str:
    """List every way that was timed."""
    lines = []
    for name, found in rows.items():
        for way in found.get("ways", []):
            unit = way["unit"]
            fastest = f"{way['fastest']:.4g} {unit}" if "fastest" in way else "–"
            spread = f"{way['spread']:.0%}" if "spread" in way else "–"
            median = f"{way['median']:.4g} {unit}"
            lines.append((name, way["way"], median, fastest, spread, way.get("repeats", 1)))
    titles = ("#", "way", "median", "fastest", "spread", "repeats")
    return "\n".join(["## What was timed\n", *table(titles, lines), ""])
