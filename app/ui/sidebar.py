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
from app.text import sentence
from app.ui import training_sidebar
from dino.errors import ImageError
from dino.media.images import IMAGE_SUFFIXES

_WANTED = "weights_wanted"
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
    name = _select("photo", list(photos), next(iter(bundled_photos())))
    assert name is not None
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


def _select(
    key: str, options: list[str], default: str | None, placeholder: str | None = None
) -> str | None:
    """Draw a select box whose choice is in the link, also where it was made by an upload."""
    return url.linked(
        key,
        options,
        default,
        lambda: st.selectbox(
            key.title(),
            options,
            key=key,
            label_visibility="collapsed",
            persist_state="session",
            placeholder=placeholder,
            on_change=lambda: st.session_state.pop(f"{key}_problem", None),
        ),
        keeps_default=True,
    )


def show_problems() -> None:
    """Show what went wrong in the sidebar on the page, where a phone has it too."""
    for key, icon in (("photo_problem", "broken_image"), ("weights_problem", "error")):
        if problem := st.session_state.get(key):
            show_error(problem, icon)


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
    st.subheader("Weights", anchor=False)
    options = weights_menu.weights_options(st.session_state)
    default = weights_menu.default_weights()
    if wanted := st.session_state.pop(_WANTED, None):
        st.session_state["weights"] = wanted
    asked = st.query_params.get("weights")
    if asked and asked not in options:
        st.session_state["weights_problem"] = (
            f"The link names the weights “{asked}”, which are not on this machine; fetch them with "
            "`python -m dino weights fetch` if they are from the zoo, or open them in the sidebar."
        )
    name = _select("weights", options, default if default in options else None, "No weights yet")
    with st.expander("Open other weights", icon=":material/folder_open:"):
        weights_uploader()
        st.caption("More by name: `python -m dino weights list` and `weights fetch NAME`.")
    return name


def weights_uploader(key: str = "weights_file") -> None:
    """Draw a widget that takes a checkpoint from the browser and selects it."""
    st.file_uploader(
        "Open a checkpoint",
        type=["pth", "pt", "bin", "ckpt", "safetensors", "onnx"],
        key=key,
        max_upload_size=access.session_limits().weights_mb,
        on_change=take_upload,
        args=(key, "weights_problem", _add_weights),
        help="DINO, DINOv2, timm, Hugging Face, ONNX or a training checkpoint; the layout is recognised.",
    )


def _add_weights(file_name: str, data: bytes) -> None:
    st.session_state["weights"] = backbones.add_weights(st.session_state, file_name, data)
