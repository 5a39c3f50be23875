"""Say what a network is by: which tokens it has, whose attention is drawn, and what works without attention."""

import streamlit as st

from app.text import plain_text
from dino.model.backbone import Backbone
from dino.model.queries import MEAN

_WITHOUT_ATTENTION = (
    "**Features**, **Correspondence**, **Compare**, **Gallery** and masks by pointing work with it"
)


def what_it_is(backbone: Backbone) -> str:
    """Say that a network has no attention, and which kind it is; for Markdown."""
    kind = plain_text(kind_words(backbone))
    return f"{plain_text(backbone.name)} is {kind}, which has no self-attention of every patch over all patches"


def kind_words(backbone: Backbone) -> str:
    """Name the kind of a network with its article."""
    kind = type(backbone.module).__name__
    return f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}"


def instead_of_attention(backbone: Backbone, works: str = _WITHOUT_ATTENTION) -> None:
    """Say what a network without attention is, and what works with it; of a page's own part: `works`."""
    st.info(
        f"{what_it_is(backbone)}. {works}; for attention choose a ViT in the sidebar.",
        icon=":material/visibility_off:",
    )


def say_whose_attention(backbone: Backbone) -> None:
    """Say so where the attention that is drawn first is not that of a CLS token."""
    if backbone.has_attention and backbone.default_query == MEAN:
        st.caption(
            f"{plain_text(backbone.name)} has no CLS token: the attention is the mean of all patches' rows, "
            "unless a patch is asked for."
        )


def summary_words(backbone: Backbone) -> str:
    """Name what describes a whole photo."""
    if backbone.num_class:
        return "the CLS token"
    return "the mean of all patches" if backbone.has_attention else "the pooled features"


def prefix_groups(backbone: Backbone) -> list[tuple[str, list[int]]]:
    """Group the tokens before the patches by kind: a name of each, and where they stand."""
    found: dict[str, list[int]] = {}
    for index, name in enumerate(backbone.prefix_names):
        kind = name.partition(":")[0]
        found.setdefault(kind, []).append(index)
    words = {"cls": "CLS", "dist": "distillation token"}
    return [(words.get(kind, kind) + "s" * (len(at) > 1), at) for kind, at in found.items()]
