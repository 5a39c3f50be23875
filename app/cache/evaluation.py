"""What was measured on this machine, as the Evaluation page shows it, kept by the stamp of its files."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dino.evaluation.report import Report, results_csv
from dino.evaluation.summary import build_sections, html_page, markdown, read_histories
from dino.evaluation.summary.contents import Section
from dino.evaluation.summary.history import History, describe_history, find_histories
from dino.system.files import content_id
from dino.system.folders import PROJECT_FOLDER, checkpoints_folder


@dataclass(frozen=True)
class Results:
    """Measurements and the folder they were found in; `bundled` are the ones that came with the code."""

    folder: Path
    history: History
    bundled: bool


def results_folders(environ: Mapping[str, str] | None = None) -> list[Path]:
    """List the folders that results are looked for in: `DINO_RESULTS` alone where it is set, else the
    command line's default below the working folder, and results/ in the checkpoints folder."""
    environ = os.environ if environ is None else environ
    if named := environ.get("DINO_RESULTS"):
        return [Path(named).expanduser()]
    return [Path("results"), checkpoints_folder(environ) / "results"]


def results() -> Results | None:
    """Read the first folder that holds measurements; else those that came with the code; else None.

    Raises:
        UserError: a history that cannot be read.
    """
    places = [(folder, False) for folder in results_folders()] + [(PROJECT_FOLDER / "docs", True)]
    for folder, bundled in places:
        if not folder.is_dir() or not (files := find_histories([folder])):
            continue
        history = _history(str(folder.absolute()), _stamp(files))
        if history.reports:
            return Results(folder, history, bundled)
    return None


def sections(reports: tuple[Report, ...]) -> tuple[Section, ...]:
    """Build the report's sections of some measurements."""
    return build_sections(reports)


def report_html(history: History) -> bytes:
    """Write the whole report as one HTML file."""
    return html_page(build_sections(history.reports), describe_history(history)).encode()


def report_markdown(history: History) -> bytes:
    """Write the whole report as Markdown."""
    return markdown(build_sections(history.reports), describe_history(history)).encode()


def report_csv(history: History) -> bytes:
    """Write every row of every measurement."""
    return results_csv(*history.reports).encode()


def _stamp(files: list[Path]) -> str:
    """Return what changes when a measurement is added."""
    status = [(str(file), (s := file.stat()).st_mtime_ns, s.st_size) for file in files]
    return content_id(repr(status).encode())


@st.cache_data(max_entries=8, show_spinner="Reading the results …")
def _history(folder: str, stamp: str) -> History:
    return read_histories([Path(folder)])
