"""A session begins: photos from a folder below the data root or from a ZIP, and how to propose."""

from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.state import data_root, weights_menu
from app.state.problems import show_error
from app.state.selection import Choice
from app.ui import photo_folders
from app.ui.masks import METHODS, REFINEMENTS
from app.ui.networks import instead_of_attention
from dino.annotation.creation import create
from dino.annotation.session import annotations_folder
from dino.attention.mass import DEFAULT_MASS
from dino.errors import UserError
from dino.masks.settings import MaskSettings
from dino.model.backbone import Backbone

BEGUN = "annotate_begun"
SOURCES = ("folder", "ZIP")


def form(choice: Choice, backbone: Backbone) -> str | None:
    """Draw the widgets; return the name of the session where one was begun in this run."""
    source = st.segmented_control(
        "Photos from", SOURCES, default=SOURCES[0], required=True, key="annotate_from"
    )
    photos, found = _folder() if source == "folder" else _zip()
    suggested = data_root.free_name(annotations_folder(), found, otherwise="photos")
    name = st.text_input("Name", suggested, max_chars=64, key=f"annotate_name:{found}")
    classes = st.text_input(
        "Classes",
        "object",
        key="annotate_classes",
        help="With commas between. They can be renamed, and more added, at any time.",
    )
    settings = _settings(choice)
    if not backbone.has_attention:
        instead_of_attention(
            backbone, "It proposes no masks; draw them, or begin with other weights"
        )
    begun = st.button(
        "Begin", type="primary", icon=":material/play_arrow:", disabled=photos is None
    )
    if not begun or photos is None:
        return None
    bar = st.progress(0.0, "Reading the photos …")

    def progress(done: int, total: int) -> None:
        bar.progress(done / total, f"Reading the photos: {done:,} of {total:,}")

    try:
        create(
            annotations_folder() / name,
            photos,
            classes=classes.split(","),
            settings=settings,
            weights=weights_menu.start_weights(choice.weights, st.session_state),
            weights_sha256=backbone.weights_sha256,
            progress=progress,
        )
    except UserError as error:
        bar.empty()
        show_error(error)
        return None
    return name


def _folder() -> tuple[Path | None, str]:
    """Choose a folder; return it and its name."""
    chosen = photo_folders.choose_folder(
        "Folder of photos",
        "annotate_folder",
        help="The photos stay where they are; sub-folders are searched too.",
        placeholder="Choose a folder",
    )
    usable = chosen.folder if chosen.folder is not None and not chosen.problem else None
    return usable, usable.name if usable else ""


def _zip() -> tuple[UploadedFile | None, str]:
    """Take a ZIP; return it and its name without the ending."""
    file = st.file_uploader(
        "ZIP of photos",
        type=["zip"],
        key="annotate_zip",
        max_upload_size=photo_folders.MAX_ZIP_MB,
        help="Up to 2 GB and 20,000 photos. They stay on the machine that runs this app, in the "
        "session's folder.",
    )
    return file, Path(file.name).stem if file else ""


def _settings(choice: Choice) -> MaskSettings:
    """Choose how masks are proposed; the Masks page explains the choices, where they can be tried."""
    mass = st.slider(
        "Attention held by a proposed mask, %",
        1,
        100,
        round(100 * DEFAULT_MASS),
        key="annotate_mass",
        help="As on the Masks page, where it can be tried. Photos are looked at "
        f"{choice.size} px large, as the sidebar says.",
    )
    with st.expander("Method and clean-up", icon=":material/tune:"):
        method = st.segmented_control(
            "Patches kept", list(METHODS), default="mass", required=True, key="annotate_method"
        )
        with st.container(horizontal=True, gap="medium"):
            largest = st.toggle("Largest piece only", key="annotate_largest")
            fill_holes = st.toggle("Fill holes", key="annotate_holes")
        edge = st.segmented_control(
            "Edge", list(REFINEMENTS), default="patches", required=True, key="annotate_refine"
        )
    return MaskSettings(
        size=choice.size,
        mass=mass / 100,
        method=METHODS[method],
        largest=largest,
        fill_holes=fill_holes,
        refine=REFINEMENTS[edge],
    )
