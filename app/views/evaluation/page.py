"""Evaluation: what was measured here, beside what others published.

URL parameters: `task`, one of the measured ones, and `of`, the name of the weights to show alone.
"""

import html
from collections.abc import Callable

import streamlit as st

from app.cache.evaluation import Results, results, results_folders
from app.state import url
from app.state.problems import show_error
from app.text import plain_text
from app.ui import command, layout, sidebar
from app.views.evaluation import charts
from dino.errors import UserError
from dino.evaluation.report import results_csv
from dino.evaluation.summary.contents import Group, Measured
from dino.evaluation.summary.history import describe_history
from dino.evaluation.summary.page import html_page, markdown, table_html
from dino.evaluation.summary.sections import build_sections
from dino.evaluation.summary.tasks import task_of

_ALL = "All weights"
_CSS = """<style>
.dx-eval .wide { overflow-x: auto; border: 1px solid rgba(128,128,128,.35); border-radius: .5rem; }
.dx-eval table { border-collapse: collapse; width: 100%; font-size: .86rem; font-variant-numeric: tabular-nums; }
.dx-eval th, .dx-eval td { padding: .32rem .65rem; text-align: left; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid rgba(128,128,128,.25); }
.dx-eval tbody tr:last-child > * { border-bottom: 0; }
.dx-eval thead th { background: rgba(128,128,128,.12); }
.dx-eval .n { text-align: right; }
.dx-eval tr.ours > * { font-weight: 600; background: rgba(20,147,138,.12); }
.dx-eval td.long { white-space: normal; min-width: 12rem; }
.dx-eval dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .86rem; margin: 0 0 .8rem; }
.dx-eval dt { opacity: .75; } .dx-eval dd { margin: 0; overflow-wrap: anywhere; }
@media (min-width: 900px) { .dx-eval dl { grid-template-columns: max-content 1fr max-content 1fr; } }
@media (max-width: 640px) { .dx-eval th, .dx-eval td { padding: .32rem .45rem; } .dx-eval thead th { white-space: normal; }
  .dx-eval td:first-child, .dx-eval td:nth-child(2) { white-space: normal; min-width: 6.2rem; overflow-wrap: anywhere; } }
</style>"""
_FIRST_COMMANDS = """\
python -m dino eval knn --train photos/train --val photos/val
python -m dino eval linear --train photos/train --val photos/val --frozen-features
python -m dino eval segmentation --data outlined
python -m dino eval ablation --data photos/train --knn photos --steps 300
python -m dino eval cost"""


def show() -> None:
    """Draw the page; it needs no weights, only what was measured."""
    sidebar.show_problems()
    layout.heading("Evaluation", "What was measured here, beside what others published.")
    try:
        found = results()
    except UserError as error:
        show_error(error)
        return
    if found is None:
        _say_how_to_measure()
        return
    if found.bundled:
        st.info(
            "Nothing was measured on this machine yet; these are the measurements that come with "
            "the code, made elsewhere.",
            icon=":material/inventory_2:",
        )
    _measurements(found)
    with st.expander("About these figures", icon=":material/info:"):
        for line in describe_history(found.history):
            st.markdown(plain_text(line))
    _downloads(found)


def _say_how_to_measure() -> None:
    st.markdown("## Nothing was measured yet")
    folder = plain_text(str(results_folders()[0]))
    st.markdown(
        "Evaluations run on the command line, since they take minutes to hours. Each leaves its "
        f"figures in the folder {folder}, and this page shows all of them beside the paper's. "
        "Photos lie in a folder with a sub-folder a class; masks in images/ and masks/."
    )
    with command.expander(expanded=True):
        command.code(_FIRST_COMMANDS)


def _measurements(found: Results) -> None:
    """Show one task at a time, of all weights or of some."""
    reports = found.history.reports
    tasks = [section.task for section in build_sections(reports)]
    with st.container(horizontal=True):
        task = _linked("Task", tasks, param="task", words=lambda name: task_of(name).title)
        reports = tuple(report for report in reports if report.task == task)
        names = dict.fromkeys(report.weights["name"] for report in reports)
        name = _linked(
            "Weights", [_ALL, *names], param="of", words=lambda name: " ".join(name.split())
        )
    chosen = [report for report in reports if name in (_ALL, report.weights["name"])]
    for section in build_sections(chosen):
        if section.summary:
            st.markdown(plain_text(section.summary))
        for number, group in enumerate(section.groups):
            _group(group, key=f"evaluation_{section.task}_{name}_{number}")


def _linked(label: str, options: list[str], *, param: str, words: Callable[[str], str]) -> str:
    """Draw a choice that the address has as it is, not in the words it is shown in."""
    key = f"evaluation_{param}"
    return url.linked(
        key,
        options,
        options[0],
        lambda: st.selectbox(
            label, options, key=key, format_func=words, width=280, persist_state="session"
        ),
        param=param,
        follows=True,
    )


def _group(group: Group, *, key: str) -> None:
    st.markdown(f"**{plain_text(group.data)}**")
    if group.comparison is not None:
        _html(table_html(group.comparison, group.data))
    charts.show(group.charts, key=key)
    for measured in group.measured:
        with st.expander(plain_text(measured.title), icon=":material/science:"):
            # Not with +: a table is Markup, which would escape the facts' tags.
            _html(f"{_facts(measured)}{table_html(measured.table, measured.title)}")


def _facts(measured: Measured) -> str:
    pairs = (f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in measured.facts)
    return f"<dl>{''.join(pairs)}</dl>"


def _html(body: str) -> None:
    st.html(f'{_CSS}<div class="dx-eval">{body}</div>')


def _downloads(found: Results) -> None:
    """Offer the whole report as files, and the command that writes the same."""
    reports = found.history.reports
    sections, about = build_sections(reports), describe_history(found.history)
    layout.downloads(
        ("Report, HTML", "report.html", "draft", lambda: html_page(sections, about).encode()),
        ("Report, Markdown", "report.md", "notes", lambda: markdown(sections, about).encode()),
        ("All rows, CSV", "results.csv", "table", lambda: results_csv(*reports).encode()),
    )
    command.show("eval report", str(found.folder), out="report")
