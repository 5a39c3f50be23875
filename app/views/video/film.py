"""A film as it is made and when it is there: started, watched, cancelled, played, downloaded."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from app.cache import video
from app.cache.video import Clip
from app.state import weights_menu
from app.state.problems import attempt, show_error, show_kept
from app.ui import layout
from app.ui.jobs import default_threads, progress_bar, watch
from dino.model.backbone import Backbone
from dino.system.jobs import Job
from dino.system.words import counted, duration
from dino.video.film import AttentionStyle, jobs, making
from dino.video.film.jobs import PREVIEW, FilmProgress
from dino.video.film.making import FILM, MASKS, read_result

_PROBLEM = "film_problem"


@dataclass(frozen=True)
class Order:
    """A film that is wanted: of a clip, by weights of a name at a size in px and a precision, with
    the command's `options` for what is made, the folder it is or will be in, and the file of its first
    mask, if one is followed."""

    clip: Clip
    weights: str
    size: int
    precision: str
    options: tuple[str, ...]
    out: Path
    mask: tuple[Path, bytes] | None = None


def show_making(order: Order) -> bool:
    """Show what can be done about the film, and how far it is; return whether it is there."""
    show_kept(_PROBLEM)
    finished = jobs.read_job(order.out).status == "finished"
    if not finished:
        watch(lambda: jobs.read_job(order.out), lambda job: _state(job, order))
    return finished


def play(order: Order) -> None:
    """Play the film."""
    st.video(
        str(order.out / FILM),
        loop=True,
        muted=True,
        autoplay=True,
        alt=f"{_title(order)}: {order.clip.name}",
    )


def show_facts(order: Order, backbone: Backbone) -> None:
    """Show what is known of a finished film: its scale, its length, downloads; nothing before."""
    result = read_result(order.out)
    if result is None or jobs.read_job(order.out).status != "finished":
        return
    if len(result.tops) == 1:
        layout.colour_bar(AttentionStyle.colormap, 0, result.tops[0], "× even")
    if result.tops:
        own_scales = ""
        if len(result.tops) > 1:
            tops = (f"head {number} to {top:.3g}" for number, top in enumerate(result.tops))
            own_scales = f", each head by its own: {', '.join(tops)}"
        st.caption(
            "Attention of a patch in multiples of what it would get, were all alike. One scale for the whole "
            f"film, up to the value that 0.5 % of all patches exceed{own_scales}."
        )
    st.caption(
        f"{counted(result.num_frames, 'frame')}, made in {duration(result.seconds)} on {backbone.device}."
    )
    stem = f"{Path(order.clip.name.replace(' ', '-')).stem}-{order.out.name[:8]}"
    files = [
        ("Film (MP4)", f"{stem}.mp4", "movie", (order.out / FILM).read_bytes),
        ("Film (GIF)", f"{stem}.gif", "gif_box", lambda: making.film_gif(order.out)),
    ]
    if (order.out / MASKS).exists():
        files.append(
            ("Masks (ZIP)", f"{stem}-masks.zip", "folder_zip", lambda: making.masks_zip(order.out))
        )
    layout.downloads(*files)


def _title(order: Order) -> str:
    return "Attention" if "--attention" in order.options else "Followed mask"


def _state(job: Job, order: Order) -> None:
    progress = job.progress
    if job.active:
        done, total = (progress.done, progress.total) if progress else (0, 0)
        progress_bar(done, total, _progress_words(job))
        st.button(
            "Cancel",
            icon=":material/close:",
            key="film_cancel",
            disabled=job.status == "stopping",
            on_click=attempt,
            args=(_PROBLEM, jobs.cancel, order.out),
        )
        _preview(order)
        return
    if job.status == "failed":
        show_error(job.reason)
    elif job.status == "stopped":
        st.info("Cancelled; nothing was kept.", icon=":material/cancel:")
    st.button(
        "Make the film",
        icon=":material/movie:",
        key="film_start",
        type="primary",
        on_click=_start,
        args=(order,),
        help="Runs as a process of its own, so that this page may be closed meanwhile; the film is found "
        "again by the same video, weights and settings.",
    )


def _preview(order: Order) -> None:
    try:
        picture = (order.out / PREVIEW).read_bytes()
    except OSError:
        return
    st.image(picture, width="stretch", alt=f"{_title(order)} so far: {order.clip.name}")


def _progress_words(job: Job[FilmProgress]) -> str:
    if job.status == "stopping":
        return "Ends after this frame …"
    progress = job.progress
    if progress is None:
        return "Starts: loads the weights …"
    of = f" of {progress.total}" if progress.total else ""
    words = ["Draws" if progress.phase == "drawing" else "Looks", f"frame {progress.done}{of}"]
    if progress.left_s is not None and progress.done:
        words.append(f"{duration(progress.left_s)} left")
    return " · ".join(words)


def _start(order: Order) -> None:
    video.prepare(order.out, order.mask)
    attempt(
        _PROBLEM,
        jobs.start,
        order.clip.path,
        order.out,
        weights=weights_menu.start_weights(order.weights, st.session_state),
        size=order.size,
        options=order.options,
        precision=order.precision,
        threads=default_threads(),
    )
