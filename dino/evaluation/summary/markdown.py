"""Sections as Markdown: tables that any viewer of Markdown shows, charts told in words."""

import re
from collections.abc import Sequence

from dino.evaluation.summary.contents import Group, Lines, Measured, Section, Table

# What Markdown and the HTML in it would take as markup, in text from outside.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
_NUMBER = re.compile(r"[−-]?[\d,.]+([%×]|\s?GB)?|–|∞")


def markdown(sections: Sequence[Section], about: Sequence[str] = ()) -> str:
    """The report as a Markdown document; `about` are lines under its title."""
    parts = ["# Evaluation", *(literal(line) for line in about)]
    for section in sections:
        parts += [f"## {literal(section.title)}", literal(section.told)]
        for group in section.groups:
            parts += _group(group)
    return "\n\n".join(part for part in parts if part) + "\n"


def _group(group: Group) -> list[str]:
    parts = [f"### {literal(group.data)}"]
    if group.comparison is not None:
        parts.append(table(group.comparison))
    # Bars show what the table says; lines say more.
    lines = [chart for chart in group.charts if isinstance(chart, Lines)]
    parts += [f"{literal(chart.title)}: {literal(chart.told)}." for chart in lines]
    return parts + [text for one in group.measured for text in _measured(one)]


def _measured(one: Measured) -> list[str]:
    facts = "\n".join(f"- {literal(name)}: {literal(value)}" for name, value in one.facts)
    return [f"#### {literal(one.title)}", facts, table(one.table)]


def table(contents: Table) -> str:
    """A table; columns of numbers stand to the right, rows to set off are bold."""
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
    """Text that Markdown shows as it is, on one line; addresses are no links."""
    one_line = " ".join(text.split())
    return _MARKUP.sub(r"\\\1", one_line).replace("://", ":\u200b//").replace("www.", "www\u200b.")
