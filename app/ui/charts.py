"""Plotly charts as reports show them: without Plotly's own frame, two in a row."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go
import streamlit as st

from app.text import plain_text


class TitledChart(NamedTuple):
    """A figure and its title; `alt` for those who do not see it, `help` on hover over the title.

    The `key` keeps a chart's zoom when others come and go.
    """

    key: str
    title: str
    figure: go.Figure
    alt: str
    help: str | None = None


def empty_figure(height: int, **layout: Any) -> go.Figure:
    """Make a figure of a height in px to draw in."""
    margin = {"l": 8, "r": 8, "t": 8, "b": 8}
    return go.Figure(layout={"height": height, "margin": margin, **layout})


def show_in_pairs(charts: Sequence[TitledChart]) -> None:
    """Show charts, two in a row where there is room."""
    places = [place for _ in charts[::2] for place in st.columns(2, gap="medium")]
    for chart, place in zip(charts, places, strict=False):
        with place:
            st.markdown(f"**{plain_text(chart.title)}**", help=chart.help)
            st.plotly_chart(
                chart.figure, key=chart.key, config={"displayModeBar": False}, alt=chart.alt
            )
