"""The report's charts with Plotly: bars of figures, and lines to hover over."""

from collections.abc import Sequence

import plotly.graph_objects as go

from app.ui.charts import TitledChart, empty_figure, show_in_pairs
from dino.evaluation.summary.contents import Bars, Chart, Lines
from dino.media.draw import CHART_COLORS

_OURS, _PUBLISHED = "#14938a", "#8a9699"
_LINES_PX, _BAR_PX, _AROUND_PX = 300, 26, 70
_LEVEL = {"color": "rgba(128,128,128,0.9)", "width": 1, "dash": "dot"}
# Longer names are cut on the axis and whole on hover.
_MAX_LABEL = 34


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
    figure = empty_figure(_LINES_PX + 22 * ((len(chart.series) + 1) // 2))
    for series in chart.series:
        xs, ys = zip(*series.points, strict=True)
        figure.add_scatter(
            x=xs,
            y=ys,
            name=_literal(series.name),
            mode="lines" if len(xs) > 1 else "markers",
            line={
                "color": CHART_COLORS[series.colour % len(CHART_COLORS)],
                "width": 2,
                "dash": "dash" if series.dashed else "solid",
            },
            hovertemplate=f"{_literal(series.name)}<br>%{{y:.4g}} at %{{x:.4g}}<extra></extra>",
        )
    for name, level in chart.levels:
        label = f"{_literal(name)} {level:.3g}"
        place = {"annotation_text": label, "annotation_position": "top left"}
        figure.add_hline(y=level, line=_LEVEL, **place)
    figure.update_xaxes(title=chart.x)
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(
        showlegend=True, legend={"orientation": "h", "y": -0.25, "yanchor": "top", "x": 0}
    )
    return figure


def bars(chart: Bars) -> go.Figure:
    """Draw bars from the top in their order, ours in a colour of their own."""
    figure = empty_figure(_BAR_PX * len(chart.bars) + _AROUND_PX)
    rows = list(range(len(chart.bars)))
    for number, name, colour in ((0, "ours", _OURS), (1, "published", _PUBLISHED)):
        mine = [row for row in rows if chart.bars[row].colour == number]
        figure.add_bar(
            y=mine,
            x=[chart.bars[row].value for row in mine],
            text=[f"{chart.bars[row].value:.{chart.digits}f}" for row in mine],
            customdata=[_literal(chart.bars[row].label) for row in mine],
            name=name,
            orientation="h",
            marker={"color": colour},
            textposition="outside",
            textfont={"size": 12},
            cliponaxis=False,
            hovertemplate="%{customdata}<br>%{text}<extra></extra>",
        )
    figure.update_yaxes(
        tickvals=rows,
        ticktext=[_literal(_cut(bar.label)) for bar in chart.bars],
        autorange="reversed",
        automargin=True,
    )
    most = max([bar.value for bar in chart.bars if bar.value > 0], default=1.0)
    figure.update_xaxes(title=chart.unit, range=[0, 1.18 * most])  # room for the last number
    figure.update_layout(
        showlegend=True,
        barmode="overlay",
        bargap=0.25,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    )
    return figure


def _cut(label: str) -> str:
    return label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}…"


def _literal(text: str) -> str:
    """Take from foreign texts what Plotly reads as HTML tags and placeholders."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")
