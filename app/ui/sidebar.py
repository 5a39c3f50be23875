"""Draw the sidebar: weights, photo and size, and what is training; pages draw what was chosen."""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st
from streamlit.navigation.page import Page

from app import access
from app.cache import backbones, pictures
from app.components.paste.component import paste_photo
from app.state import url, weights_menu
from app.state.problems import show_error
from app.state.selection import (
    DEFAULT_SIZE,
    MAX_PHOTO_BYTES,
    SIZES,
    Choice,
    Photo,
    add_photo,
    all_photos,
    bundled_photos,
)
from app.state.uploads import take_upload, uploaded
from app.text import plain_text, sentence
from app.ui import training_sidebar, weights_field
from dino.errors import ImageError, UserError
from dino.media.images import IMAGE_SUFFIXES

_WANTED = "weights_wanted"
# The weights that are shown, what came of the text in the field, and an upload that was not opened.
_CHOSEN, _FOUND, _PENDING = "weights_chosen", "weights_found", "weights_pending"
# Parameters of pages that name places of a photo, which mean nothing on another.
_ON_THE_PHOTO = ("points", "query", "patch")


@dataclass(frozen=True)
class Selection:
    """A complete choice, or `choice` None while there are no weights."""

    choice: Choice | None


def choose(*, training_page: Page | None = None) -> Selection:
    """Draw the sidebar and return the selection; runs at work link to `training_page`."""
    with st.sidebar:
        weights = _weights()
        photo_name = _photo()
        size = st.select_slider(
            "Size, px",
            SIZES,
            value=DEFAULT_SIZE,
            key="size",
            bind="query-params",
            help="Longer side of the photo as the network sees it. More is finer and slower: twice "
            "the size is four times the patches, and more than four times the work.",
        )
        training_sidebar.show(weights, all_photos(st.session_state)[photo_name], training_page)
    photo = all_photos(st.session_state)[photo_name]
    return Selection(Choice(photo=photo, weights=weights, size=size) if weights else None)


def choose_weights(name: str) -> None:
    """Choose weights from outside the sidebar, from the next run of the page on."""
    st.session_state[_WANTED] = name


def _photo() -> str:
    st.subheader("Photo", anchor=False)
    photos = all_photos(st.session_state)
    _explain_foreign_link(photos)
    name = url.linked(
        "photo",
        list(photos),
        next(iter(bundled_photos())),
        lambda: st.selectbox(
            "Photo",
            list(photos),
            key="photo",
            label_visibility="collapsed",
            persist_state="session",
            on_change=lambda: st.session_state.pop("photo_problem", None),
        ),
        keeps_default=True,
    )
    photo = photos[name]
    st.image(pictures.thumbnail(photo), alt=photo.alt, width="stretch")
    st.file_uploader(
        "Add your own",
        type=[suffix.lstrip(".") for suffix in IMAGE_SUFFIXES],
        key="upload",
        max_upload_size=MAX_PHOTO_BYTES // 2**20,
        on_change=_take_upload,
        args=("upload",),
        help="Stays on this machine, in this browser session only.",
    )
    paste_photo("paste", _take)
    if st.toggle("Use the camera", key="camera_on"):
        st.camera_input(
            "Take a photo",
            key="camera",
            resolution="1080p",
            on_change=_take_upload,
            args=("camera",),
            label_visibility="collapsed",
        )
    return name


def show_problems() -> None:
    """Show what went wrong in the sidebar on the page, where a phone has it too."""
    for key, icon in (("photo_problem", "broken_image"), ("weights_problem", "error")):
        if problem := st.session_state.get(key):
            show_error(problem, icon)
    if (found := st.session_state.get(_FOUND)) is not None:
        weights_field.show(found, "weights")


def _explain_foreign_link(photos: Mapping[str, Photo]) -> None:
    """Say once that a link to a photo which another session added cannot be followed."""
    asked = st.query_params.get("photo")
    if asked and asked not in photos:
        for mark in _ON_THE_PHOTO:
            st.query_params.pop(mark, None)
        st.session_state["photo_problem"] = (
            f"The link names the photo “{asked}”, which only the session that added it can see; "
            f"add it again in the sidebar. Shown instead: {next(iter(bundled_photos()))}."
        )


