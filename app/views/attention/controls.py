"""The Attention page's controls: which rows are asked for, how maps are drawn, which network looks.

`query`, `layer`, `head` are set by clicks on pictures as well as by their widgets, so their URL
parameters are kept here: Streamlit's own binding leaves the URL behind when the session sets a value.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from app.cache import attention
from app.state.selection import Choice
from app.text import plain_text, sentence
from app.views.attention.scene import METHODS, PROBABILITIES, ROLLOUT, Asked
from dino.attention import files
from dino.errors import UserError
from dino.media import draw
from dino.model.backbone import Backbone
from dino.model.queries import Query, parse_query, prefix_queries, query_name

TEACHER, STUDENT = "teacher", "student"


def network(choice: Choice, backbone: Backbone) -> tuple[Choice, Backbone, list[str]]:
    """The chosen network of a checkpoint that holds two, a choice that names its file, and the flags
    of a command for it; nothing is drawn for weights that hold one."""
    path = attention.checkpoint_of(choice.weights, st.session_state)
    if path is None:
        return choice, backbone, []
    key = st.segmented_control(
        "Network",
        [TEACHER, STUDENT],
        default=TEACHER,
        required=True,
        key="network",
        bind="query-params",
        help="Of the newest checkpoint. The teacher is the moving average of the student, and what "
        "a run hands on as weights.",
    )
    opened = attention.open_network(choice.weights, key, st.session_state)
    return replace(choice, weights=path), opened, ["--key", key] if key != TEACHER else []


def asked(backbone: Backbone, grid: tuple[int, int]) -> Asked:
    """What the URL and the session ask for, before the widgets that change it are drawn."""
    last = backbone.depth - 1
    layer = seeded("layer", str(last))
    if not (layer.isdecimal() and int(layer) <= last):
        layer = st.session_state["layer"] = str(last)
    method = seeded("method", PROBABILITIES)
    if method not in METHODS:
        method = st.session_state["method"] = PROBABILITIES
    return Asked(int(layer), _query(backbone, grid), method)


def head(labels: Sequence[str], *, visible: bool) -> str:
    """The chosen head, "mean" or "max"; a rollout has nothing to choose."""
    if seeded("head", "mean") not in labels:
        st.session_state["head"] = "mean"
    if not visible:
        return st.session_state["head"]
    chosen = st.pills("Head", labels, key="head", required=True, persist_state="session")
    link("head", chosen, "mean")
    return chosen


def rows(backbone: Backbone, now: Asked) -> None:
    """An expander with query, layer and method, closed: its label tells what is shown."""
    last = backbone.depth - 1
    upto = "up to layer" if now.method == ROLLOUT else "layer"
    with st.expander(
        f"Query: {now.token} · {upto} {now.layer} of 0 to {last} · {now.method}", key="rows"
    ):
        st.text_input(
            "Query",
            key="query",
            persist_state="session",
            help="Whose attention is drawn. Click the picture, or type: "
            f"{_named(backbone)}row:column of a patch, such as 12:7, counted from 0 at the top left.",
        )
        link("query", query_name(now.query), default_query(backbone))
        if last:
            layer = st.select_slider(
                "Layer",
                [str(index) for index in range(backbone.depth)],
                key="layer",
                persist_state="session",
                help="The block whose attention is drawn, from 0. With rollout: up to and with it.",
            )
            link("layer", layer, str(last))
        method = st.segmented_control(
            "Values",
            METHODS,
            key="method",
            required=True,
            persist_state="session",
            help="probabilities: after the softmax, as in the paper. logits: q·k/√d before it, which "
            "shows what is turned down, too. rollout: attention multiplied through the blocks from "
            "the input on, mean of heads, half of each block being the residual (Abnar & Zuidema 2020).",
        )
        link("method", method, PROBABILITIES)


def style() -> tuple[files.Style, str]:
    """How maps are drawn, and how the photo stands beside the large one: "", "side" or "wipe"."""
    opacity = st.slider(
        "Map over photo",
        0.0,
        1.0,
        0.8,
        0.05,
        key="opacity",
        bind="query-params",
        help="0 shows the photo, 1 the map alone.",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        scale = st.segmented_control(
            "Scale",
            ["each its own", "shared"],
            default="each its own",
            required=True,
            key="scale",
            bind="query-params",
            help="Shared: one scale for all pictures, so that brightness compares between heads.",
        )
        colormap = st.selectbox(
            "Colours", list(draw.COLORMAPS), key="colours", bind="query-params", width=140
        )
        smooth = st.toggle(
            "Smooth", key="smooth", bind="query-params", help="Blend between patches."
        )
        side = st.toggle(
            "Side by side", key="side", bind="query-params", help="The photo beside the map."
        )
        wipe = st.toggle(
            "Compare", key="compare", bind="query-params", help="A slider from photo to map."
        )
    drawn = files.Style(
        colormap=colormap,
        opacity=opacity,
        interpolation="bilinear" if smooth else "nearest",
        shared_scale=scale == "shared",
    )
    return drawn, "wipe" if wipe else "side" if side else ""


def choose(**values: str) -> None:
    """Set `query`, `layer` or `head` from a click; only before the widgets are drawn."""
    for key, value in values.items():
        st.session_state[key] = value


def default_query(backbone: Backbone) -> str:
    """CLS, or the first patch where a network has none."""
    return "cls" if backbone.num_prefix > backbone.num_registers else "0:0"


def _named(backbone: Backbone) -> str:
    """The queries that are no patches, in words."""
    num_class = backbone.num_prefix - backbone.num_registers
    names = prefix_queries(num_class=num_class, num_registers=backbone.num_registers)
    return "".join(f"{plain_text(name)}, " for name in names)


def _query(backbone: Backbone, grid: tuple[int, int]) -> Query:
    """The query asked for, checked against the network and the grid."""
    text = seeded("query", default_query(backbone))
    try:
        query = parse_query(text)
        backbone.query_position(query, grid)
    except UserError as error:
        first = default_query(backbone)
        st.session_state["query"] = first
        st.warning(
            f"{plain_text(sentence(str(error)))} Shown instead: {first}.", icon=":material/grid_on:"
        )
        return parse_query(first)
    if query_name(query) != text:  # typed with blanks or capitals
        st.session_state["query"] = query_name(query)
    return query


def seeded(key: str, default: str) -> str:
    """The session's value, or the one of the URL on the first run, or the default."""
    value: Any = st.session_state.get(key)
    if value is None:
        value = st.session_state[key] = st.query_params.get(key, default)
    return str(value)


def link(key: str, value: str, default: str) -> None:
    """Keep the URL's parameter in step with a value that widgets and clicks both set."""
    if value == default:
        if key in st.query_params:
            del st.query_params[key]
    elif st.query_params.get(key) != value:
        st.query_params[key] = value
