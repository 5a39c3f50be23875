"""What was measured on this machine, as the Evaluation page shows it, kept by the stamp of its files."""

import os
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dino.evaluation.summary.history import History, find_histories, read_histories
from dino.system.files import content_id
from dino.system.folders import PROJECT_FOLDER, checkpoints_folder


@dataclass(frozen=True)
class Results:
    """Measurements and the folder they were found in; `bundled` are the ones that came with the code."""

    folder: Path
    history: History
    bundled: bool


def results_folders() -> list[Path]:
    """List the folders that results are looked for in: `DINO_RESULTS` alone where it is set, else the
    command line's default below the working folder, and results/ in the checkpoints folder."""
    if named := os.environ.get("DINO_RESULTS"):
        return [Path(named).expanduser()]
    return [Path("results"), checkpoints_folder() / "results"]


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


def _stamp(files: list[Path]) -> str:
    """Return what changes when a measurement is added."""
    status = [(str(file), (s := file.stat()).st_mtime_ns, s.st_size) for file in files]
    return content_id(repr(status).encode())


@st.cache_data(max_entries=8, show_spinner="Reading the results …")
def _history(folder: str, stamp: str) -> History:
    return read_histories([Path(folder)])
