"""Which photos the Gallery shows: a folder below the data root, or a ZIP from the browser."""

from pathlib import Path

import streamlit as st

from app.cache import pictures
from app.state import data_root
from app.state.data_root import PhotoFacts
from app.state.problems import show_error
from app.ui import photo_folders
from dino.errors import UserError

FOLDER, CROP = "folder", "crop"
CROPS = (96, 128, 160, 192, 224, 280, 336, 448, 518)


def choose() -> tuple[Path | None, PhotoFacts | None, int]:
    """Widgets for the photos and the size they are seen at; None where nothing usable is chosen."""
    root = data_root.data_root()
    found = pictures.photo_folders(str(root))
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
        return folder, pictures.photo_facts(str(folder)), crop
    except UserError as error:
        show_error(error, "folder_off")
        return None, None, crop
