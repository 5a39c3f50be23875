"""Before and after: the same folder under other weights, by k-NN and by a photo's neighbours."""

import streamlit as st

from app.cache import backbones as app_services
from app.cache import gallery as services
from app.cache.gallery import Gallery
from app.state import weights_menu
from app.text import plain_text
from app.views.gallery import job, pictures
from app.views.gallery.alike import LIKE
from dino.errors import UserError
from dino.features.folder.comparison import FolderAccuracy
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
    backbone = app_services.open_weights(name, st.session_state)
    after = services.gallery(before.folder, name, backbone, before.size)
    if job.show(after, num_photos, key="embed_after"):
        _figures(before, after, k)
        _side_by_side(before, after)


def _figures(before: Gallery, after: Gallery, k: int) -> None:
    compared = services.comparison(before, after, 10)
    first: FolderAccuracy | None = None
    second: FolderAccuracy | None = None
    try:
        first, second = services.accuracy(before, k), services.accuracy(after, k)
    except UserError as error:
        st.caption(f"No k-NN accuracy: {plain_text(str(error))}.")
    with st.container(horizontal=True, gap="large"):
        if first and second:
            change = second.accuracy.top1 - first.accuracy.top1
            st.metric(f"k-NN, {plain_text(before.weights)}", f"{first.accuracy.top1:.2f} %")
            st.metric(
                f"k-NN, {plain_text(after.weights)}",
                f"{second.accuracy.top1:.2f} %",
                f"{change:+.2f} points",
            )
        st.metric("Neighbours in common", f"{compared.shared_neighbours:.0%}")
    if first:
        st.caption(
            f"Top-1 of {first.num_photos:,} photos, {first.protocol}, k = {k}; in common: of the "
            f"{compared.k} nearest of each photo, on average."
        )


@st.fragment
def _side_by_side(before: Gallery, after: Gallery) -> None:
    compared = services.comparison(before, after, 10)
    path = st.selectbox(
        "Photo to compare with", compared.before.paths, key=LIKE, bind="query-params"
    )
    columns = st.columns(2, gap="medium")
    found = {}
    for of in (before, after):
        row = services.rows_by_path(of)[path]
        near = nearest(of.photos.features, row, k=_SHOWN)
        found[of.weights] = (row, near)
    names = [
        {of.photos.paths[r] for r in found[of.weights][1].rows.tolist()} for of in (before, after)
    ]
    for column, of in zip(columns, (before, after), strict=True):
        row, near = found[of.weights]
        both = names[0] & names[1]
        notes = ["this photo"] + [
            f"{cosine:.3f}" + (" · both" if of.photos.paths[r] in both else "")
            for r, cosine in zip(near.rows.tolist(), near.cosines, strict=True)
        ]
        with column:
            st.markdown(f"**{plain_text(of.weights)}**")
            pictures.grid(of, [row, *near.rows.tolist()], notes, chosen=row)
