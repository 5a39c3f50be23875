"""The report's charts with Plotly: bars of figures, and lines to hover over."""

from collections.abc import Sequence

import plotly.graph_objects as go

from app.ui.charts import TitledChart, empty_figure, show_in_pairs
from dino.evaluation.summary.contents import Bars, Chart, Lines
from dino.evaluation.summary.svg import wrap_label
from dino.media.palettes import CHART_COLORS, OURS, PUBLISHED

_LINES_PX, _BAR_PX, _AROUND_PX = 300, 26, 70
_LEVEL = {"color": "rgba(128,128,128,0.9)", "width": 1, "dash": "dot"}
# Longer names take several lines.
_MAX_LABEL, _LINE_PX = 34, 14


def show(charts: Sequence[Chart], *, key: str) -> None:
    """Show all charts, two in a row where there is room."""
    show_in_pairs([_titled(chart, f"{key}_{number}") for number, chart in enumerate(charts)])


def _titled(chart: Chart, key: str) -> TitledChart:
    title, figure = chart.title, bars(chart) if isinstance(chart, Bars) else lines(chart)
    if isinstance(chart, Lines) and chart.y:
        title = f"{title}, {chart.y}"
    return TitledChart(key, title, figure, f"{title}: {chart.alt_text}")


def lines(chart: Lines) -> go.Figure:
    """Draw lines with their names below, where a phone has room for them."""
    figure = empty_figure(
        _LINES_PX + 22 * ((len(chart.series) + 1) // 2),
        xaxis={"title": chart.x},
        yaxis={"rangemode": "tozero"},
        showlegend=True,
        legend={"orientation": "h", "y": -0.25, "yanchor": "top", "x": 0},
    )
    for series in chart.series:
        xs, ys = zip(*series.points, strict=True)
        name, colour = _literal(series.name), CHART_COLORS[series.colour % len(CHART_COLORS)]
        figure.add_scatter(
            x=xs,
            y=ys,
            name=name,
            mode="lines" if len(xs) > 1 else "markers",
            line={"color": colour, "width": 2, "dash": "dash" if series.dashed else "solid"},
            hovertemplate=f"{name}<br>%{{y:.4g}} at %{{x:.4g}}<extra></extra>",
        )
    for name, level in chart.levels:
        figure.add_hline(
            y=level,
            line=_LEVEL,
            annotation_text=f"{_literal(name)} {level:.3g}",
            annotation_position="top left",
        )
    return figure


def bars(chart: Bars) -> go.Figure:
    """Draw bars from the top in their order, ours in a colour of their own."""
    labels = [wrap_label(bar.label, _MAX_LABEL) for bar in chart.bars]
    bar_px = _BAR_PX + _LINE_PX * (max(map(len, labels), default=1) - 1)
    most = max((bar.value for bar in chart.bars if bar.value > 0), default=1.0)
    figure = empty_figure(
        bar_px * len(chart.bars) + _AROUND_PX,
        xaxis={"title": chart.unit, "range": [0, 1.18 * most]},  # room for the last number
        yaxis={
            "tickvals": list(range(len(chart.bars))),
            "ticktext": ["<br>".join(map(_literal, lines)) for lines in labels],
            "autorange": "reversed",
            "automargin": True,
        },
        showlegend=True,
        barmode="overlay",
        bargap=0.25,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    )
    for number, name, colour in ((0, "ours", OURS), (1, "published", PUBLISHED)):
        rows = [row for row, bar in enumerate(chart.bars) if bar.colour == number]
        shown = [chart.bars[row] for row in rows]
        figure.add_bar(
            y=rows,
            x=[bar.value for bar in shown],
            text=[f"{bar.value:.{chart.digits}f}" for bar in shown],
            customdata=[_literal(bar.label) for bar in shown],
            name=name,
            orientation="h",
            marker={"color": CHART_COLORS[colour]},
            textposition="outside",
            textfont={"size": 12},
            cliponaxis=False,
            hovertemplate="%{customdata}<br>%{text}<extra></extra>",
        )
    return figure


def _literal(text: str) -> str:
    """Take from foreign texts what Plotly reads as HTML tags and placeholders."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")
