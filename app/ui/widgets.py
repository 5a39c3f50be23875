"""Draw the controls that several pages have, each bound to the link."""

from collections.abc import Sequence
from typing import TypeVar

import streamlit as st

from dino.model.backbone import Backbone

T = TypeVar("T")


def choose_one(
    label: str,
    options: Sequence[T],
    *,
    key: str,
    help: str | None = None,
    show_label: bool = True,
    wrap: bool | None = None,
) -> T:
    """Draw buttons of which one is chosen, the first to begin with.

    Args:
        show_label: whether the label is seen, rather than read aloud only.
        wrap: whether they may stand in several rows.
    """
    return st.segmented_control(
        label,
        options,
        default=options[0],
        required=True,
        key=key,
        bind="query-params",
        help=help,
        label_visibility="visible" if show_label else "collapsed",
        wrap=wrap,
    )


def foreground_share(backbone: Backbone, *, value: bool, help: str) -> float | None:
    """Let patches be left out but for those that hold a share of the attention; None keeps all.

    Args:
        value: whether that is so to begin with.
    """
    front = st.toggle(
        "Foreground only",
        value=value,
        key="front",
        bind="query-params",
        disabled=not backbone.has_attention,
        help=help,
    )
    percent = st.slider(
        "Attention held",
        30,
        95,
        60,
        format="%d%%",
        key="share",
        bind="query-params",
        disabled=not front,
    )
    return percent / 100 if front and backbone.has_attention else None
