"""Reports → sections: our figures beside published ones, what differs said in words, and charts."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dino.evaluation.published import Published, published_figures, same_data
from dino.evaluation.report import Report, ReportRow, own_names
from dino.evaluation.summary.contents import (
    Bar,
    Bars,
    Chart,
    Group,
    Lines,
    Measured,
    Section,
    Series,
    Table,
)
from dino.evaluation.summary.tasks import TASKS, Figure, Metric, Task, in_bits, is_final, task_of
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
# Bars beyond these are a table's.
_MAX_BARS = 16
# Settings in a title, and the letters of one; more are in the facts below it.
_MAX_APART, _MAX_FACT = 3, 40
# What is counted in data, where it is one.
_SINGULAR = {
    "images": "image",
    "classes": "class",
    "objects": "object",
    "queries": "query",
    "distractors": "distractor",
    "sequences": "sequence",
}
_CURVES = (
    ("teacher_entropy", "Entropy of the teacher's outputs", "bits"),
    ("batch_mean_entropy", "Entropy of the batch's mean output", "bits"),
    ("kl", "KL of student and teacher", "bits"),
    ("knn", "k-NN on the way", "%"),
)


def build_sections(reports: Sequence[Report]) -> tuple[Section, ...]:
    """Build a section a task, known ones first and in the paper's order; in it a group a data set."""
    names = {report.task for report in reports}
    order = [*(name for name in TASKS if name in names), *sorted(names - TASKS.keys())]
    return tuple(_section(name, [r for r in reports if r.task == name]) for name in order)


def _section(name: str, reports: list[Report]) -> Section:
    task = task_of(name)
    by_data: dict[str, list[Report]] = {}
    for report in reports:
        by_data.setdefault(json.dumps(report.data, sort_keys=True, default=str), []).append(report)
    titles = _titles(reports)
    groups = tuple(_group(name, task, same, titles) for same in by_data.values())
    return Section(name, task.title, task.summary, groups)


def _titles(reports: Sequence[Report]) -> dict[int, str]:
    """Title reports, by `id`: weights and data, and where several share these, what tells them apart."""
    titles = {id(r): f"{plain(r.weights['name'])} on {data_name(r)}" for r in reports}
    for title, count in Counter(titles.values()).items():
        alike = [r for r in reports if titles[id(r)] == title] if count > 1 else []
        shown = [
            {
                "sha256": short_digest(r.weights.get("sha256")),
                **_facts_of(r.data),
                **_facts_of(r.settings),
            }
            for r in alike
        ]
        keys = dict.fromkeys(key for facts in shown for key in facts)
        apart = [key for key in keys if len({facts.get(key) for facts in shown}) > 1]
        for report, facts in zip(alike, shown, strict=True):
            words = [f"{label(key)} {facts.get(key, NOTHING)}" for key in apart[:_MAX_APART]]
            titles[id(report)] = f"{title}: {', '.join([*words, day(report.date)])}"
    return titles


