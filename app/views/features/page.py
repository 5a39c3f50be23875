"""Show what the patches have in common, as colours on the photo and as points in space."""

from typing import Any

import numpy as np
import streamlit as st

from app.cache import pictures
from app.state.selection import Choice
from app.ui import command, layout
from app.ui.widgets import choose_one
from app.views.features import joint, linked
from app.views.features.linked import Linked
from dino.attention.figures import standalone_html
from dino.attention.photo import PatchFeatures
from dino.features.figures import patch_scatter
from dino.features.files import pca_picture, points_csv, projection_files, projection_npz
from dino.features.projections import Projection, pca_rgb
from dino.media import draw
from dino.model.backbone import Backbone
from dino.system.files import results_name, zip_files

METHODS = {"PCA": "pca", "t-SNE": "tsne"}
PHOTO, COMPONENTS = "photo", "components"
ONE, SEVERAL = "One photo", "Several photos"


def show(choice: Choice, backbone: Backbone) -> None:
    """Draw the page: the patches of one photo, or those of several in one basis."""
    layout.header("Features", choice, backbone)
    part = choose_one("Patches of", [ONE, SEVERAL], key="patches", show_label=False)
    if part == SEVERAL:
        joint.show(choice, backbone)
        return
    features, seconds = pictures.features(choice, backbone)
    _explore(choice, backbone, features)
    layout.footer(choice, backbone, seconds)


@st.fragment
def _explore(choice: Choice, backbone: Backbone, features: PatchFeatures) -> None:
    """Draw pictures beside the scatter; patches that are chosen in one light up in both."""
    scene = Linked(choice, backbone, features)
    left, right = st.columns([5, 6], gap="medium")
    with left:
        linked.photo(scene)
        st.caption(
            "The first three principal components of the patch features as red, green and blue: "
            "patches of one colour look alike to the network. Colours belong to this photo alone."
        )
    with right:
        _scatter(scene)


def _scatter(scene: Linked) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        method = choose_one("Projection", list(METHODS), key="projection")
        dims = choose_one("Dimensions", [2, 3], key="dims")
        points = choose_one("Points coloured as", [PHOTO, COMPONENTS], key="points")
        perplexity = 30
        if METHODS[method] == "tsne":
            perplexity = st.slider(
                "Perplexity", 5, 50, 30, key="perplexity", bind="query-params", width=160,
                help="About how many neighbours a patch has; at most a third of the patches.",
            )  # fmt: skip
    projection = _project(scene, method=METHODS[method], dims=dims, perplexity=perplexity)
    grid, patches = scene.features.geometry.grid, scene.features.patches
    if points == COMPONENTS:
        colours = pca_rgb(patches, grid).reshape(-1, 3)
    else:
        colours = pictures.patch_colours(scene.choice, scene.backbone, scene.features)
    mark = draw.RANDOM_MARK if scene.backbone.is_random else ""
    figure = patch_scatter(projection, grid, colours, title=mark, lit=scene.lit)
    figure.update_layout(height=620, dragmode="lasso" if dims == 2 else None)
    linked.chart(
        scene,
        figure,
        key="patch_scatter",
        alt=f"{method} of {len(projection.points)} patch features in {dims} dimensions.",
    )
    st.caption(_describe(projection))
    _downloads(scene, projection, colours, by_components=points == COMPONENTS)


def _project(scene: Linked, **options: Any) -> Projection:
    """Project to points, with a progress bar while t-SNE is at work."""
    choice, backbone, features = scene.choice, scene.backbone, scene.features
    if options["method"] == "pca":
        return pictures.projection(choice, backbone, features, **options)
    place = st.empty()

    def progress(done: float, message: str) -> None:
        place.progress(min(done, 1.0), text=message)

    projection = pictures.projection(choice, backbone, features, progress=progress, **options)
    place.empty()
    return projection


def _describe(projection: Projection) -> str:
    shares = projection.explained_variance
    if projection.method == "pca" and shares is not None:
        kept = sum(shares[: projection.points.shape[1]])
        return f"{len(projection.points)} patches; the axes shown hold {kept:.0%} of the variance."
    perplexity = projection.parameters.get("perplexity")
    return (
        f"{len(projection.points)} patches, perplexity {perplexity:g}, seed {projection.seed}. "
        "t-SNE keeps neighbours together; distances between groups mean little."
    )


def _downloads(
    scene: Linked, projection: Projection, colours: np.ndarray, *, by_components: bool
) -> None:
    photo, features, random = scene.choice.photo, scene.features, scene.backbone.is_random
    stem = results_name(photo.file_name, photo.id)

    def html() -> bytes:
        title = photo.file_name + (f" ({draw.RANDOM_MARK})" if random else "")
        return standalone_html(
            patch_scatter(projection, features.geometry.grid, colours, title=title)
        )

    def everything() -> bytes:
        return zip_files(
            projection_files(
                projection,
                features,
                pictures.pixels(photo),
                title=photo.file_name,
                random=random,
                components=by_components,
            )
        )

    layout.downloads(
        ("Components (PNG)", f"{stem}-pca-rgb.png", "image",
         lambda: draw.encode_png(pca_picture(features, random=random))),
        ("Points (CSV)", f"{stem}-points.csv", "table",
         lambda: points_csv(projection, features, colours)),
        ("Plot (HTML)", f"{stem}-points.html", "language", html),
        ("Features (NPZ)", f"{stem}-projection.npz", "data_array",
         lambda: projection_npz(projection, features)),
        ("All files (ZIP)", f"{stem}-features.zip", "folder_zip", everything),
    )  # fmt: skip
    tsne = projection.method == "tsne"
    options = command.flags(
        method=projection.method,
        dims=projection.points.shape[1],
        perplexity=float(projection.parameters["perplexity"]) if tsne else None,
        points=COMPONENTS if by_components else None,
    )
    command.show_of_photo("project", scene.choice, options)
