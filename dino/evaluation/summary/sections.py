"""Reports → sections: our figures beside published ones, with what differs said in words."""

import json
from collections.abc import Iterable, Sequence

from dino.evaluation.published import Published, published_figures, same_data
from dino.evaluation.report import Report, Row
from dino.evaluation.summary.charts import charts_of
from dino.evaluation.summary.contents import Group, Measured, Section, Table
from dino.evaluation.summary.tasks import TASKS, Figure, Metric, Task, task_of
from dino.system.words import (
    NOTHING,
    day,
    duration,
    is_number,
    label,
    number,
    place,
    plain,
    short_digest,
)

NOT_THE_SAME = "not the same data"
OURS = "ours"
# A table wider than this is no table any more.
_MAX_COLUMNS = 12
# Largest over smallest number of a column beyond which equal decimals hide the small ones.
_WIDE_RANGE = 1000


def build_sections(reports: Sequence[Report]) -> tuple[Section, ...]:
    """A section a task, known ones first and in the paper's order; in it a group a data set."""
    names = {report.task for report in reports}
    order = [*(name for name in TASKS if name in names), *sorted(names - TASKS.keys())]
    return tuple(_section(name, [r for r in reports if r.task == name]) for name in order)


def _section(name: str, reports: list[Report]) -> Section:
    task = task_of(name)
    by_data: dict[str, list[Report]] = {}
    for report in reports:
        by_data.setdefault(json.dumps(report.data, sort_keys=True, default=str), []).append(report)
    groups = tuple(_group(name, task, same) for same in by_data.values())
    return Section(name, task.title, task.told, groups)


def _group(name: str, task: Task, reports: list[Report]) -> Group:
    figures = [(report, figure) for report in reports for figure in task.figures(report)]
    published = pivoted(published_figures(name))
    return Group(
        data=data_words(reports[0]),
        comparison=_comparison(task, figures, published, reports[0]),
        charts=charts_of(name, task, reports, figures, published),
        measured=tuple(_measured(task, report) for report in reports),
    )


def pivoted(figures: Iterable[Published]) -> list[tuple[Published, Figure]]:
    """Published figures of one network, variant, data set and source as one row: (any of them, row)."""
    rows: dict[tuple[str, ...], tuple[Published, dict[str, float | None]]] = {}
    for figure in figures:
        key = (figure.paper, figure.source, figure.network, figure.variant, figure.data)
        rows.setdefault(key, (figure, {}))[1][figure.metric] = figure.value
    found = [(one, values) for one, values in rows.values()]
    _set_in_relation([values for _, values in found])
    return [(one, Figure(one.variant, values)) for one, values in found]


def _set_in_relation(rows: list[dict[str, float | None]]) -> None:
    """Hours as multiples of the first row's, which another machine's can be compared with."""
    base = next((row["hours"] for row in rows if "hours" in row), None)
    for row in rows:
        if base and (hours := row.get("hours")) is not None:
            row["relative"] = hours / base


def _comparison(
    task: Task,
    ours: list[tuple[Report, Figure]],
    published: list[tuple[Published, Figure]],
    data: Report,
) -> Table | None:
    if not ours and not published:
        return None
    present = {
        name
        for _, figure in [*ours, *published]
        for name, value in figure.values.items()
        if value is not None
    }
    metrics = [metric for metric in task.metrics if metric.name in present]
    rows = [
        (report.weights["name"], figure.what, *_cells(figure, metrics), "", data_name(report), OURS)
        for report, figure in ours
    ]
    rows += [
        (
            one.network or NOTHING,
            figure.what,
            *_cells(figure, metrics),
            difference(task, data, one),
            one.data,
            f"{one.paper}, {one.source}",
        )
        for one, figure in published
    ]
    head = ("network", "what", *(metric.label for metric in metrics), "note", "data", "source")
    cells = tuple(tuple(plain(cell) if cell else "" for cell in row) for row in rows)
    return Table(head, cells, strong=tuple(range(len(ours))))


def difference(task: Task, ours: Report, published: Published) -> str:
    """What keeps a published figure from being compared with ours one to one, in words."""
    same = same_data(ours.data, published.data)
    words = ["same data, by its counts" if same else NOT_THE_SAME, task.apart]
    return "; ".join(word for word in words if word)


def _cells(figure: Figure, metrics: Iterable[Metric]) -> list[str]:
    return [number(figure.values.get(metric.name), metric.digits) for metric in metrics]


def data_name(report: Report) -> str:
    """The data's path, its last two parts."""
    return place(report.data["path"])


def data_words(report: Report) -> str:
    """The data in words: its name and what is counted in it."""
    others = {name: value for name, value in report.data.items() if name != "path"}
    # Paths come last: what is counted belongs to the name before it.
    told = [_told(name, others[name]) for name in sorted(others, key=lambda n: n.endswith("path"))]
    return f"{data_name(report)}: {', '.join(told)}" if told else data_name(report)


def _told(name: str, value: object) -> str:
    """ "num_images", 150 → "150 images"; "train_path" → "train: imagenette/train"."""
    if name.startswith("num_"):
        return f"{plain(value)} {label(name.removeprefix('num_'))}"
    if name.endswith("path"):
        return f"{label(name.removesuffix('_path'))}: {place(value)}"
    return f"{label(name)} {plain(str(value))}"  # a year is no count


def _measured(task: Task, report: Report) -> Measured:
    weights = report.weights
    facts = {
        "weights": plain(weights["name"]),
        "what they are": plain(weights.get("description")),
        "sha256": short_digest(weights.get("sha256")),
        "precision": plain(weights.get("precision")),
        "data": data_words(report),
        **{label(name): plain(value) for name, value in report.settings.items()},
        "measured": day(report.date),
        "machine": f"{plain(report.device)}, {report.threads} threads, {duration(report.seconds, digits=1)}",
    }
    return Measured(
        title=f"{plain(weights['name'])} on {data_name(report)}",
        facts=tuple((name, value) for name, value in facts.items() if value != NOTHING),
        table=rows_table(list(task.listed(report))),
        report=report,
    )


def rows_table(rows: Sequence[Row]) -> Table:
    """Rows under their keys; where there are many keys, the first ones."""
    keys = list(dict.fromkeys(key for row in rows for key in row))[:_MAX_COLUMNS]
    columns = [_column([row.get(key) for row in rows]) for key in keys]
    return Table(tuple(label(key) for key in keys), tuple(zip(*columns, strict=True)))


def _column(values: Sequence[object]) -> list[str]:
    """Values one below the other, fractions with the same decimals where that does for them all."""
    numbers = [abs(value) for value in values if isinstance(value, float) and is_number(value)]
    if not numbers or max(numbers) >= _WIDE_RANGE * min((n for n in numbers if n), default=1):
        return [number(value) for value in values]
    digits = 4 if max(numbers) < 1 else 2
    return [number(v, digits) if isinstance(v, float) else number(v) for v in values]