def _facts_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Write those values of a report as text that fit into a title."""
    texts = {key: place(v) if key.endswith("path") else plain(v) for key, v in values.items()}
    return {key: text for key, text in texts.items() if len(text) <= _MAX_FACT}


def _group(name: str, task: Task, reports: list[Report], titles: Mapping[int, str]) -> Group:
    figures = [(report, figure) for report in reports for figure in task.figures(report)]
    published = pivoted(published_figures(name))
    return Group(
        data=data_words(reports[0]),
        comparison=_comparison(task, figures, published, reports[0]),
        charts=charts_of(name, task, reports, figures, published),
        measured=tuple(_measured(task, report, titles[id(report)]) for report in reports),
    )


def pivoted(figures: Iterable[Published]) -> list[tuple[Published, Figure]]:
    """Pivot published figures: those of one network, variant, data set and source become one row,
    (any of them, row)."""
    rows: dict[tuple[str, ...], tuple[Published, dict[str, float | None]]] = {}
    for figure in figures:
        key = (figure.paper, figure.source, figure.network, figure.variant, figure.data)
        rows.setdefault(key, (figure, {}))[1][figure.metric] = figure.value
    _set_in_relation([values for _, values in rows.values()])
    return [(first, Figure(first.variant, values)) for first, values in rows.values()]


def _set_in_relation(rows: list[dict[str, float | None]]) -> None:
    """Give hours as multiples of the first row's, which another machine's can be compared with."""
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
            theirs.network or NOTHING,
            figure.what,
            *_cells(figure, metrics),
            difference(task, data, theirs),
            theirs.data,
            f"{theirs.paper}, {theirs.source}",
        )
        for theirs, figure in published
    ]
    head = ("network", "what", *(metric.label for metric in metrics), "note", "data", "source")
    cells = tuple(tuple(plain(cell) if cell else "" for cell in row) for row in rows)
    return Table(head, cells, strong=tuple(range(len(ours))))


def difference(task: Task, ours: Report, published: Published) -> str:
    """Say what keeps a published figure from being compared with ours one to one, in words."""
    same = same_data(ours.data, published.data)
    words = ["same data, by its counts" if same else NOT_THE_SAME, task.caveat]
    return "; ".join(word for word in words if word)


def _cells(figure: Figure, metrics: Iterable[Metric]) -> list[str]:
    return [number(figure.values.get(metric.name), metric.digits) for metric in metrics]


def data_name(report: Report) -> str:
    """Name the data by the last two parts of its path."""
    return place(report.data["path"])


def data_words(report: Report) -> str:
    """Put the data into words: its name and what is counted in it."""
    others = {name: value for name, value in report.data.items() if name != "path"}
    # Paths come last: what is counted belongs to the name before it.
    names = sorted(others, key=lambda name: name.endswith("path"))
    facts = ", ".join(_fact(name, others[name]) for name in names)
    return f"{data_name(report)}: {facts}" if facts else data_name(report)


def _fact(name: str, value: object) -> str:
    """Write one fact: "num_images", 150 → "150 images"; "train_path" → "train: imagenette/train"."""
    if name.startswith("num_"):
        noun = label(name.removeprefix("num_"))
        return f"{plain(value)} {_SINGULAR.get(noun, noun) if value == 1 else noun}"
    if name.endswith("path"):
        return f"{label(name.removesuffix('_path'))}: {place(value)}"
    return f"{label(name)} {plain(str(value))}"  # a year is no count


def _measured(task: Task, report: Report, title: str) -> Measured:
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
        title=title,
        facts=tuple((name, value) for name, value in facts.items() if value != NOTHING),
        table=rows_table(_named_rows(report, task.listed(report))),
        report=report,
    )


def _named_rows(report: Report, rows: Iterable[ReportRow]) -> list[ReportRow]:
    """Copy rows with each network's own name in place of what the report calls it."""
    known = report.settings.get("networks")
    listed = known if isinstance(known, dict) else {}
    names = own_names(
        {
            "weights": str(report.weights["name"]),
            **{role: str(of[0]) for role, of in listed.items() if isinstance(of, list) and of},
        }
    )
    return [
        {**row, "network": names.get(str(row["network"]), row["network"])}
        if "network" in row
        else row
        for row in rows
    ]


def rows_table(rows: Sequence[ReportRow]) -> Table:
    """Lay rows out under their keys; where there are many keys, the first ones."""
    keys = list(dict.fromkeys(key for row in rows for key in row))[:_MAX_COLUMNS]
    columns = [_column([row.get(key) for row in rows]) for key in keys]
    return Table(tuple(label(key) for key in keys), tuple(zip(*columns, strict=True)))


def _column(values: Sequence[object]) -> list[str]:
    """Write values one below the other, fractions with the same decimals where that does for them
    all."""
    numbers = [abs(value) for value in values if isinstance(value, float) and is_number(value)]
    if not numbers or max(numbers) >= _WIDE_RANGE * min((n for n in numbers if n), default=1):
        return [number(value) for value in values]
    digits = 4 if max(numbers) < 1 else 2
    return [number(v, digits) if isinstance(v, float) else number(v) for v in values]


def charts_of(
    name: str,
    task: Task,
    reports: Sequence[Report],
    ours: Sequence[tuple[Report, Figure]],
    published: Sequence[tuple[Published, Figure]],
) -> tuple[Chart, ...]:
    """Make the charts of a group of reports on the same data."""
    bars = [
        _bars(metric, task, reports[0], ours, published) for metric in task.metrics if metric.drawn
    ]
    curves = {"segmentation": mass_curves, "ablation": ablation_curves}.get(name)
    lines = [chart for report in reports for chart in curves(report)] if curves else []
    return (*filter(None, bars), *lines)


