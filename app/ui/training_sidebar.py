"""Training in the sidebar: what is at work, and fine-tuning of the chosen weights in two clicks."""

import streamlit as st
from streamlit.navigation.page import Page

from app import access
from app.cache import folders as cached_folders
from app.state import data_root
from app.state.problems import show_error
from app.state.selection import Photo
from app.text import plain_text
from app.ui import jobs, photo_folders, training_request
from dino.errors import UserError
from dino.training.presets import PRESETS
from dino.training.runs.jobs import runs_folder
from dino.training.runs.listing import RunSummary, active_runs

_POLL_S = 4.0
_DEFAULT_PRESET = "finetune"
_OPEN, _DATA, _PRESET, _STARTED = "tune_open", "tune_data", "tune_preset", "tune_started"


def show(weights: str | None, photo: Photo, page: Page | None) -> None:
    """Draw the section; runs link to the Training `page`. Nothing on a server that trains nothing."""
    if not access.may_work():
        return
    st.subheader("Training", anchor=False)
    names = [run.name for run in active_runs(runs_folder())]
    st.fragment(_running, run_every=_POLL_S if names else None)(names, page)
    if started := st.session_state.pop(_STARTED, None):
        st.toast(plain_text(f"{started} starts"), icon=":material/rocket_launch:")
        st.session_state[_OPEN] = False
    st.fragment(_fine_tune)(weights, photo)


def _running(names: list[str], page: Page | None) -> None:
    """Show the runs at work with their progress; when one ends, the page is drawn anew."""
    runs = active_runs(runs_folder())
    if [run.name for run in runs] != names:
        st.rerun()
    for run in runs:
        if page is not None:
            st.page_link(
                page,
                label=plain_text(run.name),
                icon=":material/monitoring:",
                query_params={"part": "runs", "runs": run.name},
            )
        st.progress(run.progress, _progress_words(run))
    if not runs:
        st.caption("Nothing is running.")


def _progress_words(run: RunSummary) -> str:
    if run.status != "running":
        return run.status
    loss = f" · loss {run.loss:.2f}" if run.loss is not None else ""
    return f"{run.progress:.0%} · epoch {run.epoch + 1} of {run.epochs}{loss}"


def _fine_tune(weights: str | None, photo: Photo) -> None:
    """Offer photos, a preset and a button; the folders are looked for once it is opened."""
    expander = st.expander(
        "Fine-tune", icon=":material/model_training:", key=_OPEN, on_change="rerun"
    )
    if not expander.open:
        return
    with expander:
        if weights is None:
            st.caption("There are no weights to go on from yet.")
            return
        st.markdown(f"Go on from **{plain_text(weights)}** with your own photos.")
        root = str(data_root.data_root())
        folder = st.selectbox(
            "Photos",
            cached_folders.photo_folders(root),
            key=_DATA,
            placeholder=f"No photos below {root}",
            persist_state="session",
        )
        presets = sorted(PRESETS, key=lambda name: name != _DEFAULT_PRESET)
        preset = st.selectbox("Preset", presets, key=_PRESET, persist_state="session")
        if st.button("Start", key="tune_start", type="primary", disabled=folder is None):
            try:
                request = _request(weights, photo, folder, preset)
                request.start()
            except UserError as error:
                show_error(error)
                return
            st.session_state[_STARTED] = request.name
            st.rerun()


def _request(weights: str, photo: Photo, folder: str, preset: str) -> training_request.Request:
    root = data_root.data_root()
    data = data_root.resolve(folder, root)
    facts = cached_folders.photo_facts(str(data))
    labelled = photo_folders.labelled_for(data)
    config = training_request.make_config(preset, num_photos=facts.num_photos, weights=weights)
    return training_request.Request(
        name=training_request.free_name("tuned", data.name),
        config=config,
        data=data,
        knn=data_root.resolve(labelled, root) if labelled else None,
        masks=None,
        film=training_request.film_photos(photo, facts.examples),
        threads=jobs.default_threads(),
    )
