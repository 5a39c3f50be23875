"""Sections as one HTML file, or as Markdown.

The file (report.html) has no script and fetches nothing; it is light and dark, for a phone and for print.
In Markdown, tables are such that any viewer shows, and charts are put into words.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from dino.evaluation.summary.contents import Group, Lines, Measured, Section, Table
from dino.evaluation.summary.svg import CHART_CSS, svg_chart

# Longer text breaks into lines; shorter stays on one, and the table scrolls.
_LONG = 32
# What Markdown and the HTML in it would take as markup, in text from outside.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
_NUMBER = re.compile(r"[−-]?[\d,.]+([%×]|\s?GB)?|–|∞")


@cache
def _templates() -> Environment:
    """Open the templates beside this module, which escape what they are given."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    environment.globals |= {"table_html": table_html, "svg_chart": svg_chart}
    return environment


def html_page(
    sections: Sequence[Section], about: Sequence[str] = (), *, title: str = "Evaluation"
) -> str:
    """Write the report as a page that needs nothing else; `about` are lines under its title."""
    template = _templates().get_template("report.html")
    css = Markup(CHART_CSS)  # noqa: S704 (ours)
    return template.render(sections=sections, about=about, title=title, chart_css=css)


def table_html(contents: Table, name: str) -> Markup:
    """Write a table in a frame that scrolls by itself where the page is narrow, by keyboard too."""
    right = [is_numeric(contents, column) for column in range(len(contents.columns))]
    template = _templates().get_template("table.html")
    html = template.render(contents=contents, name=name, right=right, long=_LONG)
    return Markup(html)  # noqa: S704 (the template has escaped it)


def markdown(sections: Sequence[Section], about: Sequence[str] = ()) -> str:
    """Write the report as a Markdown document; `about` are lines under its title."""
    parts = ["# Evaluation", *(literal(line) for line in about)]
    for section in sections:
        parts += [f"## {literal(section.title)}", literal(section.summary)]
        for group in section.groups:
            parts += _markdown_group(group)
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown_group(group: Group) -> list[str]:
    parts = [f"### {literal(group.data)}"]
    if group.comparison is not None:
        parts.append(table(group.comparison))
    # Bars show what the table says; lines say more.
    lines = [chart for chart in group.charts if isinstance(chart, Lines)]
    parts += [f"{literal(chart.title)}: {literal(chart.alt_text)}." for chart in lines]
    return parts + [text for measured in group.measured for text in _markdown_measured(measured)]


def _markdown_measured(measured: Measured) -> list[str]:
    facts = "\n".join(f"- {literal(name)}: {literal(value)}" for name, value in measured.facts)
    return [f"#### {literal(measured.title)}", facts, table(measured.table)]


def table(contents: Table) -> str:
    """Write a table; columns of numbers stand to the right, rows to set off are bold."""
    columns = range(len(contents.columns))
    right = [is_numeric(contents, column) for column in columns]
    lines = [[literal(column) for column in contents.columns]]
    lines += [["---:" if flag else "---" for flag in right]]
    for row, cells in enumerate(contents.rows):
        bold = row in contents.strong
        lines.append([f"**{literal(c)}**" if bold and c else literal(c) for c in cells])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def is_numeric(contents: Table, column: int) -> bool:
    """Whether a column holds numbers only, and one at least."""
    cells = [row[column] for row in contents.rows if row[column]]
    return any(cell != "–" for cell in cells) and all(_NUMBER.fullmatch(cell) for cell in cells)


def literal(text: str) -> str:
    """Escape text so that Markdown shows it as it is, on one line; addresses are no links."""
    one_line = " ".join(text.split())
    return _MARKUP.sub(r"\\\1", one_line).replace("://", ":\u200b//").replace("www.", "www\u200b.")
