"""Gallery: a folder of photos as a network sees it: a map, neighbours, near-duplicates, comparisons."""

from pathlib import Path

import streamlit as st

from app.cache import folders
from app.cache import gallery as cached_gallery
from app.cache.gallery import Gallery
from app.state import data_root
from app.state.data_root import PhotoFacts
from app.state.problems import show_error
from app.state.selection import Choice
from app.ui import command, layout, photo_folders
from app.views.gallery import alike, compare, job, map
from dino.errors import UserError
from dino.model.backbone import Backbone

PARTS = ("Map", "Neighbours", "Near-duplicates", "Before and after")
PART, FOLDER, CROP = "see", "folder", "crop"
CROPS = (96, 128, 160, 192, 224, 280, 336, 448, 518)


def show(choice: Choice, backbone: Backbone) -> None:
    """Draw the page: choose a folder, embed it, look around in it."""
    layout.heading_with_weights(
        "Gallery",
        "What a network finds alike in a whole folder of photos.",
        backbone,
        if_random="what is near means nothing",
    )
    folder, facts, crop = _choose_photos()
    if folder is None or facts is None:
        return
    gallery = cached_gallery.find_gallery(folder, choice.weights, backbone, crop)
    if job.show(gallery, facts.num_photos):
        _parts(gallery, facts.num_photos, choice, backbone)
    command.show(
        "embed", str(gallery.folder), weights=gallery.weights, options=["--size", str(gallery.size)]
    )
    st.caption(f"weights sha256 `{backbone.weights_sha256[:16]}` · {backbone.precision}")


def _parts(gallery: Gallery, num_photos: int, choice: Choice, backbone: Backbone) -> None:
    part = st.segmented_control(
        "Part",
        PARTS,
        default=PARTS[0],
        required=True,
        key=PART,
        bind="query-params",
        label_visibility="collapsed",
    )
    if part == "Map":
        map.show(gallery, choice, backbone)
    elif part == "Neighbours":
        alike.show_neighbours(gallery, choice, backbone)
    elif part == "Near-duplicates":
        alike.show_near_duplicates(gallery, choice, backbone)
    else:
        compare.show(gallery, num_photos)


def _choose_photos() -> tuple[Path | None, PhotoFacts | None, int]:
    """Draw widgets for the photos and the size they are seen at; None where nothing usable is chosen."""
    root = data_root.data_root()
    found = folders.photo_folders(str(root))
    left, right = st.columns([3, 1], gap="medium", vertical_alignment="bottom")
    with left:
        asked = st.session_state.get(FOLDER) or st.query_params.get(FOLDER)
        text = st.selectbox(
            "Photos",
            list(dict.fromkeys([*found, *([asked] if asked else [])])),
            index=0 if found else None,
            key=FOLDER,
            bind="query-params",
            accept_new_options=True,
            placeholder="A folder of photos",
            help=f"Choose, or type the path of any folder below `{root}`. `make app DATA=…` or the "
            "variable DINO_DATA_ROOT make that another place. Sub-folders are labels.",
        )
    with right:
        crop = st.selectbox(
            "Seen at, px",
            CROPS,
            index=CROPS.index(224),
            key=CROP,
            bind="query-params",
            help="The middle of each photo at this size goes through the network. Less is quicker: half "
            "the size is a quarter of the patches.",
        )
    photo_folders.upload(FOLDER)
    if not text:
        st.info("Choose a folder of photos, or upload a ZIP.", icon=":material/photo_library:")
        return None, None, crop
    try:
        folder = data_root.resolve(text, root)
        return folder, folders.photo_facts(str(folder)), crop
    except UserError as error:
        show_error(error, "folder_off")
        return None, None, crop