def _take_upload(key: str) -> None:
    file = uploaded(st.session_state, key)
    if file is not None:
        name = "camera.jpg" if key == "camera" else file.name
        _take(name, file.getvalue())


def _take(file_name: str, data: bytes) -> None:
    """Add a photo to the session and choose it, or keep the problem for display."""
    try:
        photo = add_photo(st.session_state, file_name, data)
    except ImageError as error:
        st.session_state["photo_problem"] = f"{sentence(str(error))} The photo shown is unchanged."
        return
    st.session_state.pop("photo_problem", None)
    st.session_state["photo"] = photo.name


def _weights() -> str | None:
    """Draw what weights are chosen by; what is typed and cannot be opened leaves those of before."""
    st.subheader("Weights", anchor=False)
    session = st.session_state
    weights_field.take_link()
    asked = st.query_params.get("weights")
    if wanted := session.pop(_WANTED, None):
        session["weights"] = wanted
    text = session.get("weights") or asked or weights_menu.default_weights()
    if text == session.get(_CHOSEN) and text not in weights_menu.weights_options(session):
        text = weights_menu.default_weights()  # weights of a run that was deleted
    found = weights_field.look_up(text) if text else weights_field.Found()
    options = weights_menu.weights_options(session)
    before = session.get(_CHOSEN)
    name = found.name or (before if before in options else _usable_default(options, text))
    session["weights"], session[_CHOSEN], session[_FOUND] = text, name, found
    st.selectbox(
        "Weights",
        options if text in (None, *options) else [*options, text],
        key="weights",
        label_visibility="collapsed",
        accept_new_options=access.may_work(),
        persist_state="session",
        placeholder="No weights yet",
        help=weights_field.HELP if access.may_work() else None,
        on_change=_forget_problems,
    )
    if found.name is None and name:
        st.caption(f"Not opened; still shown: {plain_text(name)}.")
    url.link("weights", name, None if asked else weights_menu.default_weights())
    pending = session.get(_PENDING)
    if subject := (pending[0] if pending else text if found.offer is None else None):
        weights_field.details(subject, open_as=_open_as)
    weights_field.link_reading(name)
    with st.expander("Open other weights", icon=":material/folder_open:"):
        weights_uploader()
        if access.may_work():
            weights_field.show_zoo(choose_weights)
    return name


def _usable_default(options: list[str], text: str | None) -> str | None:
    """Name the weights to begin with, where those that were asked for cannot be opened."""
    default = weights_menu.default_weights()
    return default if default in options and default != text else None


def _forget_problems() -> None:
    for key in ("weights_problem", _PENDING):
        st.session_state.pop(key, None)


def _open_as(name: str, reading: weights_menu.Reading) -> None:
    """Read weights as a user says; an upload that could not be opened is tried again.

    Raises:
        UserError: they cannot be read so.
    """
    session = st.session_state
    pending = session.get(_PENDING)
    if pending is None or pending[0] != name:
        backbones.open_as(name, reading, session)
        return
    before = weights_menu.reading_of(name, session)
    weights_menu.set_reading(name, reading, session)
    try:
        session["weights"] = backbones.add_weights(session, *pending[1:])
    except UserError:
        weights_menu.set_reading(name, before, session)
        raise
    _forget_problems()


def weights_uploader(key: str = "weights_file") -> None:
    """Draw a widget that takes a checkpoint from the browser and selects it."""
    st.file_uploader(
        "Open a checkpoint",
        type=["pth", "pt", "bin", "ckpt", "tar", "safetensors", "onnx"],
        key=key,
        max_upload_size=access.session_limits().weights_mb,
        on_change=take_upload,
        args=(key, "weights_problem", _add_weights),
        help="DINO, DINOv2, DINOv3, timm, Hugging Face, ONNX or a training checkpoint; the layout is recognised.",
    )


def _add_weights(file_name: str, data: bytes) -> None:
    """Open uploaded weights; those that cannot be are kept, until Details say how they are to be read."""
    session = st.session_state
    session.pop(_PENDING, None)
    try:
        session["weights"] = backbones.add_weights(session, file_name, data)
    except UserError:
        if len(data) <= access.session_limits().weights_mb * 2**20:
            session[_PENDING] = (backbones.upload_name(file_name, data), file_name, data)
        raise
