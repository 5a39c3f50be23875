"""The charts of a task: bars of its figures beside published ones, and curves where there are any."""

from collections.abc import Sequence

from dino.evaluation.published import Published, same_data
from dino.evaluation.report import Report, Row
from dino.evaluation.summary.contents import Bar, Bars, Chart, Lines, Series
from dino.evaluation.summary.tasks import Figure, Metric, Task, ends
from dino.system.words import is_number, number, plain

# Bars beyond these are a table's.
_MAX_BARS = 16
_CURVES = (
    ("teacher_entropy", "Entropy of the teacher's outputs", "nats"),
    ("batch_mean_entropy", "Entropy of the batch's mean output", "nats"),
    ("kl", "KL of student and teacher", "nats"),
    ("knn", "k-NN on the way", "%"),
)


def charts_of(
    name: str,
    task: Task,
    reports: Sequence[Report],
    ours: Sequence[tuple[Report, Figure]],
    published: Sequence[tuple[Published, Figure]],
) -> tuple[Chart, ...]:
    """What a group of reports on the same data draws."""
    bars = [
        _bars(metric, task, reports[0], ours, published) for metric in task.metrics if metric.drawn
    ]
    curves: list[Chart] = [chart for chart in bars if chart]
    for report in reports:
        if name == "segmentation":
            curves += mass_curves(report)
        elif name == "ablation":
            curves += ablation_curves(report)
    return tuple(curves)


def _bars(
    metric: Metric,
    task: Task,
    data: Report,
    ours: Sequence[tuple[Report, Figure]],
    published: Sequence[tuple[Published, Figure]],
) -> Bars | None:
    """Ours and then published figures; the same data's alone where there are any."""
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
        (one, Bar(_label(one.network, figure.what), value, 1))
        for one, figure in published
        if (value := figure.values.get(metric.name)) is not None
    ]
    same = [bar for one, bar in theirs if same_data(data.data, one.data)]
    bars = [*mine, *(same or [bar for _, bar in theirs])][:_MAX_BARS]
    told = "; ".join(f"{bar.label} {number(bar.value, metric.digits)}" for bar in bars)
    apart = "" if same or not theirs else ", published ones on other data"
    return Bars(f"{metric.label}{apart}", told, metric.unit, metric.digits, tuple(bars))


def _label(*words: str) -> str:
    return ", ".join(plain(word) for word in words if word)


def mass_curves(report: Report) -> list[Chart]:
    """J of the best head and of the mean of heads over the share of mass, a colour a network."""
    networks = list(
        dict.fromkeys(str(row.get("network")) for row in report.rows if row.get("mass") is not None)
    )
    series = []
    for look, network in enumerate(networks):
        rows = [row for row in report.rows if row.get("network") == network]
        for key, words in (("best_head", "best head"), ("mean_head", "mean of heads")):
            points = _points(rows, "mass", key)
            dashed = key == "mean_head"
            if points:
                series.append(Series(f"{plain(network)}, {words}", points, look, dashed))
    levels = tuple(
        (plain(row.get("network")), row["best_head"])
        for row in report.rows
        if row.get("mass") is None and is_number(row.get("best_head"))
    )
    told = "; ".join(_best(one) for one in series)
    title = f"J over mass, {plain(report.weights['name'])}"
    return [Lines(title, told, "share of mass", "", tuple(series), levels)] if series else []


def ablation_curves(report: Report) -> list[Chart]:
    """Entropies, KL and k-NN by step, a colour a variant."""
    most = {row.get("max_entropy") for row in ends(report)}
    level = most.pop() if len(most) == 1 else None
    charts: list[Chart] = []
    for key, title, unit in _CURVES:
        series = _by_variant(report.rows, key)
        if series:
            told = "; ".join(f"{one.name} ends at {one.points[-1][1]:.3g}" for one in series)
            shown = (("ln K", level),) if level and key.endswith("entropy") else ()
            charts.append(Lines(title, told, "step", unit, series, shown))
    return charts


def _by_variant(rows: Sequence[Row], key: str) -> tuple[Series, ...]:
    variants = list(dict.fromkeys(str(row.get("variant")) for row in rows))
    found = []
    for look, variant in enumerate(variants):
        mine = [row for row in rows if row.get("variant") == variant and row.get("part") == "curve"]
        if points := _points(mine, "step", key):
            found.append(Series(plain(variant), points, look))
    return tuple(found)


def _points(rows: Sequence[Row], x: str, y: str) -> tuple[tuple[float, float], ...]:
    """Where both are numbers, by rising x."""
    both = [row for row in rows if is_number(row.get(x)) and is_number(row.get(y))]
    return tuple(sorted((row[x], row[y]) for row in both))


def _best(series: Series) -> str:
    x, y = max(series.points, key=lambda point: point[1])
    return f"{series.name} at most {y:.3f}, at {x:g}"
