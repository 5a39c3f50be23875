"""Plotly figures of features: photos of a folder, patches of several photos, patches of one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dino.features.joint import JointPca
from dino.features.projections import Projection
from dino.media.palettes import CHOSEN_COLOR, OTHERS_COLOR, POINT_COLORS

# Groups that get a colour of their own: the largest ones; the others share grey.
MAX_GROUPS = 20
# Signs for photos in one plot, so that they are told apart without colour.
_SIGNS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star", "pentagon")
_LEGEND = {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}
_EDGE_COLOUR = "rgba(128,128,128,0.6)"


def photo_scatter(
    projection: Projection,
    names: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    dates: np.ndarray | None = None,
    title: str = "",
) -> Any:
    """Draw photos as points in two dimensions, by WebGL; made for some thousands of points.

    Args:
        names: of the photos, shown on hover.
        groups: of each photo, for a colour and an entry in the legend, largest group first.
        dates: datetime64 of each photo, for a colour from early to late, where there are no groups.
    Returns:
        A `plotly.graph_objects.Figure`; `customdata` of a point is the photo's row.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    size = 8 if len(names) < 500 else 5
    for label, rows, marker in _point_groups(groups, dates, len(names)):
        points = projection.points[rows]
        figure.add_scattergl(
            x=points[:, 0],
            y=points[:, 1],
            mode="markers",
            customdata=rows,
            text=[names[row] for row in rows],
            hovertemplate="%{text}<extra></extra>",
            name=label,
            marker={**marker, "size": size, "opacity": 0.85},
        )
    shown = projection.method == "pca"  # elsewhere the numbers mean nothing
    _name_axes(figure, _axis_names(projection), showticklabels=shown)
    return _with_layout(
        figure,
        title,
        legend={**_LEGEND, "itemsizing": "constant"},
        showlegend=groups is not None,
        dragmode="lasso",
        modebar={"orientation": "v"},  # beside the legend, not over it
        hoverdistance=12,
    )


def _point_groups(
    groups: Sequence[str] | None, dates: np.ndarray | None, count: int
) -> list[tuple[str, np.ndarray, dict[str, Any]]]:
    """Sort points into traces: (label, rows, marker) of each."""
    if groups is None:
        return [("photos", np.arange(count), _date_marker(dates))]
    labels = np.asarray(groups)
    found, counts = np.unique(labels, return_counts=True)
    order = found[np.lexsort((found, -counts))]
    traces = []
    for number, label in enumerate(order[:MAX_GROUPS]):
        colour = POINT_COLORS[number % len(POINT_COLORS)]
        symbol = "circle" if number < len(POINT_COLORS) else "diamond"
        rows = np.flatnonzero(labels == label)
        traces.append((str(label) or "no folder", rows, {"color": colour, "symbol": symbol}))
    if len(order) > MAX_GROUPS:
        rows = np.flatnonzero(~np.isin(labels, order[:MAX_GROUPS]))
        traces.append((f"{len(order) - MAX_GROUPS} others", rows, {"color": OTHERS_COLOR}))
    return traces


def _date_marker(dates: np.ndarray | None) -> dict[str, Any]:
    if dates is None or not len(dates):
        return {"color": POINT_COLORS[0]}
    seconds = dates.astype("datetime64[s]").astype(np.int64)
    low, high = np.percentile(seconds, (1, 99)).astype(np.int64)
    ticks = np.linspace(low, high, 5 if high > low else 1).astype(np.int64)
    unit = "D" if high - low < 400 * 86400 else "M"
    words = [str(tick.astype("datetime64[s]").astype(f"datetime64[{unit}]")) for tick in ticks]
    bar = {"tickvals": ticks.tolist(), "ticktext": words, "thickness": 12, "title": {"text": ""}}
    return {
        "color": seconds.tolist(),
        "colorscale": "Viridis",
        "cmin": int(low),
        "cmax": int(max(high, low + 1)),
        "colorbar": bar,
    }


