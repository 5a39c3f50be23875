"""Charts of runs over each other: the numbers a run writes down, by step or epoch."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from app.ui.charts import TitledChart, empty_figure, show_in_pairs
from dino.media.palettes import CHART_COLORS
from dino.system.words import bits

COLOURS = CHART_COLORS[:6]
MAX_RUNS = len(COLOURS)
_DASHES = ("solid", "dash", "dot")
# How a value and its place read on hover; steps have metrics, epochs have probes.
_HOVER = {"step": "%{y:.4g} at step %{x}", "epoch": "%{y:.1f} %, epoch %{x}"}
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
# More points than a chart is wide only cost time.
_MAX_POINTS = 600
_HEIGHT_PX = 250


@dataclass(frozen=True)
class Curve:
    """A run as the charts draw it; `style` is the number of its colour and symbol, `damaged` how many
    lines could not be read."""

    name: str
    style: int
    metrics: Sequence[Mapping[str, Any]]
    probes: Sequence[Mapping[str, Any]]
    out_dim: int
    damaged: int = 0

    @property
    def colour(self) -> str:
        return COLOURS[self.style]


def show(curves: Sequence[Curve]) -> None:
    """Show all charts that have something to show, two in a row."""
    drawn = [
        ("Loss", _LOSS_HELP, _lines(curves, {"loss": "loss"})),
        ("k-NN, %", _KNN_HELP, _lines(curves, {"knn": "k-NN"}, x="epoch")),
        ("Entropy and KL, bits", _ENTROPY_HELP, _entropy(curves)),
        ("Learning rate", _LR_HELP, _lines(curves, {"lr": "rate"})),
        ("Photos a second", _SPEED_HELP, _lines(curves, {"images_per_s": "photos/s"})),
    ]
    names = ", ".join(curve.name for curve in curves)
    show_in_pairs(
        [
            TitledChart(
                f"train_chart_{title}", title, figure, _alt(title, names, figure), help_text
            )
            for title, help_text, figure in drawn
            if figure.data
        ]
    )


def _alt(title: str, names: str, figure: go.Figure) -> str:
    """Describe a chart by the last value of each line, for those who do not see it."""
    ends = [
        f"{trace.name} {trace.y[-1]:.4g}" for trace in figure.data if trace.showlegend is not False
    ]
    return f"{title} of {names}; latest: {', '.join(ends)}"


_LOSS_HELP = (
    "How far the student's answers are from the teacher's. Both move, so a lower loss alone does not "
    "mean better features: k-NN tells that."
)
_KNN_HELP = (
    "Share of labelled photos whose class is that of their nearest neighbours, by the features learned "
    "so far; the first point is before any learning."
)
_ENTROPY_HELP = (
    "Solid: entropy of the teacher's answer to one photo. Dashed: of its mean answer over a batch. "
    "Dotted: KL of student and teacher. Collapsed is a run whose solid line lies at log₂ K (K prototypes), "
    "or whose dashed line lies at 0."
)
_LR_HELP = "Rises in the warm-up, then falls along a cosine."
_SPEED_HELP = "How many photos are learned from in a second, all their crops included."


def _lines(
    curves: Sequence[Curve],
    columns: Mapping[str, str],
    *,
    x: str = "step",
    value: Callable[[float], float] = float,
) -> go.Figure:
    """Draw a line for each run and column that has values.

    Args:
        columns: of metrics by step, or of probes by epoch, with the names they have on hover.
        value: turns what a run wrote into what is drawn.
    """
    figure = empty_figure(
        _HEIGHT_PX,
        xaxis={"title": x, "rangemode": "tozero"},
        yaxis={"exponentformat": "power"},
        showlegend=len(curves) > 1,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        uirevision="kept",  # zoomed in, it stays so when new points come
    )
    for curve in curves:
        rows = curve.metrics if x == "step" else curve.probes
        for (column, label), dash in zip(columns.items(), _DASHES, strict=False):
            points = [(row[x], value(row[column])) for row in rows if row.get(column) is not None]
            if not points:
                continue
            xs, ys = zip(*_thinned(points), strict=True)
            marked = {
                "mode": "lines+markers",
                "marker": {"symbol": _SYMBOLS[curve.style], "size": 8},
            }
            plain = {"mode": "lines" if len(points) > 1 else "markers"}
            figure.add_scatter(
                x=xs,
                y=ys,
                name=curve.name,
                legendgroup=curve.name,
                showlegend=dash == "solid",
                line={"color": curve.colour, "dash": dash, "width": 2},
                hovertemplate=f"{curve.name}<br>{label} {_HOVER[x]}<extra></extra>",
                **(plain if x == "step" else marked),
            )
    return figure


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Keep every n-th point and the last."""
    stride = -(-len(points) // _MAX_POINTS)
    kept = points[::stride]
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _entropy(curves: Sequence[Curve]) -> go.Figure:
    """Draw entropies and KL in bits, below the most that an entropy over K prototypes can be."""
    figure = _lines(
        curves,
        {"teacher_entropy": "entropy", "batch_mean_entropy": "batch mean", "kl": "KL"},
        value=bits,
    )
    if figure.data:
        for count in sorted({curve.out_dim for curve in curves}):
            figure.add_hline(
                y=math.log2(count),
                line={"color": "rgba(128,128,128,0.9)", "width": 1},
                annotation={"text": f"log₂ K = {math.log2(count):.2f}", "yanchor": "bottom"},
            )
    return figure
