"""What is alike: the nearest photos of one, and groups of near-duplicates."""

from functools import partial

import streamlit as st

from app.cache import gallery as cached_gallery
from app.cache.gallery import Gallery
from app.state.selection import Choice
from app.ui import layout
from app.views.gallery import pictures
from dino.features.neighbours import DuplicateGroup, nearest
from dino.model.backbone import Backbone
from dino.system.words import counted

LIKE, COUNT, ALIKE = "like", "count", "alike"
BESIDE, GROUP = "gallery_beside", "gallery_opened_group"
_MAX_GROUPS = 25


@st.fragment
def show_neighbours(gallery: Gallery, choice: Choice, backbone: Backbone) -> None:
    """Show the photos nearest to one, with their cosines; it and one of them large."""
    paths = gallery.photos.paths
    left, right = st.columns([3, 1], gap="medium", vertical_alignment="bottom")
    with left:
        path = st.selectbox("Photo to compare with", paths, key=LIKE, bind="query-params")
        row = paths.index(path)
    with right:
        k = st.slider("Neighbours shown", 6, 60, 18, step=6, key=COUNT, bind="query-params")
    found = nearest(gallery.photos.features, row, k=k)
    rows = found.rows.tolist()
    cosines = {near: f"cosine {cos:.3f}" for near, cos in zip(rows, found.cosines, strict=True)}
    large, small = st.columns([3, 2], gap="medium")
    with large:
        beside = st.selectbox(
            "Beside it",
            rows,
            format_func=lambda near: f"{paths[near]} ({cosines[near]})",
            key=BESIDE,
        )
        captions = [path, f"{paths[beside]}: {cosines[beside]}"]
        pair = [row, beside]
        pictures.show_large("gallery_pair", gallery, pair, choice, backbone, captions=captions)
    with small:
        pictures.show_grid(gallery, [row, *rows], ["this photo", *cosines.values()], chosen=row)


@st.fragment
def show_near_duplicates(gallery: Gallery, choice: Choice, backbone: Backbone) -> None:
    """Show groups of photos that are nearly the same, most alike first; one of them large."""
    paths = gallery.photos.paths
    threshold = st.slider(
        "Cosine above",
        0.70,
        0.999,
        0.95,
        step=0.001,
        format="%.3f",
        key=ALIKE,
        bind="query-params",
        help="Photos above it hang together, also by way of others. What is high depends on the "
        "weights: raise it until groups hold only what you would call the same.",
    )
    groups = cached_gallery.duplicates(gallery, threshold)
    if not groups:
        st.info("No two photos are as alike as that.", icon=":material/check:")
        return
    num_photos = sum(len(group.rows) for group in groups)
    st.markdown(f"**{counted(len(groups), 'group')}, {num_photos:,} photos**")
    layout.downloads(
        ("Groups (CSV)", "near-duplicates.csv", "table", partial(_csv, gallery, groups))
    )
    large, small = st.columns([3, 2], gap="medium")
    with large:
        opened = st.selectbox(
            "Opened large",
            groups,
            format_func=lambda group: " · ".join(paths[row] for row in group.rows[:2]),
            key=GROUP,
        )
        pictures.show_large("gallery_group", gallery, opened.rows, choice, backbone)
    with small:
        for number, group in enumerate(groups[:_MAX_GROUPS], start=1):
            st.caption(f"Group {number}: {len(group.rows)} photos, cosine up to {group.cosine:.3f}")
            pictures.show_first(gallery, group.rows)
    if len(groups) > _MAX_GROUPS:
        st.caption(f"… and {len(groups) - _MAX_GROUPS:,} groups more; the CSV lists all.")


def _csv(gallery: Gallery, groups: list[DuplicateGroup]) -> bytes:
    lines = ["group,cosine,path,sha256"]
    for number, group in enumerate(groups, start=1):
        for row in group.rows:
            path = gallery.photos.paths[row].replace('"', '""')
            lines.append(f'{number},{group.cosine:.4f},"{path}",{gallery.photos.sha256[row]}')
    return ("\n".join(lines) + "\n").encode()
