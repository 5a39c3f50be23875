"""Draw Plotly figures for the app's pages and for HTML files that stand alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dino.media.palettes import BELOW, CHART_COLORS, CHOSEN_COLOR, OTHERS_COLOR, hex_color


def attention_histogram(shares: np.ndarray, kept: np.ndarray) -> Any:
    """Draw a histogram of the patches' shares of attention, the kept ones set apart.

    Args:
        shares: [N] share of each patch, summing to 1.
        kept: [N] bool, the patches of the mask.
    """
    import plotly.graph_objects as go

    decades = np.log10(np.maximum(shares, 1e-8))
    edges = np.histogram_bin_edges(decades, bins=40)
    figure = go.Figure()
    for name, chosen, colour in (
        (f"kept: {np.count_nonzero(kept)}", kept, CHOSEN_COLOR),
        (f"dropped: {np.count_nonzero(~kept)}", ~kept, OTHERS_COLOR),
    ):
        counts, _ = np.histogram(decades[chosen], bins=edges)
        figure.add_bar(x=(edges[:-1] + edges[1:]) / 2, y=counts, name=name, marker_color=colour)
    ticks = np.array([digit * 10.0**power for power in range(-6, 3) for digit in (1, 2, 5)])
    inside = ticks[(ticks >= 100 * 10 ** edges[0]) & (ticks <= 100 * 10 ** edges[-1])]
    ticks = inside[:: -(-len(inside) // 8)] if len(inside) > 1 else 100 * 10 ** edges[[0, -1]]
    figure.update_layout(
        barmode="stack",
        bargap=0.04,
        xaxis={
            "title": "share of attention in one patch, %",
            "tickvals": np.log10(ticks / 100),
            "ticktext": [f"{tick:.3g}" for tick in ticks],
        },
        yaxis={"title": "patches"},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        height=280,
    )
    return figure


def norm_lines(
    prefix: np.ndarray,
    patches: np.ndarray,
    *,
    groups: Sequence[tuple[str, Sequence[int]]],
    layer: int,
) -> Any:
    """Draw token norms over the blocks: of the tokens before the patches, the median and the largest patch.

    Args:
        prefix: [L,P] norms of the tokens before the patches.
        patches: [L,h,w].
        groups: which of those tokens share a line, their mean, and its name: "CLS", "registers" …
        layer: the block to mark.
    """
    import plotly.graph_objects as go

    lines = [
        ("largest patch", patches.max(axis=(1, 2)), CHOSEN_COLOR),
        ("median patch", np.median(patches, axis=(1, 2)), OTHERS_COLOR),
    ]
    others = iter(CHART_COLORS[2:])
    for name, indices in reversed(groups):
        values = prefix[:, list(indices)].mean(axis=1)
        colour = hex_color(BELOW) if name == "CLS" else next(others)
        lines.append((name if len(indices) == 1 else f"{name}, mean", values, colour))
    figure = go.Figure()
    blocks = np.arange(len(patches))
    for name, values, colour in lines:
        line, marker = {"color": colour}, {"size": 5}
        figure.add_scatter(
            x=blocks, y=values, name=name, mode="lines+markers", line=line, marker=marker
        )
    figure.add_vline(x=layer, line={"color": "rgba(128,128,128,0.6)", "dash": "dot"})
    figure.update_layout(
        xaxis={"title": "block"},
        yaxis={"title": "norm after it", "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        height=260,
    )
    return figure


def standalone_html(figure: Any) -> bytes:
    """Write the figure as one HTML file that needs no network."""
    import plotly.graph_objects as go

    alone = go.Figure(figure)  # the page's own margins are too narrow without its theme
    alone.update_layout(margin={"l": 70, "r": 30, "t": 60, "b": 60}, height=None)
    alone.update_xaxes(automargin=True)
    alone.update_yaxes(automargin=True)
    return alone.to_html(default_height="95vh", include_plotlyjs=True, full_html=True).encode()
