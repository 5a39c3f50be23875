"""Charts as SVG, drawn here: no library, no font, no colour that light or dark would swallow.

svg_chart(chart)                    # for a page that has CHART_CSS
svg_file(charts)                    # a file that stands alone
"""

import math
import re
import textwrap
from collections.abc import Sequence
from html import escape

from dino.evaluation.summary.contents import Bars, Chart, Lines, Series
from dino.media.palettes import CHART_COLORS, OURS, PUBLISHED
from dino.system.words import number

# Made for a phone's width: there letters are about 10 px high, on a desk larger.
_WIDTH, _PLOT_H = 440, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 26, 36
_LETTER = 6.6  # mean width of a letter of 11 px
_ROW = 24
# Where a label may be broken: at spaces, and after the signs that join a name.
_BREAKS = re.compile(r"(\s+|(?<=[_/-])(?=\w))")
_LINE, _MAX_LINES = 13, 3  # of a label: px from one to the next, and how many
_LEGEND_ROW = 17
_LABEL_W = 190

# The palette stands out on white and on black; ink and grid have a colour for each.
CHART_CSS = """
.chart { --ink: #17252a; --line: #d5dfdf; font: 11px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .chart { --ink: #e8f0ef; --line: #2f4043; } }
@media print { .chart { --ink: #17252a; --line: #d5dfdf; } }
.chart text { fill: var(--ink); }
.chart .title { font-weight: 600; font-size: 12px; }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .level { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 1 3; }
.chart .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.chart .dashed { stroke-dasharray: 5 3; }
"""


