"""The embedding of a folder: started, watched, paused and resumed; a process that outlives the page."""

import streamlit as st

from app.cache.gallery import Gallery
from app.state import weights_menu
from app.state.problems import attempt, show_error, show_kept
from app.text import plain_text
from app.ui.jobs import default_threads, progress_bar, watch
from dino.features.folder import jobs
from dino.features.folder.jobs import EmbeddingProgress
from dino.system.jobs import Job
from dino.system.words import counted, duration

_PROBLEM = "gallery_problem"
# What a forward of a batch of photos may hold at once, in photos at 224 px.
_BATCH = 32


def show(gallery: Gallery, num_photos: int, *, key: str = "embed") -> bool:
    """Show the state of the folder's features and what can be done; return whether there are any."""
    show_kept(_PROBLEM)

    def draw(job: Job) -> None:
        with st.container(horizontal=True, vertical_alignment="center"):
            _state(job, gallery, num_photos)
            _buttons(job, gallery, num_photos, key)

    watch(lambda: jobs.read_job(gallery.out), draw)
    return bool(gallery.stamp)


def _state(job: Job[EmbeddingProgress], gallery: Gallery, num_photos: int) -> None:
    progress = job.progress
    if job.active:
        done, total = (progress.done, progress.total) if progress else (0, 0)
        progress_bar(done, total, _progress_words(job))
    elif job.status == "failed":
        show_error(job.reason)
    elif job.status == "stopped" and progress:
        st.info(
            f"Paused at {progress.done:,} of {progress.total:,} photos; what is done is kept.",
            icon=":material/pause_circle:",
        )
    elif not gallery.stamp:
        st.info(
            f"The features of {counted(num_photos, 'photo')} are not there yet for {plain_text(gallery.weights)} "
            f"at {gallery.size} px.",
            icon=":material/database_off:",
        )
    else:
        unreadable = progress.unreadable if progress else 0
        left_out = f", {unreadable:,} left out that could not be read" if unreadable else ""
        st.caption(
            f"{counted(len(gallery.photos), 'photo')} as seen by {plain_text(gallery.weights)}{left_out}."
        )


def _progress_words(job: Job[EmbeddingProgress]) -> str:
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


def _buttons(job: Job[EmbeddingProgress], gallery: Gallery, num_photos: int, key: str) -> None:
    if job.active:
        st.button(
            "Pause",
            icon=":material/pause:",
            key=f"{key}_pause",
            disabled=job.status == "stopping",
            on_click=attempt,
            args=(_PROBLEM, jobs.stop, gallery.out),
        )
        return
    changed = bool(gallery.stamp) and len(gallery.photos) != num_photos
    label, icon = "Embed the photos", "play_arrow"
    if job.status == "stopped":
        label = "Resume"
    elif gallery.stamp:
        label, icon = "Look for changes", "refresh"
    st.button(
        label,
        icon=f":material/{icon}:",
        key=f"{key}_start",
        type="secondary" if gallery.stamp and not changed else "primary",
        on_click=_start,
        args=(gallery,),
        help="Runs as a process of its own, so that this page may be closed meanwhile. Only new and "
        "changed photos go through the network.",
    )


def _start(gallery: Gallery) -> None:
    attempt(
        _PROBLEM,
        jobs.start,
        gallery.folder,
        gallery.out,
        weights=weights_menu.start_weights(gallery.weights, st.session_state),
        size=gallery.size,
        precision=gallery.precision,
        batch_size=max(4, _BATCH * 224**2 // max(gallery.size, 224) ** 2),
        threads=default_threads(),
    )
