"""Plotly figures, shared by the app's pages and the stand-alone HTML files."""

from typing import Any

import numpy as np

from dino.projections import Projection


def patch_scatter(
    projection: Projection, grid: tuple[int, int], colours: np.ndarray, *, title: str = ""
) -> Any:
    """Scatter of a photo's patches in 2 or 3 dimensions, each drawn in the colour of its patch.

    Args:
        grid: (h, w); points are row by row.
        colours: uint8 [N,3].
    Returns:
        A `plotly.graph_objects.Figure`; hover names the patch's row and column.
    """
    import plotly.graph_objects as go

    rows, columns = np.divmod(np.arange(len(projection.points)), grid[1])
    marker = {
        "color": [f"rgb({r},{g},{b})" for r, g, b in colours],
        "size": 4 if projection.points.shape[1] == 3 else 8,
        "line": {"width": 0.5, "color": "rgba(128,128,128,0.6)"},
    }
    common = {
        "mode": "markers",
        "marker": marker,
        "customdata": np.stack([rows, columns], axis=-1),
        "hovertemplate": "patch row %{customdata[0]}, column %{customdata[1]}<extra></extra>",
    }
    points = projection.points
    names = _axis_names(projection)
    if points.shape[1] == 3:
        figure = go.Figure(go.Scatter3d(x=points[:, 0], y=points[:, 1], z=points[:, 2], **common))
        axes = {
            f"{axis}axis": {"title": {"text": name}}
            for axis, name in zip("xyz", names, strict=True)
        }
        figure.update_layout(scene={**axes, "aspectmode": "data"})
    else:
        figure = go.Figure(go.Scattergl(x=points[:, 0], y=points[:, 1], **common))
        figure.update_xaxes(title=names[0], zeroline=False)
        figure.update_yaxes(title=names[1], zeroline=False, scaleanchor="x")
    figure.update_layout(
        title=title or None, margin={"l": 8, "r": 8, "t": 40 if title else 8, "b": 8}
    )
    return figure


def attention_histogram(shares: np.ndarray, threshold: float, mass: float) -> Any:
    """Histogram of the patches' shares of attention, the kept ones set apart.

    Args:
        shares: [N] share of each patch, summing to 1.
        threshold: smallest share that is kept.
    """
    import plotly.graph_objects as go

    edges = np.histogram_bin_edges(np.log10(np.maximum(shares, 1e-8)), bins=40)
    centres = (edges[:-1] + edges[1:]) / 2
    figure = go.Figure()
    kept = shares >= threshold
    for name, chosen, colour in (
        (f"kept: {np.count_nonzero(kept)} patches, {mass:.0%} of attention", kept, "#ff8c00"),
        (f"dropped: {np.count_nonzero(~kept)} patches", ~kept, "#8a8f98"),
    ):
        counts, _ = np.histogram(np.log10(np.maximum(shares[chosen], 1e-8)), bins=edges)
        figure.add_bar(x=10**centres * 100, y=counts, name=name, marker_color=colour, width=None)
    figure.update_layout(
        barmode="stack",
        bargap=0.04,
        xaxis={"type": "log", "title": "share of attention in one patch, %"},
        yaxis={"title": "patches"},
        legend={"orientation": "h", "y": 1.15, "x": 0},
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        height=260,
    )
    return figure


def standalone_html(figure: Any) -> bytes:
    """The figure as one HTML file that needs no network."""
    return figure.to_html(include_plotlyjs=True, full_html=True).encode()


def _axis_names(projection: Projection) -> list[str]:
    dims = projection.points.shape[1]
    if projection.method != "pca" or projection.explained_variance is None:
        return [f"{projection.method} {axis + 1}" for axis in range(dims)]
    shares = projection.explained_variance
    return [f"component {axis + 1} ({shares[axis]:.0%} of variance)" for axis in range(dims)]
