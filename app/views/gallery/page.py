"""Gallery: a folder of photos as a network sees it: a map, neighbours, near-duplicates, comparisons."""

import html

import streamlit as st

from app.cache import gallery as services
from app.cache.gallery import Gallery
from app.state.selection import Choice
from app.ui import command, layout
from app.views.gallery import alike, compare, job, map
from app.views.gallery import folder as data
from dino.model.backbone import Backbone

PARTS = ("Map", "Neighbours", "Near-duplicates", "Before and after")
PART = "see"


def show(choice: Choice, backbone: Backbone) -> None:
    """The page: choose a folder, embed it, look around in it."""
    layout.heading(
        "Gallery",
        "What a network finds alike in a whole folder of photos.",
        f"<b>{html.escape(backbone.name)}</b>: {html.escape(backbone.description)}",
    )
    if backbone.is_random:
        st.warning(
            "These are random weights: nothing was learned, so what is near means nothing.",
            icon=":material/casino:",
        )
    folder, facts, crop = data.choose()
    if folder is None or facts is None:
        return
    of = services.gallery(folder, choice.weights, backbone, crop)
    if job.show(of, facts.num_photos):
        _parts(of, facts.num_photos, choice, backbone)
    options = ["--size", str(of.size)]
    command.show("embed", str(of.folder), weights=of.weights, options=options)
    st.caption(f"weights sha256 `{backbone.weights_sha256[:16]}` · {backbone.precision}")


def _parts(of: Gallery, num_photos: int, choice: Choice, backbone: Backbone) -> None:
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
        map.show(of, choice, backbone)
    elif part == "Neighbours":
        alike.neighbours(of, choice, backbone)
    elif part == "Near-duplicates":
        alike.near_duplicates(of, choice, backbone)
    else:
        compare.show(of, num_photos)
