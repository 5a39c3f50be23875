"""Read which rows of attention are asked for: by the link, by clicks and by widgets."""

from dataclasses import dataclass

import streamlit as st

from app.state.url import seeded
from app.text import plain_text, sentence
from dino.attention.photo import PROBABILITIES, VALUES
from dino.errors import UserError
from dino.model.backbone import Backbone
from dino.model.queries import MEAN, Query, parse_query, query_name, query_words


@dataclass(frozen=True)
class Asked:
    """A block from 0, a query, and what is drawn of its row: one of `VALUES`."""

    layer: int
    query: Query
    method: str

    def is_default(self, backbone: Backbone) -> bool:
        """Whether this is what the last block's default query sees, which needs no tokens of other
        blocks."""
        return self == first_view(backbone)

    @property
    def token(self) -> str:
        """Put the query in words."""
        return query_words(self.query)


def first_view(backbone: Backbone) -> Asked:
    """Say what is drawn where nothing is asked for: the last block's default query."""
    return Asked(backbone.depth - 1, backbone.default_query, PROBABILITIES)


def read_asked(backbone: Backbone, grid: tuple[int, int]) -> Asked:
    """Read what the URL and the session ask for, before the widgets that change it are drawn."""
    last = backbone.depth - 1
    layer = seeded("layer", str(last))
    if not (layer.isdecimal() and int(layer) <= last):
        layer = st.session_state["layer"] = str(last)
    method = seeded("method", PROBABILITIES)
    if method not in VALUES:
        method = st.session_state["method"] = PROBABILITIES
    return Asked(int(layer), _query(backbone, grid), method)


def set_asked(**values: str) -> None:
    """Set `query`, `layer` or `head` from a click; only before the widgets are drawn."""
    st.session_state.update(values)


def _query(backbone: Backbone, grid: tuple[int, int]) -> Query:
    """Read the query asked for, checked against the network and the grid."""
    text = seeded("query", backbone.default_query)
    if (
        text == "cls" and not backbone.num_class
    ):  # of the network before; the page says whose rows these are
        text = st.session_state["query"] = backbone.default_query
    try:
        query = parse_query(text)
        if query != MEAN:  # which is no token
            backbone.query_position(query, grid)
    except UserError as error:
        default = st.session_state["query"] = backbone.default_query
        problem = plain_text(sentence(str(error)))
        st.warning(f"{problem} Shown instead: {query_words(default)}.", icon=":material/grid_on:")
        return default
    if query_name(query) != text:  # typed with blanks or capitals
        st.session_state["query"] = query_name(query)
    return query
