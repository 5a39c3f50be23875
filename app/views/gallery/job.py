"""The embedding of a folder: started, watched, paused and resumed; a process that outlives the page."""

from pathlib import Path

import streamlit as st

from app.cache.gallery import Gallery
from app.state import weights_menu
from app.text import plain_text, sentence
from app.ui.jobs import default_threads
from dino.errors import UserError
from dino.features.folder import jobs
from dino.features.folder.progress import EmbeddingProgress
from dino.system.jobs import Job
from dino.system.words import duration

_PROBLEM = "gallery_problem"
_POLL_S = 1.0
# What a forward of a batch of photos may hold at once, in photos at 224 px.
_BATCH = 32


def show(of: Gallery, num_photos: int, *, key: str = "embed") -> bool:
    """The state of the folder's features and what can be done; whether there are features to show."""
    if problem := st.session_state.pop(_PROBLEM, None):
        st.error(plain_text(sentence(problem)), icon=":material/error:")
    job = jobs.read_job(of.out)
    poll = _POLL_S if job.active else None
    st.fragment(_watch, run_every=poll)(of, num_photos, job.active, key)
    return bool(of.stamp)


def _watch(of: Gallery, num_photos: int, was_active: bool, key: str) -> None:
    job = jobs.read_job(of.out)
    if job.active != was_active:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        _state(job, of, num_photos)
        _buttons(job, of, num_photos, key)


def _state(job: Job[EmbeddingProgress], of: Gallery, num_photos: int) -> None:
    progress = job.progress
    if job.active:
        share = progress.done / max(progress.total, 1) if progress else 0.0
        st.progress(share, plain_text(_told(job)))
    elif job.status == "failed":
        st.error(plain_text(sentence(job.reason)), icon=":material/error:")
    elif job.status == "stopped" and progress:
        st.info(
            f"Paused at {progress.done:,} of {progress.total:,} photos; what is done is kept.",
            icon=":material/pause_circle:",
        )
    elif not of.stamp:
        st.info(
            f"The features of these {num_photos:,} photos are not there yet for {plain_text(of.weights)} "
            f"at {of.size} px.",
            icon=":material/database_off:",
        )
    else:
        unreadable = progress.unreadable if progress else 0
        left_out = f", {unreadable:,} could not be read and are left out" if unreadable else ""
        st.caption(f"{len(of.photos):,} photos as {plain_text(of.weights)} sees them{left_out}.")


def _told(job: Job[EmbeddingProgress]) -> str:
    if job.status == "stopping":
        return "Keeps what is done and stops …"
    progress = job.progress
    if progress is None:
        return "Starts: loads the weights and looks through the folder …"
    words = [f"{progress.done:,} of {progress.total:,} photos"]
    if progress.images_per_s:
        words.append(f"{progress.images_per_s:.1f} a second")
    if progress.left_s:
        words.append(f"{duration(progress.left_s)} left")
    return " · ".join(words)


def _buttons(job: Job[EmbeddingProgress], of: Gallery, num_photos: int, key: str) -> None:
    if job.active:
        st.button(
            "Pause",
            icon=":material/pause:",
            key=f"{key}_pause",
            disabled=job.status == "stopping",
            on_click=_attempt,
            args=(jobs.stop, of.out),
        )
        return
    changed = bool(of.stamp) and len(of.photos) != num_photos
    label, icon = "Embed the photos", "play_arrow"
    if job.status == "stopped":
        label = "Resume"
    elif of.stamp:
        label, icon = "Look for changes", "refresh"
    st.button(
        label,
        icon=f":material/{icon}:",
        key=f"{key}_start",
        type="secondary" if of.stamp and not changed else "primary",
        on_click=_start,
        args=(of,),
        help="Runs as a process of its own, so that this page may be closed meanwhile. Only new and "
        "changed photos go through the network.",
    )


def _start(of: Gallery) -> None:
    _attempt(
        jobs.start,
        of.folder,
        of.out,
        weights=weights_menu.start_weights(of.weights, st.session_state),
        size=of.size,
        precision=of.precision,
        batch_size=max(4, _BATCH * 224**2 // max(of.size, 224) ** 2),
        threads=default_threads(),
    )


def _attempt(action, *args: Path, **options: object) -> None:
    """For callbacks: what a user can cause is told on the page."""
    try:
        action(*args, **options)
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)
