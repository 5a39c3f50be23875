"""Step 2: query times key, divided by √d, through a softmax: one head, in real numbers."""

import streamlit as st

from app.cache import canvas as cached_canvas
from app.cache import learn, pictures
from app.components.canvas.component import Picked, canvas
from app.state import asked as state_asked
from app.state import url
from app.views.learn.frame import (
    Lesson,
    Question,
    Step,
    control,
    explain,
    map_over_photo,
    predict,
)
from dino.attention.arithmetic import AttentionRow, strongest, token_name, weakest
from dino.model.queries import Query, query_name

_KEYS_SHOWN = 4


def show(lesson: Lesson) -> None:
    """Show the formula, a table of a few keys, and the map that all of them make."""
    choice, backbone = lesson.choice, lesson.backbone
    backbone.check_attention()
    asked = state_asked.read_asked(backbone, pictures.geometry(choice, backbone).grid)
    url.link("query", query_name(asked.query), state_asked.default_query(backbone))
    width = learn.last_row(choice, backbone, query=asked.query, head=0).width
    explain(
        f"The network is a pile of **blocks**, and each compares all tokens with each other in several **heads**, "
        f"side by side. In a head every token makes three vectors of d = {width} numbers: a **query** q (what it looks "
        "for), a **key** k (what it offers) and a **value** v (what it hands over). How well they fit is the "
        "product q·k; a softmax turns the products of one query into shares that sum to 1. The map shows the "
        f"shares of {asked.token} in the last block, the numbers behind it come with the answer; click a patch "
        "to ask for another. (CLS is a token without a patch: step 4.)"
    )
    st.latex(r"\mathrm{share}_j = \frac{e^{\,q\cdot k_j/\sqrt d}}{\sum_i e^{\,q\cdot k_i/\sqrt d}}")
    left, right = st.columns(2, gap="medium")
    with right:
        heads = range(backbone.num_heads)
        head = control("one_head", heads, 0, st.pills, "Head", heads, required=True)
        row = learn.last_row(choice, backbone, query=asked.query, head=head)
        if predict(lesson, _question(row)):
            _table(row)
    with left:
        _map(lesson, asked.query, row, head)


def _question(row: AttentionRow) -> Question:
    root = row.width**0.5
    return Question(
        f"One key's q·k is larger than another's by √d = {root:.3g}. Its share is …",
        (f"{root:.3g} times as large", "e ≈ 2.72 times as large", "just as large"),
        1,
        "After the division the two differ by 1, and the softmax makes a factor of e from each 1.",
    )


def _table(row: AttentionRow) -> None:
    """Show few keys of many: CLS and registers, the best patches, the query itself, the worst."""
    indices = [*range(row.num_prefix), *strongest(row, _KEYS_SHOWN), row.position, weakest(row)]
    kept = list(dict.fromkeys(indices))
    st.dataframe(
        {
            "Key": [token_name(row, i) + (" (itself)" if i == row.position else "") for i in kept],
            "q·k": [row.dots[i] for i in kept],
            f"q·k/√{row.width}": [row.logits[i] for i in kept],
            "share, %": [100 * row.shares[i] for i in kept],
        },
        hide_index=True,
        key="learn_row",
        column_config={
            "q·k": st.column_config.NumberColumn(format="%.2f"),
            f"q·k/√{row.width}": st.column_config.NumberColumn(format="%.3f"),
            "share, %": st.column_config.NumberColumn(format="%.4f"),
        },
    )
    st.caption(
        f"{len(kept)} of {len(row.shares):,} keys, which get {100 * row.shares[kept].sum():.1f}% of the "
        f"attention; spread evenly, each would get {100 / len(row.shares):.3f}%."
    )


def _map(lesson: Lesson, query: Query, row: AttentionRow, head: int) -> None:
    """Show all shares over the photo; a click asks for another query."""
    choice, backbone = lesson.choice, lesson.backbone
    shares = row.shares[row.num_prefix :].reshape(row.grid)
    canvas(
        "learn_row_map",
        [
            cached_canvas.panel(
                choice,
                backbone,
                map_picture=map_over_photo(choice, backbone, shares),
                alt=f"Shares of head {head} of the last block, query {query_name(query)}",
            )
        ],
        hint="Click a patch to make it the query; Esc goes back to CLS.",
        help_text="Arrow keys move over the patches, Enter chooses one, Escape goes back to CLS.",
        chosen=Picked(0, *query) if isinstance(query, tuple) else None,
        on_pick=lambda picked: state_asked.set_asked(
            query=f"{picked.row}:{picked.column}" if picked else state_asked.default_query(backbone)
        ),
    )


STEP = Step(
    "Query, key, softmax: one head",
    show,
    controls={"one_head": 0, "query": state_asked.default_query},
    handed={"head": "one_head", "query": "query"},
)
