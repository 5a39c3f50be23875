"""Read which rows of attention are asked for: by the link, by clicks and by widgets."""

from dataclasses import dataclass

import streamlit as st

from app.state.url import seeded
from app.text import plain_text, sentence
from dino.attention.photo import PROBABILITIES, VALUES
from dino.errors import UserError
from dino.model.backbone import Backbone
from dino.model.queries import Query, parse_query, query_name


@dataclass(frozen=True)
class Asked:
    """A block from 0, a query, and what is drawn of its row: one of `VALUES`."""

    layer: int
    query: Query
    method: str

    def is_default(self, backbone: Backbone) -> bool:
        """Whether this is the last block's CLS row, which needs no tokens of other blocks."""
        return self == Asked(backbone.depth - 1, "cls", PROBABILITIES)

    @property
    def token(self) -> str:
        """Put the query in words."""
        if isinstance(self.query, tuple):
            return f"patch {query_name(self.query)}"
        return "the CLS token" if self.query == "cls" else self.query.replace(":", " ")


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


def default_query(backbone: Backbone) -> str:
    """Name the query to begin with: CLS, or the first patch where a network has none."""
    return "cls" if backbone.num_prefix > backbone.num_registers else "0:0"


def _query(backbone: Backbone, grid: tuple[int, int]) -> Query:
    """Read the query asked for, checked against the network and the grid."""
    text = seeded("query", default_query(backbone))
    try:
        query = parse_query(text)
        backbone.query_position(query, grid)
    except UserError as error:
        default = st.session_state["query"] = default_query(backbone)
        problem = plain_text(sentence(str(error)))
        st.warning(f"{problem} Shown instead: {default}.", icon=":material/grid_on:")
        return parse_query(default)
    if query_name(query) != text:  # typed with blanks or capitals
        st.session_state["query"] = query_name(query)
    return query