def _bars(
    metric: Metric,
    task: Task,
    data: Report,
    ours: Sequence[tuple[Report, Figure]],
    published: Sequence[tuple[Published, Figure]],
) -> Bars | None:
    """Make bars of ours and then published figures; the same data's alone where there are any."""
    shown = [figure for _, figure in ours if is_number(figure.values.get(metric.name))]
    kinds = {figure.what for figure in shown}  # said where it tells ours apart
    mine = [
        Bar(_label(figure.what if len(kinds) > 1 else "", report.weights["name"]), value, 0)
        for report, figure in ours
        if (value := figure.values.get(metric.name)) is not None and is_number(value)
    ]
    if not mine:
        return None
    theirs = [
        (source, Bar(_label(source.network, figure.what), value, 1))
        for source, figure in published
        if (value := figure.values.get(metric.name)) is not None
    ]
    same = [bar for source, bar in theirs if same_data(data.data, source.data)]
    # Of many, ours leave room for published ones, up to half of it.
    others = (same or [bar for _, bar in theirs])[: max(_MAX_BARS - len(mine), _MAX_BARS // 2)]
    drawn = mine[: _MAX_BARS - len(others)]
    bars = (*drawn, *others)
    alt_text = "; ".join(f"{bar.label} {number(bar.value, metric.digits)}" for bar in bars)
    left_out = "" if drawn == mine else f", the first {len(drawn)} of our {len(mine)}"
    apart = "" if same or not theirs else ", published ones on other data"
    title = f"{metric.label}{left_out}{apart}"
    return Bars(title, alt_text, metric.unit, metric.digits, bars)


def _label(*words: str) -> str:
    return ", ".join(plain(word) for word in words if word)


def mass_curves(report: Report) -> list[Chart]:
    """Draw J of the best head and of the mean of heads over the share of mass, a colour a network."""
    networks = dict.fromkeys(
        str(row.get("network")) for row in report.rows if row.get("mass") is not None
    )
    series = []
    for colour, network in enumerate(networks):
        rows = [row for row in report.rows if row.get("network") == network]
        for key, words in (("best_head", "best head"), ("mean_head", "mean of heads")):
            points = _points(rows, "mass", key)
            dashed = key == "mean_head"
            if points:
                series.append(Series(f"{plain(network)}, {words}", points, colour, dashed))
    levels = tuple(
        (plain(row.get("network")), row["best_head"])
        for row in report.rows
        if row.get("mass") is None and is_number(row.get("best_head"))
    )
    alt_text = "; ".join(_best(line) for line in series)
    title = f"J over mass, {plain(report.weights['name'])}"
    return [Lines(title, alt_text, "share of mass", "", tuple(series), levels)] if series else []


def ablation_curves(report: Report) -> list[Chart]:
    """Draw entropies, KL and k-NN by step, a colour a variant."""
    rows = [in_bits(row) for row in report.rows]
    most = {row.get("max_entropy") for row in rows if is_final(row)}
    level = most.pop() if len(most) == 1 else None
    charts: list[Chart] = []
    for key, title, unit in _CURVES:
        series = _by_variant(rows, key)
        if series:
            alt_text = "; ".join(f"{s.name} ends at {s.points[-1][1]:.3g}" for s in series)
            shown = (("log₂ K", level),) if level and key.endswith("entropy") else ()
            charts.append(Lines(title, alt_text, "step", unit, series, shown))
    return charts


def _by_variant(rows: Sequence[ReportRow], key: str) -> tuple[Series, ...]:
    variants = dict.fromkeys(str(row.get("variant")) for row in rows)
    found = []
    for colour, variant in enumerate(variants):
        mine = [row for row in rows if row.get("variant") == variant and row.get("part") == "curve"]
        if points := _points(mine, "step", key):
            found.append(Series(plain(variant), points, colour))
    return tuple(found)


def _points(rows: Sequence[ReportRow], x: str, y: str) -> tuple[tuple[float, float], ...]:
    """Pick the rows where both are numbers, by rising x."""
    both = [row for row in rows if is_number(row.get(x)) and is_number(row.get(y))]
    return tuple(sorted((row[x], row[y]) for row in both))


def _best(series: Series) -> str:
    x, y = max(series.points, key=lambda point: point[1])
    return f"{series.name} at most {y:.3f}, at {x:g}"
