"""What a report is made of, before it is HTML, Markdown or a page of the app: text, tables, charts.

Everything here is plain text, some of it foreign (a description of weights, a file's name): whoever
writes it out escapes it.
"""

from dataclasses import dataclass

from dino.evaluation.report import Report


@dataclass(frozen=True)
class Table:
    """Cells of text; `strong` are the numbers of rows to set off (ours among published ones)."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: tuple[int, ...] = ()


@dataclass(frozen=True)
class Series:
    """A line of a chart: points by rising x, and the number of its colour; `dashed` sets it off."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: int
    dashed: bool = False


@dataclass(frozen=True)
class Lines:
    """Lines over one axis; `alt_text` is for those who do not see them; `y` is the unit of
    their heights, empty where the title says it; `levels` are heights with names."""

    title: str
    alt_text: str
    x: str
    y: str
    series: tuple[Series, ...]
    levels: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Bar:
    """One bar; `colour` is 0 for ours and 1 for published figures."""

    label: str
    value: float
    colour: int


@dataclass(frozen=True)
class Bars:
    """Bars from 0 with their values written out to `digits`, in `unit`."""

    title: str
    alt_text: str
    unit: str
    digits: int
    bars: tuple[Bar, ...]


Chart = Lines | Bars


@dataclass(frozen=True)
class Measured:
    """One evaluation: how it was made (`facts`, pairs of name and value) and its rows."""

    title: str
    facts: tuple[tuple[str, str], ...]
    table: Table
    report: Report


@dataclass(frozen=True)
class Group:
    """Evaluations on the same data: figures beside published ones, charts, and each by itself."""

    data: str
    comparison: Table | None
    charts: tuple[Chart, ...]
    measured: tuple[Measured, ...]


@dataclass(frozen=True)
class Section:
    """A task: what it measures in a sentence, and its groups."""

    task: str
    title: str
    summary: str
    groups: tuple[Group, ...]
