"""Look into folders of photos, and remember for a minute what is there."""

from pathlib import Path

import streamlit as st

from app.state import data_root


@st.cache_data(max_entries=8, ttl=60, show_spinner="Looking for photos …")
def photo_folders(root: str) -> list[str]:
    """List folders of photos below the data root, by the names `data_root.resolve` takes."""
    return data_root.find_photo_folders(Path(root))


@st.cache_data(max_entries=32, ttl=60, show_spinner="Counting photos …")
def photo_facts(folder: str) -> data_root.PhotoFacts:
    """Count what there is in a folder of photos."""
    return data_root.look_into(folder)


@st.cache_data(max_entries=32, ttl=60, show_spinner="Looking for masks …")
def count_masked(folder: str) -> int:
    """Count the photos with masks in a folder that attention can be measured on.

    Raises:
        UserError: none, or one without a mask.
    """
    from dino.evaluation.mask_data import open_masks

    return len(open_masks(folder).paths)
