"""Sections as one HTML file: no script, nothing fetched, light and dark, for a phone and for print."""

from collections.abc import Sequence
from html import escape

from dino.evaluation.summary.contents import Group, Measured, Section, Table
from dino.evaluation.summary.markdown import is_numeric
from dino.evaluation.summary.svg import CHART_CSS, svg_chart

_CSS = """
:root { color-scheme: light dark; --ground: #ffffff; --panel: #f1f5f5; --text: #17252a; --soft: #4a5a5f;
  --edge: #d5dfdf; --accent: #0b6e69; }
@media (prefers-color-scheme: dark) { :root { --ground: #10191b; --panel: #1b2729; --text: #e8f0ef;
  --soft: #a9b8b8; --edge: #2f4043; --accent: #3cc8bd; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.3rem; margin: 2.4rem 0 .2rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .5rem; font-weight: 600; overflow-wrap: anywhere; }
p { margin: .2rem 0 .8rem; max-width: 70ch; } .soft { color: var(--soft); font-size: .9rem; }
nav ul { list-style: none; padding: 0; margin: .8rem 0; display: flex; flex-wrap: wrap; gap: .4rem .6rem; }
nav a { display: block; padding: .25rem .7rem; border: 1px solid var(--edge); border-radius: 1rem;
  color: var(--accent); text-decoration: none; }
a:focus-visible, summary:focus-visible, .wide:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.wide { overflow-x: auto; border: 1px solid var(--edge); border-radius: .5rem; margin: .5rem 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--edge); }
tbody tr:last-child > * { border-bottom: 0; } thead th { background: var(--panel); white-space: nowrap; }
.n { text-align: right; } td { white-space: nowrap; } td.long { white-space: normal; min-width: 12rem; }
 tr.ours > * { background: var(--panel); font-weight: 600; }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); }
figure { margin: 0; border: 1px solid var(--edge); border-radius: .5rem; padding: .6rem; max-width: 560px; }
svg { display: block; width: 100%; height: auto; }
details { border: 1px solid var(--edge); border-radius: .5rem; margin: .6rem 0; padding: .5rem .9rem; }
summary { cursor: pointer; font-weight: 600; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .87rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (min-width: 800px) { dl { grid-template-columns: max-content 1fr max-content 1fr; } }
@media (max-width: 640px) { th, td { padding: .35rem .5rem; } thead th { white-space: normal; }
  td.long, td:first-child, td:nth-child(2) { white-space: normal; min-width: 6.2rem; overflow-wrap: anywhere; } }
@media print { :root { --ground: #ffffff; --panel: #f1f5f5; --text: #000000; --soft: #333333; --edge: #bbbbbb; }
  nav { display: none; } main { max-width: none; padding: 0; } .wide { overflow: visible; }
  details, figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; } }
"""
# Longer text breaks into lines; shorter stays on one, and the table scrolls.
_LONG = 32


def html_page(
    sections: Sequence[Section], about: Sequence[str] = (), *, title: str = "Evaluation"
) -> str:
    """The report as a page that needs nothing else; `about` are lines under its title."""
    links = "".join(
        f'<li><a href="#{escape(_anchor(number), quote=True)}">{escape(section.title)}</a></li>'
        for number, section in enumerate(sections)
    )
    head = "".join(f'<p class="soft">{escape(line)}</p>' for line in about)
    body = "".join(_section(section, _anchor(number)) for number, section in enumerate(sections))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_CSS}{CHART_CSS}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>{head}"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>{body}</main></body></html>\n'
    )


def _anchor(number: int) -> str:
    """Numbered, since a task's name is foreign text."""
    return f"task-{number + 1}"


def _section(section: Section, anchor: str) -> str:
    groups = "".join(_group(group) for group in section.groups)
    told = f"<p>{escape(section.told)}</p>" if section.told else ""
    return f'<section id="{anchor}"><h2>{escape(section.title)}</h2>{told}{groups}</section>'


def _group(group: Group) -> str:
    compared = table_html(group.comparison, group.data) if group.comparison else ""
    figures = "".join(f"<figure>{svg_chart(chart)}</figure>" for chart in group.charts)
    charts = f'<div class="charts">{figures}</div>' if figures else ""
    each = "".join(_measured(one) for one in group.measured)
    return f"<h3>{escape(group.data)}</h3>{compared}{charts}{each}"


def _measured(one: Measured) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in one.facts)
    table = table_html(one.table, one.title)
    return f"<details open><summary>{escape(one.title)}</summary><dl>{facts}</dl>{table}</details>"


def table_html(contents: Table, name: str) -> str:
    """A table in a frame that scrolls by itself where the page is narrow, by keyboard too."""
    right = [is_numeric(contents, column) for column in range(len(contents.columns))]
    head = "".join(
        _cell("th", column, is_right)
        for column, is_right in zip(contents.columns, right, strict=True)
    )
    rows = []
    for number, cells in enumerate(contents.rows):
        ours = ' class="ours"' if number in contents.strong else ""
        inner = "".join(_cell("td", c, is_right) for c, is_right in zip(cells, right, strict=True))
        rows.append(f"<tr{ours}>{inner}</tr>")
    label = escape(f"Table: {name}", quote=True)
    return (
        f'<div class="wide" role="region" aria-label="{label}" tabindex="0"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(tag: str, text: str, right: bool) -> str:
    kind = ' class="n"' if right else ' class="long"' if len(text) > _LONG else ""
    return f"<{tag}{kind}>{escape(text)}</{tag}>"
