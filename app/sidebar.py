"""The sidebar: weights, photo and size. Returns what was chosen; pages draw it."""

from dataclasses import dataclass

import streamlit as st

from app import services
from app.components.paste import paste_photo
from app.state import (
    DEFAULT_SIZE,
    MAX_PHOTO_BYTES,
    SIZES,
    Choice,
    add_photo,
    all_photos,
    bundled_photos,
)
from app.text import plain_text
from dino.errors import ImageError, UserError
from dino.images import IMAGE_SUFFIXES

_MAX_WEIGHTS_MB = 1024
_WANTED = "weights_wanted"


@dataclass(frozen=True)
class Selection:
    """A complete choice, or `choice` None while there are no weights."""

    choice: Choice | None


def choose() -> Selection:
    """Draw the sidebar and return the selection."""
    with st.sidebar:
        weights = _weights()
        photo_name = _photo()
        size = st.select_slider(
            "Size, px",
            SIZES,
            value=DEFAULT_SIZE,
            key="size",
            bind="query-params",
            help="Longer side of the photo as the network sees it. More is finer and slower: "
            "work grows with the fourth power.",
        )
    photo = all_photos(st.session_state)[photo_name]
    return Selection(Choice(photo=photo, weights=weights, size=size) if weights else None)


def choose_weights(name: str) -> None:
    """Choose weights from outside the sidebar, from the next run on."""
    st.session_state[_WANTED] = name


def _photo() -> str:
    st.subheader("Photo", anchor=False)
    photos = all_photos(st.session_state)
    _explain_foreign_link(photos)
    name = st.selectbox(
        "Photo",
        list(photos),
        key="photo",
        bind="query-params",
        label_visibility="collapsed",
        on_change=lambda: st.session_state.pop("photo_problem", None),
    )
    photo = photos[name]
    st.image(services.thumbnail(photo), alt=photo.alt, width="stretch")
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
            on_change=_take_upload,
            args=("camera",),
            label_visibility="collapsed",
        )
    if problem := st.session_state.get("photo_problem"):
        st.error(plain_text(problem), icon=":material/broken_image:")
    return name


def _explain_foreign_link(photos: dict) -> None:
    """A link to a photo that another session added cannot be followed: say so once."""
    asked = st.query_params.get("photo")
    if asked and asked not in photos:
        st.session_state["photo_problem"] = (
            f"The link names the photo “{asked}”, which only the session that added it can see; "
            f"add it again below. Shown instead: {next(iter(bundled_photos()))}."
        )


def _take_upload(key: str) -> None:
    file = st.session_state.get(key)
    if file is not None:
        name = "camera.jpg" if key == "camera" else file.name
        _take(name, file.getvalue())


def _take(file_name: str, data: bytes) -> None:
    """Add a photo to the session and choose it, or keep the problem for display."""
    try:
        photo = add_photo(st.session_state, file_name, data)
    except ImageError as error:
        st.session_state["photo_problem"] = f"{error} The photo shown is unchanged."
        return
    st.session_state.pop("photo_problem", None)
    st.session_state["photo"] = photo.name


def _weights() -> str | None:
    st.subheader("Weights", anchor=False)
    options = services.weights_options(st.session_state)
    default = services.default_weights()
    if wanted := st.session_state.pop(_WANTED, None):
        st.session_state["weights"] = wanted
    asked = st.query_params.get("weights")
    if asked and asked not in options:
        st.session_state["weights_problem"] = (
            f"The link names the weights “{asked}”, which are not on this machine; fetch them with "
            "`python -m dino weights fetch` if they are from the zoo, or open them below."
        )
    name = st.selectbox(
        "Weights",
        options,
        index=options.index(default) if default in options else None,
        key="weights",
        bind="query-params",
        label_visibility="collapsed",
        placeholder="No weights yet",
        on_change=lambda: st.session_state.pop("weights_problem", None),
    )
    with st.expander("Open other weights", icon=":material/folder_open:"):
        weights_uploader()
        st.caption("More by name: `python -m dino weights list` and `weights fetch NAME`.")
    if problem := st.session_state.get("weights_problem"):
        st.error(plain_text(problem), icon=":material/error:")
    return name


def weights_uploader(key: str = "weights_file") -> None:
    """Widget that takes a checkpoint from the browser and selects it."""
    st.file_uploader(
        "Open a checkpoint",
        type=["pth", "pt", "bin", "ckpt", "safetensors", "onnx"],
        key=key,
        max_upload_size=_MAX_WEIGHTS_MB,
        on_change=_take_weights,
        args=(key,),
        help="DINO, DINOv2, timm, Hugging Face, ONNX or a training checkpoint; the layout is recognised.",
    )


def _take_weights(key: str) -> None:
    file = st.session_state.get(key)
    if file is None:
        return
    try:
        name = services.add_weights(st.session_state, file.name, file.getvalue())
    except UserError as error:
        st.session_state["weights_problem"] = str(error)
        return
    st.session_state.pop("weights_problem", None)
    st.session_state["weights"] = name
