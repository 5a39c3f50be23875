"""Which video: a moving crop of the photo in the sidebar, or one's own."""

import streamlit as st

from app.cache import pictures as photos
from app.cache import video as cached_video
from app.cache.video import LIMITS, Clip
from app.state.problems import show_error
from app.state.selection import Photo, bundled_photos
from app.state.uploads import take_upload
from app.text import plain_text
from app.ui import layout

SOURCES = ("Moving crop of the photo", "Your own video")
OWN = SOURCES[1]
_UPLOAD, _KEPT, _PROBLEM = "video_upload", "video_kept", "video_problem"


def choose_clip(photo: Photo) -> Clip | None:
    """Draw the choice; None while there is no video."""
    source = st.segmented_control(
        "Video", SOURCES, default=SOURCES[0], required=True, key="video", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    if source != OWN:
        return _moving_crop(photo)
    clip = _own()
    if clip is not None:
        st.caption(f"{plain_text(clip.name)}: {_size(clip)}.")
    return clip


def show_clip(clip: Clip) -> None:
    """Show the clip, or the first frame of one that browsers might not play."""
    if clip.photo:
        st.video(str(clip.path), loop=True, muted=True, alt=f"A {clip.name}: {clip.photo.alt}")
    else:
        frame = cached_video.first_frame(clip)
        layout.picture(
            photos.shown(frame, layout.SHOWN_PX), alt=frame.alt, caption="The first frame."
        )


def _moving_crop(photo: Photo) -> Clip:
    """Draw a clip of the photo in the sidebar if it came with the app: clips are kept on disk, and photos
    of one's own are not."""
    shown = photo if photo.credit else next(iter(bundled_photos().values()))
    clip = cached_video.clip_of_photo(shown)
    whose = "the one in the sidebar"
    if shown is not photo:
        whose = f"{shown.file_name}, since photos of your own stay in this session"
    st.caption(
        f"{_size(clip)}. A window that moves over a still photo ({whose}): nothing moves in it but the "
        "camera."
    )
    return clip


def _own() -> Clip | None:
    st.file_uploader(
        "Add a video",
        type=list(cached_video.SUFFIXES),
        key=_UPLOAD,
        max_upload_size=LIMITS.max_bytes // 2**20,
        on_change=_take,
        help="Stays on this machine, in the cache beside the weights.",
    )
    st.caption(
        f"MP4, MOV or GIF; up to {LIMITS.max_bytes // 2**20} MB, {LIMITS.max_frames} frames (24 s at 25 "
        "frames a second) and 1920×1080 px. Sound is left out."
    )
    if problem := st.session_state.get(_PROBLEM):
        show_error(problem)
        return None
    kept: Clip | None = st.session_state.get(_KEPT)
    if kept is not None and not kept.path.exists():  # others made it leave
        st.info("The video is no longer kept here; add it again.", icon=":material/upload:")
        return None
    return kept


def _take() -> None:
    take_upload(_UPLOAD, _PROBLEM, _keep)


def _keep(file_name: str, data: bytes) -> None:
    st.session_state[_KEPT] = cached_video.keep_upload(file_name, data)


def _size(clip: Clip) -> str:
    info = clip.info
    frames = f"{info.num_frames} frames, " if info.num_frames else ""
    return f"{frames}{info.width}×{info.height} px, {info.fps:g} a second"
