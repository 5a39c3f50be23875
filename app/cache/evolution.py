"""Find and read filmstrips: of the bundled weights, and of runs."""

from pathlib import Path

import streamlit as st

from app.state.weights_menu import stamp
from dino.system.folders import checkpoints_folder
from dino.training.probes.filmstrip import Filmstrip, read_filmstrip
from dino.training.runs.folder import PROBES, read_lines
from dino.training.runs.jobs import runs_folder

BUNDLED = "the bundled weights"


def filmstrips() -> dict[str, Path]:
    """Find the folders of filmstrips by the name of whose training they show, the newest run first."""
    runs = sorted(runs_folder().glob("*/filmstrip"), key=lambda p: p.stat().st_mtime, reverse=True)
    found = {BUNDLED: checkpoints_folder() / "filmstrip"} | {p.parent.name: p for p in runs}
    return {name: folder for name, folder in found.items() if any(folder.glob("epoch-*"))}


def photos(folder: Path) -> list[Filmstrip]:
    """Read the filmstrips of a folder, one a photo; read again when an epoch is added."""
    epochs = sorted(path.name for path in folder.glob("epoch-*"))
    newest = stamp(str(folder / epochs[-1] / "attention.npz")) if epochs else ""
    return _photos(str(folder), len(epochs), newest)


@st.cache_data(max_entries=8, show_spinner="Reading the filmstrip …")
def _photos(folder: str, epochs: int, newest: str) -> list[Filmstrip]:
    return read_filmstrip(folder)


def measured(folder: Path) -> dict[int, float]:
    """Read the k-NN accuracy in percent by epoch, of a run that measured it."""
    lines = read_lines(folder.parent / PROBES).lines
    whole = [line for line in lines if None not in (line.get("epoch"), line.get("knn"))]
    return {line["epoch"]: line["knn"] for line in whole}