class Scale:
    """A straight line from values to px; a range of nothing goes to its middle."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low, self._span = low, high - low
        self._start, self._length = start, end - start

    def __call__(self, value: float) -> float:
        share = (value - self._low) / self._span if self._span else 0.5
        return self._start + share * self._length


def svg_chart(chart: Chart) -> str:
    """Draw a chart as an <svg> element, whose class is `chart`."""
    body, height = _draw(chart)
    return _element(chart.title, chart.alt_text, body, height)


def svg_file(charts: Sequence[Chart], title: str) -> str:
    """Draw charts one below the other, as a file of its own, on a white or a dark ground."""
    parts, y = [], 0.0
    for chart in charts:
        body, height = _draw(chart)
        parts.append(f'<g transform="translate(0 {y:.0f})">{body}</g>')
        y += height + 12
    alt_text = "; ".join(f"{chart.title}: {chart.alt_text}" for chart in charts)
    ground = (
        ".ground { fill: #fff; } @media (prefers-color-scheme: dark) { .ground { fill: #10191b; } }"
    )
    inner = f'<style>{CHART_CSS}{ground}</style><rect class="ground" width="100%" height="100%"/>'
    element = _element(title, alt_text, inner + "".join(parts), y)
    return element.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)


def _element(title: str, alt_text: str, body: str, height: float) -> str:
    label = escape(f"{title}: {alt_text}", quote=True)
    return (
        f'<svg class="chart" role="img" aria-label="{label}" viewBox="0 0 {_WIDTH} {height:.0f}">'
        f"{body}</svg>"
    )


def _draw(chart: Chart) -> tuple[str, float]:
    """Draw the elements of a chart, and its height."""
    body, height = _lines(chart) if isinstance(chart, Lines) else _bars(chart)
    return "".join(body), height


def _lines(chart: Lines) -> tuple[list[str], float]:
    """Draw the elements of a chart of lines, and its height."""
    points = [point for series in chart.series for point in series.points]
    xs, ys = zip(*points, strict=True)
    levels = [height for _, height in chart.levels]
    x_ticks = ticks(min(xs), max(xs))
    y_ticks = ticks(min(*ys, *levels, 0.0), max(*ys, *levels, 0.0))
    x_of = Scale(x_ticks[0], x_ticks[-1], _LEFT, _WIDTH - _RIGHT)
    y_of = Scale(y_ticks[0], y_ticks[-1], _TOP + _PLOT_H, _TOP)
    title = f"{chart.title}, {chart.y}" if chart.y else chart.title
    body = [_text(_LEFT - 40, 14, title, "title"), *_grid(x_ticks, y_ticks, x_of, y_of)]
    for name, height in chart.levels:
        y = y_of(height)
        body.append(f'<path class="level" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        body.append(_text(_LEFT + 3, y - 3, f"{name} {number(height)}"))
    for series in chart.series:
        points = [(x_of(x), y_of(y)) for x, y in series.points]
        body.append(_curve(series, "L".join(f"{x:.1f} {y:.1f}" for x, y in points)))
        if len(points) == 1:
            x, y = points[0]
            fill = _fill(series.colour)
            body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" {fill}/>')
    bottom = _TOP + _PLOT_H
    body.append(_text(_WIDTH - _RIGHT, bottom + 28, chart.x, anchor="end"))
    legend, below = _legend(chart, bottom + _BOTTOM + 10)
    return [*body, *legend], below


def _legend(chart: Lines, y: float) -> tuple[list[str], float]:
    """Write the names of the lines in as many rows as they take, and where they end."""
    body, x = [], float(_LEFT)
    for series in chart.series:
        width = 28 + len(series.name) * _LETTER + 12
        if x > _LEFT and x + width > _WIDTH:
            x, y = float(_LEFT), y + _LEGEND_ROW
        body.append(_curve(series, f"{x:.0f} {y - 4:.0f}h22"))
        body.append(_text(x + 28, y, series.name))
        x += width
    return body, y + 8


def _curve(series: Series, path: str) -> str:
    dashed = " dashed" if series.dashed else ""
    return f'<path class="curve{dashed}" style="stroke:{_chart_color(series.colour)}" d="M{path}"/>'


def _grid(
    x_ticks: Sequence[float], y_ticks: Sequence[float], x_of: Scale, y_of: Scale
) -> list[str]:
    bottom = _TOP + _PLOT_H
    body = [
        f'<path class="grid" d="M{_LEFT} {y_of(y):.1f}H{_WIDTH - _RIGHT}"/>'
        + _text(_LEFT - 6, y_of(y) + 4, number(y), anchor="end")
        for y in y_ticks
    ]
    return body + [_text(x_of(x), bottom + 14, number(x), anchor="middle") for x in x_ticks]


def _bars(chart: Bars) -> tuple[list[str], float]:
    """Draw the elements of a chart of bars, and its height."""
    most = max([bar.value for bar in chart.bars if bar.value > 0], default=1.0)
    room = _WIDTH - _LABEL_W - 52
    body = [_text(6, 14, chart.title, "title")]
    y = float(_TOP)
    for bar in chart.bars:
        lines = wrap_label(bar.label, int((_LABEL_W - 10) / _LETTER))
        # The lines of a label are written around the middle of its bar.
        below = (len(lines) - 1) * _LINE
        body += [
            _text(_LABEL_W - 6, y + 14 + number * _LINE, line, anchor="end", whole=bar.label)
            for number, line in enumerate(lines)
        ]
        y += below / 2
        width = max(bar.value, 0.0) / most * room
        body.append(
            f'<rect x="{_LABEL_W}" y="{y + 3:g}" width="{width:.1f}" height="{_ROW - 8}" rx="2" '
            f"{_fill(OURS if bar.colour == 0 else PUBLISHED)}/>"
        )
        body.append(_text(_LABEL_W + width + 5, y + 14, number(bar.value, chart.digits)))
        y += below / 2 + _ROW
    if len({bar.colour for bar in chart.bars}) > 1:
        y += 14
        for x, colour, name in ((_LABEL_W, OURS, "ours"), (_LABEL_W + 70, PUBLISHED, "published")):
            body.append(f'<rect x="{x}" y="{y - 9:g}" width="10" height="10" {_fill(colour)}/>')
            body.append(_text(x + 15, y, name))
    return body, y + 8.0


def wrap_label(label: str, most: int) -> list[str]:
    """Break a label into lines of `most` letters; what three of them do not hold is cut, and ends in "…"."""
    wrapper = textwrap.TextWrapper(most)
    wrapper.wordsep_re = _BREAKS
    lines = wrapper.wrap(label) or [""]
    if len(lines) > _MAX_LINES:
        lines[_MAX_LINES - 1 :] = [f"{lines[_MAX_LINES - 1][: most - 1]}…"]
    return lines


def _text(
    x: float, y: float, words: str, kind: str = "", *, anchor: str = "start", whole: str = ""
) -> str:
    kind = f' class="{kind}"' if kind else ""
    title = f"<title>{escape(whole)}</title>" if whole else ""
    return (
        f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{title}{escape(words)}</text>'
    )


def _fill(colour: int) -> str:
    return f'style="fill:{_chart_color(colour)}"'


def _chart_color(colour: int) -> str:
    return CHART_COLORS[colour % len(CHART_COLORS)]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Choose round numbers around a range, 1, 2 or 5 times a power of ten apart: about `count` of
    them."""
    if not high > low:
        low, high = (low - 0.5, high + 0.5) if low else (0.0, 1.0)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * number, 12) for number in range(first, last + 1)]
