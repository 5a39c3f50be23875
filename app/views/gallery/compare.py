"""Before and after: the same folder under other weights, by k-NN and by a photo's neighbours."""

import streamlit as st

from app.cache import backbones
from app.cache import gallery as cached_gallery
from app.cache.gallery import Gallery
from app.state import weights_menu
from app.text import plain_text
from app.views.gallery import job, pictures
from app.views.gallery.alike import LIKE
from dino.errors import UserError
from dino.features.neighbours import nearest

AGAINST, K = "against", "k"
_SHOWN = 11


def show(before: Gallery, num_photos: int) -> None:
    """Choose the other weights, embed with them, and put both beside each other."""
    others = [
        name for name in weights_menu.weights_options(st.session_state) if name != before.weights
    ]
    left, right = st.columns([3, 1], gap="medium", vertical_alignment="bottom")
    with left:
        name = st.selectbox(
            "Against the weights", others, index=None, key=AGAINST, bind="query-params",
            placeholder="Choose other weights",
        )  # fmt: skip
    with right:
        k = st.select_slider("k", (1, 5, 10, 20, 50, 100), 20, key=K, bind="query-params")
    if name is None:
        st.info(
            "Choose other weights, such as those of a run, to see what they changed.",
            icon=":material/compare:",
        )
        return
    backbone = backbones.open_weights(name, st.session_state)
    after = cached_gallery.find_gallery(before.folder, name, backbone, before.size)
    if job.show(after, num_photos, key="embed_after"):
        _figures(before, after, k)
        _side_by_side(before, after)


def _figures(before: Gallery, after: Gallery, k: int) -> None:
    compared = cached_gallery.comparison(before, after)
    try:
        measured = [cached_gallery.accuracy(gallery, k) for gallery in (before, after)]
    except UserError as error:
        measured = []
        st.caption(f"No k-NN accuracy: {plain_text(str(error))}.")
    with st.container(horizontal=True, gap="large"):
        if measured:
            first, second = (one.accuracy.top1 for one in measured)
            change = f"{second - first:+.2f} points"
            st.metric(f"k-NN, {plain_text(before.weights)}", f"{first:.2f} %")
            st.metric(f"k-NN, {plain_text(after.weights)}", f"{second:.2f} %", change)
        st.metric("Neighbours in common", f"{compared.shared_neighbours:.0%}")
    if measured:
        st.caption(
            f"Top-1 of {measured[0].num_photos:,} photos, {measured[0].protocol}, k = {k}; in common: of "
            f"the {compared.k} nearest of each photo, on average."
        )


@st.fragment
def _side_by_side(before: Gallery, after: Gallery) -> None:
    paths = cached_gallery.comparison(before, after).before.paths
    path = st.selectbox("Photo to compare with", paths, key=LIKE, bind="query-params")
    found = [_near(gallery, path) for gallery in (before, after)]
    columns = st.columns(2, gap="medium")
    for column, gallery, near in zip(columns, (before, after), found, strict=True):
        notes = [
            f"{cosine:.3f}" + (" · both" if all(name in other for other in found) else "")
            for name, cosine in near.items()
        ]
        row, *rows = (gallery.photos.paths.index(name) for name in (path, *near))
        with column:
            st.markdown(f"**{plain_text(gallery.weights)}**")
            pictures.show_grid(gallery, [row, *rows], ["this photo", *notes], chosen=row)


def _near(gallery: Gallery, path: str) -> dict[str, float]:
    """Find the nearest of a photo, nearest first: their paths and cosines."""
    paths = gallery.photos.paths
    found = nearest(gallery.photos.features, paths.index(path), k=_SHOWN)
    return dict(zip((paths[row] for row in found.rows), found.cosines.tolist(), strict=True))