def joint_scatter(joint: JointPca, names: Sequence[str], *, title: str = "") -> Any:
    """Draw patches of several photos by their first two joint components, in their joint colours.

    Args:
        names: of the photos; each has a sign of its own (eight of them, in turn). Patches outside the
            foreground are left out.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for number, name in enumerate(names):
        kept = joint.kept[number]
        rows, columns = np.nonzero(kept)
        points = joint.scores[number][kept.ravel()]
        figure.add_scattergl(
            x=points[:, 0],
            y=points[:, 1],
            mode="markers",
            name=name,
            marker={
                "color": _css_colours(joint.colours[number][kept]),
                "size": 7,
                "symbol": _SIGNS[number % len(_SIGNS)],
                "line": {"width": 0.5, "color": _EDGE_COLOUR},
            },
            customdata=np.stack([np.full(len(rows), number), rows, columns], axis=-1),
            hovertemplate="patch row %{customdata[1]}, column %{customdata[2]}"
            "<extra>%{fullData.name}</extra>",
        )
    _name_axes(figure, _component_names(joint.basis.explained_variance))
    return _with_layout(figure, title, legend=_LEGEND)


def patch_scatter(
    projection: Projection,
    grid: tuple[int, int],
    colours: np.ndarray,
    *,
    title: str = "",
    lit: Sequence[int] = (),
) -> Any:
    """Draw a photo's patches as points in 2 or 3 dimensions, each drawn in the colour of its patch.

    Args:
        grid: (h, w); points are row by row.
        colours: uint8 [N,3].
        lit: patches to ring.
    Returns:
        A `plotly.graph_objects.Figure`; hover names the patch's row and column.
    """
    import plotly.graph_objects as go

    points, axes = projection.points, _axis_names(projection)
    solid = points.shape[1] == 3
    # Lists: of an array, Plotly would give a selected point its place as an object of "0" and "1".
    places = [list(divmod(patch, grid[1])) for patch in range(len(points))]

    def trace(patches: Sequence[int], marker: dict[str, Any]) -> Any:
        return (go.Scatter3d if solid else go.Scattergl)(
            **dict(zip("xyz", points[list(patches)].T, strict=False)),
            mode="markers",
            marker=marker,
            customdata=[places[patch] for patch in patches],
            hovertemplate="patch row %{customdata[0]}, column %{customdata[1]}<extra></extra>",
        )

    edge = {"width": 0 if solid else 0.5, "color": _EDGE_COLOUR}
    marker = {"color": _css_colours(colours), "size": 3.5 if solid else 8, "line": edge}
    figure = go.Figure(trace(range(len(points)), marker))
    if len(lit):
        ring = {"symbol": "circle-open", "color": CHOSEN_COLOR, "size": 7 if solid else 14}
        figure.add_trace(trace(lit, {**ring, "line": {"width": 3}}))
    if solid:
        scene: dict[str, Any] = {
            f"{axis}axis": {"title": {"text": name}} for axis, name in zip("xyz", axes, strict=True)
        }
        scene["aspectmode"] = "data" if projection.method == "pca" else "cube"
        figure.update_layout(scene=scene)
    else:
        _name_axes(figure, axes)
    return _with_layout(figure, title, showlegend=False)


def _name_axes(figure: Any, names: Sequence[str], **look: Any) -> None:
    figure.update_xaxes(title=names[0], zeroline=False, **look)
    figure.update_yaxes(title=names[1], zeroline=False, **look)


def _with_layout(figure: Any, title: str, **layout: Any) -> Any:
    margin = {"l": 8, "r": 8, "t": 40 if title else 8, "b": 8}
    return figure.update_layout(title=title or None, margin=margin, **layout)


def _css_colours(colours: np.ndarray) -> list[str]:
    return [f"rgb({red},{green},{blue})" for red, green, blue in colours]


def _axis_names(projection: Projection) -> list[str]:
    """Name the axes of a projection, with their share of the variance for PCA."""
    if projection.method == "pca":
        return _component_names(projection.explained_variance)
    return [f"{projection.method} {axis + 1}" for axis in range(projection.points.shape[1])]


def _component_names(shares: Sequence[float]) -> list[str]:
    return [
        f"component {number} ({share:.0%} of variance)" for number, share in enumerate(shares, 1)
    ]
