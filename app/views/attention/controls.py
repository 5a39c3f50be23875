"""Draw the Attention page's controls: which rows are asked for, and which network looks.

`query` and `layer` are set by clicks on pictures as well as by their widgets, so their URL parameters are
kept here: Streamlit's own binding leaves the URL behind when the session sets a value.
"""

from dataclasses import replace

import streamlit as st

from app.cache import backbones
from app.state import weights_menu
from app.state.asked import Asked, set_asked
from app.state.selection import Choice
from app.state.url import link
from app.text import plain_text
from app.ui import command
from app.ui.widgets import choose_one
from dino.attention.photo import PROBABILITIES, ROLLOUT, VALUES
from dino.model.backbone import Backbone
from dino.model.queries import MEAN, query_name, query_words

TEACHER, STUDENT = "teacher", "student"
_ASKED_OF = "query_asked_of"


def network(choice: Choice, backbone: Backbone) -> tuple[Choice, Backbone, list[str]]:
    """Let student or teacher of a checkpoint be chosen; nothing is drawn for weights that hold one.

    Returns:
        A choice that names the checkpoint's file, the chosen network, and the flags of a command for it.
    """
    path = backbones.checkpoint_of(choice.weights, st.session_state)
    if path is None:
        return choice, backbone, []
    key = choose_one(
        "Network",
        [TEACHER, STUDENT],
        key="network",
        help="Of the newest checkpoint. The teacher is the moving average of the student, and what "
        "a run hands on as weights.",
    )
    opened = backbones.open_network(choice.weights, key, st.session_state)
    said = weights_menu.reading_of(choice.weights, st.session_state).said
    flags = ["--key", key] if key != TEACHER else []
    if path != choice.weights:  # else the command says so by itself
        flags += command.flags(**said)
    return replace(choice, weights=path), opened, flags


def rows(backbone: Backbone, now: Asked) -> None:
    """Draw an expander with query, block and method, closed: its label says what is shown."""
    last = backbone.depth - 1
    block = "up to block" if now.method == ROLLOUT else "block"
    with st.expander(
        f"Query: {now.token} · {block} {now.layer} of 0 to {last} · {now.method}", key="rows"
    ):
        _named_queries(backbone, query_name(now.query))
        st.text_input(
            "Query",
            key="query",
            persist_state="session",
            help="Whose attention is drawn. Click the picture, or type: "
            f"{_named(backbone)}row:column of a patch, such as 12:7, counted from 0 at the top left.",
        )
        link("query", query_name(now.query), backbone.default_query)
        if last:
            layer = st.select_slider(
                "Block",
                [str(index) for index in range(backbone.depth)],
                key="layer",
                persist_state="session",
                help="The block whose attention is drawn, from 0. With rollout: up to and with it.",
            )
            link("layer", layer, str(last))
        method = st.segmented_control(
            "Values",
            VALUES,
            key="method",
            required=True,
            persist_state="session",
            help="probabilities: after the softmax, as in the paper. logits: q·k/√d before it, which "
            "shows what is turned down, too. rollout: attention multiplied through the blocks from "
            "the input on, mean of heads, half of each block being the residual (Abnar & Zuidema 2020).",
        )
        link("method", method or PROBABILITIES, PROBABILITIES)


def _named_queries(backbone: Backbone, now: str) -> None:
    """Offer the queries that are no patches: tokens before them, and the mean of all patches."""
    names = [*backbone.prefix_names, MEAN]
    # A patch is none of them, and is asked for by a click.
    st.session_state[_ASKED_OF] = now if now in names else None

    def ask() -> None:
        set_asked(query=st.session_state[_ASKED_OF] or now)

    st.pills(
        "Asked of",
        names,
        format_func=lambda name: query_words(name).removeprefix("the "),
        key=_ASKED_OF,
        on_change=ask,
        label_visibility="collapsed",
    )


def _named(backbone: Backbone) -> str:
    """Name the queries that are no patches."""
    return "".join(f"{plain_text(name)}, " for name in (*backbone.prefix_names, MEAN))
