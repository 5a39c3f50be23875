"""The picture of an ablation: bars and curves as one SVG, and as an HTML file to zoom in."""

from collections.abc import Sequence
from typing import Any

from dino.evaluation.report import Report
from dino.evaluation.summary.contents import Bar, Bars, Chart, Lines
from dino.evaluation.summary.sections import ablation_curves
from dino.evaluation.summary.svg import svg_file
from dino.evaluation.summary.tasks import final_rows
from dino.media.palettes import CHART_COLORS, OURS
from dino.system.words import number

_TITLE = "Ablation of DINO"
_HEIGHT_PX = 330
_DASHES = ("solid", "dash", "dot", "dashdot")


def ablation_charts(report: Report) -> list[Chart]:
    """Chart k-NN at the end as bars, and the curves on the way."""
    bars = tuple(
        Bar(str(row["variant"]), row["knn"], 0)
        for row in final_rows(report)
        if row.get("knn") is not None
    )
    alt_text = "; ".join(f"{bar.label} {number(bar.value, 1)}" for bar in bars)
    first: list[Chart] = [Bars("k-NN at the end, %", alt_text, "%", 1, bars)] if bars else []
    return [*first, *ablation_curves(report)]


def ablation_svg(report: Report) -> str:
    """Draw all charts, one below the other."""
    return svg_file(ablation_charts(report), _TITLE)


def ablation_html(report: Report) -> str:
    """Draw the same with Plotly, which comes along in the file: it needs no network."""
    from plotly import io

    figure = ablation_figure(ablation_charts(report))
    page: str = io.to_html(figure, include_plotlyjs=True, full_html=True)
    return page


def ablation_figure(charts: Sequence[Chart]) -> Any:
    """Make a `plotly.graph_objects.Figure` with a row a chart; a variant has its colour in all of them."""
    from plotly.subplots import make_subplots

    titles = [
        f"{chart.title}, {chart.y}" if isinstance(chart, Lines) else chart.title for chart in charts
    ]
    figure = make_subplots(rows=len(charts), cols=1, subplot_titles=titles)
    colours: dict[str, str] = {}
    for row, chart in enumerate(charts, start=1):
        if isinstance(chart, Bars):
            labels = [bar.label for bar in chart.bars]
            values = [bar.value for bar in chart.bars]
            marker = {"color": CHART_COLORS[OURS]}
            figure.add_bar(x=labels, y=values, marker=marker, showlegend=False, row=row, col=1)
            continue
        for series in chart.series:
            first = series.name not in colours
            colours.setdefault(series.name, CHART_COLORS[series.colour % len(CHART_COLORS)])
            xs, ys = zip(*series.points, strict=True)
            figure.add_scatter(
                x=xs,
                y=ys,
                name=series.name,
                legendgroup=series.name,
                showlegend=first,
                mode="lines+markers" if len(xs) < 2 else "lines",
                line={"color": colours[series.name], "dash": _DASHES[series.colour % len(_DASHES)]},
                row=row,
                col=1,
            )
        for name, level in chart.levels:
            figure.add_hline(y=level, line={"color": "#888", "dash": "dot"}, row=row, col=1)
            figure.add_annotation(
                text=name, x=1, xref="x domain", y=level, yanchor="bottom", showarrow=False,
                row=row, col=1,
            )  # fmt: skip
        figure.update_xaxes(title_text=chart.x, row=row, col=1)
    figure.update_layout(title=_TITLE, height=_HEIGHT_PX * len(charts), template="plotly_white")
    return figure
