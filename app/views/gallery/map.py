"""The map of a folder: a point a photo, coloured, hovered, chosen by lasso, and what is chosen below."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app.cache import gallery as cached_gallery
from app.cache.gallery import Gallery
from app.components.hover.component import hovered_photo
from app.state.selection import Choice
from app.text import plain_text
from app.ui import layout
from app.views.gallery import pictures, sorting
from dino.attention.figures import standalone_html
from dino.features.figures import photo_scatter
from dino.features.folder.files import FEATURES
from dino.features.projections import Projection, has_umap
from dino.media import draw
from dino.model.backbone import Backbone
from dino.system.words import counted

METHODS = {"PCA": "pca", "t-SNE": "tsne", "UMAP": "umap"}
TINTS = ("sub-folder", "cluster", "date")
METHOD, TINT, CLUSTERS, NEARBY, PICK = "map", "tint", "clusters", "nearby", "pick"
CHART, OPENED = "gallery_scatter", "gallery_opened"
_MIN_PHOTOS = 3


@dataclass(frozen=True)
class Map:
    """What is drawn: the photos' points, and the group of each photo, named; and how one that is opened
    is looked at."""

    gallery: Gallery
    projection: Projection
    groups: tuple[str, ...]
    tint: str
    choice: Choice
    backbone: Backbone


def show(gallery: Gallery, choice: Choice, backbone: Backbone) -> None:
    """Draw controls, the chart, the photo under the pointer, and the chosen photos."""
    if len(gallery.photos) < _MIN_PHOTOS:
        st.info(f"A map needs {_MIN_PHOTOS} photos or more.", icon=":material/info:")
        return
    method, tint, k, nearby = _controls(gallery)
    projection = _project(gallery, method, nearby)
    drawn = Map(gallery, projection, _groups(gallery, tint, k), tint, choice, backbone)
    # First, so that a phone has it above the chart and not below all of it.
    left, right = st.columns([1, 4], gap="medium")
    with left:
        hovered_photo(
            "gallery_hover",
            chart=CHART,
            sheets=cached_gallery.sheet_addresses(gallery),
            names=gallery.photos.paths,
        )
    with right:
        _chart(drawn)


def _controls(gallery: Gallery) -> tuple[str, str, int, int]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        method = st.segmented_control(
            "Projection",
            [name for name in METHODS if name != "UMAP" or has_umap()],
            default="PCA",
            required=True,
            key=METHOD,
            bind="query-params",
            help=None if has_umap() else "UMAP joins once `pip install umap-learn` was run.",
        )
        has_labels = len(set(gallery.photos.labels)) > 1
        tints = TINTS if has_labels else TINTS[1:]
        tint = st.segmented_control(
            "Coloured by", tints, default=tints[0], required=True, key=TINT, bind="query-params"
        )
        k = 10
        if tint == "cluster":
            k = st.slider("Clusters", 2, min(40, len(gallery.photos)), min(10, len(gallery.photos)),
                          key=CLUSTERS, bind="query-params", width=160)  # fmt: skip
        nearby = 30
        if method != "PCA":
            nearby = st.slider(
                "Neighbours",
                5,
                100,
                30,
                key=NEARBY,
                bind="query-params",
                width=160,
                help="t-SNE's perplexity or UMAP's neighbours: few show small groups, many the whole.",
            )
    return METHODS[method], tint, k, nearby


def _groups(gallery: Gallery, tint: str, k: int) -> tuple[str, ...]:
    if tint == "cluster":
        return tuple(f"cluster {number}" for number in cached_gallery.clusters(gallery, k).numbers)
    if tint == "date":
        return tuple(str(month) for month in gallery.photos.dates.astype("datetime64[M]"))
    return tuple(label or "no folder" for label in gallery.photos.labels)


def _project(gallery: Gallery, method: str, nearby: int) -> Projection:
    """Project to points; where that takes long, with progress, outside any fragment, so that Cancel (as
    any other control) ends the work."""
    options: dict[str, Any] = {"method": method, "perplexity": nearby}
    if method == "pca" or cached_gallery.has_points(gallery, **options):
        return cached_gallery.points(gallery, **options)
    place = st.empty()
    with place.container():
        bar = st.empty()
        bar.progress(0.0, "Starts …")
        st.button("Cancel", icon=":material/close:", key="gallery_cancel", on_click=_cancel)

    def progress(done: float, message: str) -> None:
        bar.progress(min(done, 1.0), text=message)

    projection = cached_gallery.points(gallery, progress=progress, **options)
    place.empty()
    return projection


def _cancel() -> None:
    st.session_state[METHOD] = "PCA"


@st.fragment
def _chart(drawn: Map) -> None:
    """Draw the chart and what was chosen in it; choosing redraws this alone."""
    event = st.plotly_chart(
        _figure(drawn),
        key=CHART,
        on_select="rerun",
        selection_mode=("points", "box", "lasso"),
        width="stretch",
        config={"scrollZoom": True, "displaylogo": False},
        alt=f"{drawn.projection.method} of {len(drawn.groups)} photos, coloured by {drawn.tint}.",
    )
    lassoed = {int(point["customdata"]) for point in event.selection.points}
    picked = st.multiselect(
        "Choose by lasso, box or click in the chart, or whole groups here",
        sorted(set(drawn.groups), key=lambda name: (len(name), name)),
        key=PICK,
        placeholder=f"{drawn.tint}s",
    )
    rows = sorted(lassoed | {row for row, group in enumerate(drawn.groups) if group in picked})
    st.caption(_describe(drawn))
    if rows:
        _chosen(drawn, rows)
    _downloads(drawn, rows)
    sorting.show(drawn.gallery, rows or range(len(drawn.groups)), drawn.groups)


def _chosen(drawn: Map, rows: list[int]) -> None:
    """Show one of the chosen photos large, beside all of them."""
    st.markdown(f"**{counted(len(rows), 'photo')} chosen**")
    large, small = st.columns([3, 2], gap="medium")
    with large:
        paths = drawn.gallery.photos.paths
        opened = st.selectbox("Opened large", rows, format_func=lambda row: paths[row], key=OPENED)
        pictures.show_large("gallery_photo", drawn.gallery, [opened], drawn.choice, drawn.backbone)
    with small:
        pictures.show_first(drawn.gallery, rows, [drawn.groups[row] for row in rows])


def _figure(drawn: Map, title: str = "") -> go.Figure:
    photos, by_date = drawn.gallery.photos, drawn.tint == "date"
    mark = draw.RANDOM_MARK if drawn.backbone.is_random else ""
    figure = photo_scatter(
        drawn.projection,
        photos.paths,
        groups=None if by_date else drawn.groups,
        dates=photos.dates if by_date else None,
        title=" · ".join(filter(None, (title, mark))),
    )
    figure.update_layout(height=560)
    return figure


def _describe(drawn: Map) -> str:
    projection, shares = drawn.projection, drawn.projection.explained_variance
    if projection.method == "pca" and shares is not None:
        text = f"The axes hold {sum(shares[:2]):.0%} of the variance."
    else:
        text = f"Seed {projection.seed}; groups mean much, distances between them little."
    if drawn.tint == "date":
        known = np.mean([source == "exif" for source in drawn.gallery.photos.dated_by])
        text += f" {known:.0%} of the dates are from the cameras, the others of files."
    return text


def _downloads(drawn: Map, rows: list[int]) -> None:
    chosen = np.array(rows or range(len(drawn.groups)))
    what = "chosen" if rows else "all"
    layout.downloads(
        (f"CSV ({what})", "photos.csv", "table", lambda: photos_csv(drawn, chosen)),
        ("Features (NPZ)", "features.npz", "data_array", (drawn.gallery.out / FEATURES).read_bytes),
        ("Plot (HTML)", "photos.html", "language",
         lambda: standalone_html(_figure(drawn, plain_text(drawn.gallery.folder.name)))),
    )  # fmt: skip


def photos_csv(drawn: Map, rows: np.ndarray) -> bytes:
    """Write one line a photo: path, label, group, date and where it is from, sha256, coordinates."""
    photos = drawn.gallery.photos
    lines = ["path,label,group,date,dated_by,sha256,x,y"]
    for row in rows.tolist():
        words = [photos.paths[row], photos.labels[row], drawn.groups[row]]
        quoted = ['"' + word.replace('"', '""') + '"' for word in words]
        facts = [str(photos.dates[row]), photos.dated_by[row], photos.sha256[row]]
        place = [f"{value:.6g}" for value in drawn.projection.points[row]]
        lines.append(",".join([*quoted, *facts, *place]))
    return ("\n".join(lines) + "\n").encode()
