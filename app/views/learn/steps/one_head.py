"""Step 2: query times key, divided by √d, through a softmax: one head, in real numbers."""

import streamlit as st

from app.cache import canvas as cached_canvas
from app.cache import learn, pictures
from app.components.canvas.component import Picked, canvas
from app.state import asked as state_asked
from app.state import url
from app.ui.networks import instead_of_attention
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
from dino.model.backbone import Backbone
from dino.model.queries import MEAN, Query, query_name, query_words

_KEYS_SHOWN = 4
_ASKED = "learn_asked"


def show(lesson: Lesson) -> None:
    """Show the formula, a table of a few keys, and the map that all of them make."""
    choice, backbone = lesson.choice, lesson.backbone
    if not backbone.has_attention:
        instead_of_attention(backbone, _WITHOUT_HEADS)
        return
    query = _token(lesson)
    row = learn.last_row(choice, backbone, query=query, head=0)
    width = row.width
    explain(
        f"The network is a pile of **blocks**, and each compares all tokens with each other in several **heads**, "
        f"side by side. In a head every token makes three vectors of d = {width} numbers: a **query** q (what it looks "
        "for), a **key** k (what it offers) and a **value** v (what it hands over). How well they fit is the "
        "product q·k; a softmax turns the products of one query into shares that sum to 1. The map shows the "
        f"shares of {query_words(query)} in the last block, the numbers behind it come with the answer; click a "
        f"patch to ask for another. {_what_asks(backbone)}"
    )
    plus = r" + b_{}" if row.bias.any() else r""
    st.latex(
        rf"\mathrm{{share}}_j = \frac{{e^{{\,q\cdot k_j/\sqrt d{plus.format('j')}}}}}"
        rf"{{\sum_i e^{{\,q\cdot k_i/\sqrt d{plus.format('i')}}}}}"
    )
    if row.bias.any():
        st.caption("b is what this network adds for how far, and where, a key lies from the query.")
    left, right = st.columns(2, gap="medium")
    with right:
        heads = range(backbone.num_heads)
        head = control("one_head", heads, 0, st.pills, "Head", heads, required=True)
        row = learn.last_row(choice, backbone, query=query, head=head)
        if predict(lesson, _question(row)):
            _table(row)
    with left:
        _map(lesson, query, row, head)


def _token(lesson: Lesson) -> Query:
    """Read which token asks; where the mean of all patches would, which is no token, the middle patch does."""
    choice, backbone = lesson.choice, lesson.backbone
    grid = pictures.geometry(choice, backbone).grid
    asked = state_asked.read_asked(backbone, grid)
    url.link("query", query_name(asked.query), backbone.default_query)
    query = (grid[0] // 2, grid[1] // 2) if asked.query == MEAN else asked.query
    st.session_state[_ASKED] = query_name(query)
    return query


def _what_asks(backbone: Backbone) -> str:
    """Say what a token without a patch is, or which patch asks where there is none."""
    turned = ""
    if backbone.places((1, 1)).rotations(backbone.depth - 1) is not None:
        turned = "Before that, these weights turn q and k by where their patch lies. "
    if backbone.num_class:
        return f"{turned}(CLS is a token without a patch: step 4.)"
    return f"{turned}(These weights have no CLS token, so the patch in the middle asks first.)"


_WITHOUT_HEADS = "So it has no queries and keys to show; step 1 and steps 5 to 9 work with it"


def _question(row: AttentionRow) -> Question:
    root = row.width**0.5
    return Question(
        f"One key's q·k is larger than another's by √d = {root:.3g}. Its share is …",
        (f"{root:.3g} times as large", "e ≈ 2.72 times as large", "just as large"),
        1,
        "After the division the two differ by 1, and the softmax makes a factor of e from each 1.",
    )


def _table(row: AttentionRow) -> None:
    """Show few keys of many: the tokens before the patches, the best, the query itself, the worst."""
    indices = [*range(row.num_prefix), *strongest(row, _KEYS_SHOWN), row.position, weakest(row)]
    kept = list(dict.fromkeys(indices))
    scaled = f"q·k/√{row.width}"
    columns = {
        "q·k": (row.dots, "%.2f"),
        scaled: (row.logits - row.bias, "%.3f"),
        **({f"{scaled} + b": (row.logits, "%.3f")} if row.bias.any() else {}),
        "share, %": (100 * row.shares, "%.4f"),
    }
    names = [token_name(row, i) + (" (itself)" if i == row.position else "") for i in kept]
    st.dataframe(
        {"Key": names, **{name: values[kept] for name, (values, _) in columns.items()}},
        hide_index=True,
        key="learn_row",
        column_config={
            name: st.column_config.NumberColumn(format=digits)
            for name, (_, digits) in columns.items()
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
    first = "CLS" if backbone.num_class else "the patch in the middle"
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
        hint=f"Click a patch to make it the query; Esc goes back to {first}.",
        help_text=f"Arrow keys move over the patches, Enter chooses one, Escape goes back to {first}.",
        chosen=Picked(0, *query) if isinstance(query, tuple) else None,
        on_pick=lambda picked: state_asked.set_asked(
            query=f"{picked.row}:{picked.column}" if picked else backbone.default_query
        ),
    )


STEP = Step(
    "Query, key, softmax: one head",
    show,
    controls={"one_head": 0, "query": lambda backbone: backbone.default_query},
    handed={"head": "one_head", "query": _ASKED},
)
