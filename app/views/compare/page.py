"""Compare several weights on one photo under one cursor, as the paper's Figure 4 puts them."""

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
import torch

from app import access
from app.cache import backbones, pictures
from app.cache import canvas as cached_canvas
from app.components.canvas.component import Panel, canvas
from app.state import look, url, weights_menu
from app.state.selection import Choice
from app.text import plain_text
from app.ui import layout, reference, weights_field
from app.ui.networks import kind_words
from app.ui.widgets import choose_one
from dino.attention import files
from dino.attention.mass import entropy, mass_mask
from dino.attention.photo import PatchFeatures, PhotoAttention
from dino.features.files import pca_picture
from dino.masks.reference import score_heads
from dino.media import draw
from dino.model import limits
from dino.model.backbone import Backbone

MOST = 4
ATTENTION, COLOURS, PHOTO = "attention", "patch colours", "photo"
# As the paper's Figure 4: learned without labels, its twin that learned from labels, and no learning.
_FIRST = ("dino_vitti16_imagenette", "supervised_vitti16_imagenette", backbones.RANDOM_WEIGHTS)


@dataclass(frozen=True)
class Side:
    """Weights that look at the photo, and what they saw; no attention for networks without it."""

    choice: Choice
    backbone: Backbone
    attention: PhotoAttention | None
    features: PatchFeatures
    seconds: float
    best_head: int | None = None
    best_j: float | None = None


def show(choice: Choice, backbone: Backbone) -> None:
    """Draw the page: which weights, one canvas, a table."""
    layout.header("Compare", choice, backbone)
    choices = [replace(choice, weights=name) for name in _names(choice)]
    others = [(one, backbones.open_weights(one.weights, st.session_state)) for one in choices]
    sides = [_side(*looking) for looking in [(choice, backbone), *others]]
    _explore(sides)
    layout.footer(choice, backbone, sum(side.seconds for side in sides))


def _names(choice: Choice) -> list[str]:
    options = [n for n in weights_menu.weights_options(st.session_state) if n != choice.weights]
    typed = access.may_work()
    if not typed:
        url.forget_unknown("with", options)
    names = st.multiselect(
        "Beside it",
        list(dict.fromkeys([*options, *(st.session_state.get("with", ()) if typed else ())])),
        default=[name for name in _FIRST if name in options],
        key="with",
        bind="query-params",
        max_selections=MOST - 1,
        accept_new_options=typed,
        help=weights_field.HELP
        if typed
        else "Weights from the sidebar's menu: bundled, downloaded, of a run, random, or opened.",
    )
    known = []
    for number, name in enumerate(name for name in names if name != choice.weights):
        found = weights_field.look_up(name)
        weights_field.show(found, f"compare_{number}")
        known += [found.name] if found.name else []
    return known


def _side(choice: Choice, backbone: Backbone) -> Side:
    features, seconds = pictures.features(choice, backbone)
    attention = pictures.attention(choice, backbone)[0] if backbone.has_attention else None
    return Side(choice, backbone, attention, features, seconds)


@st.fragment
def _explore(sides: list[Side]) -> None:
    """Draw what the controls change; every network has seen the photo already."""
    place = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = choose_one(
            "Show",
            [ATTENTION, COLOURS, PHOTO],
            key="look",
            help="Attention: the mean of all heads, or with a reference mask the head that covers it "
            "best. Patch colours: the first three components of each network's own features.",
        )
        mass = st.slider(
            "Mass of a head's mask", 10, 100, 60, format="%d%%", key="held", bind="query-params",
            help="Share of a head's attention its mask holds, for J.",
        )  # fmt: skip
    with st.expander("Score them against a mask", icon=":material/target:"):
        truth = reference.choose(sides[0].choice.photo)
    if truth is not None:
        sides = [_scored(side, truth, mass / 100) for side in sides]
    with place:
        canvas(
            "compare",
            [_panel(side, shown) for side in sides],
            hint="Point at a place: each network shows which patches it takes for alike to the one there.",
            help_text="Arrow keys move over the patches, plus and minus zoom, Escape ends.",
            link="position",
        )
    _table(sides, mass)


def _scored(side: Side, truth: np.ndarray, mass: float) -> Side:
    if side.attention is None:
        return side
    masks = mass_mask(torch.from_numpy(side.attention.heads), mass).numpy()
    heads = score_heads(masks, truth, side.attention.geometry).heads
    best = int(np.argmax(heads))
    return replace(side, best_head=best, best_j=heads[best])


def _panel(side: Side, shown: str) -> Panel:
    name = side.backbone.name
    drawn, words = _drawn(side, shown)
    score = "" if side.best_j is None else f" · J {side.best_j:.3f}"
    return cached_canvas.panel(
        side.choice,
        side.backbone,
        map_picture=None if drawn is None else layout.marked(drawn, side.backbone),
        caption=f"{name}: {words}{score}",
        alt=f"{words} of {name} over: {side.choice.photo.alt}",
    )


def _drawn(side: Side, shown: str) -> tuple[np.ndarray | None, str]:
    """Draw the picture over the photo; return it, and what it is in words."""
    if shown == COLOURS:
        return pca_picture(side.features, width=layout.SHOWN_PX), "patch colours"
    if side.attention is None and shown != PHOTO:
        return None, f"{kind_words(side.backbone)}, no attention to show"
    if side.attention is None or shown == PHOTO:
        return None, "photo"
    weights, best = side.attention.heads, side.best_head
    style = look.style_of(look.default())
    shown_map = weights.mean(axis=0)[None] if best is None else weights[best][None]
    scaled, _ = draw.normalize(shown_map, scale=style.scale)
    photo = pictures.shown(side.choice.photo, layout.SHOWN_PX)
    geometry = side.attention.geometry
    picture = files.head_picture(scaled[0], geometry, photo, style, width=layout.SHOWN_PX)
    of = "" if side.backbone.num_class else ", of the mean of all patches"
    return picture, ("mean of heads" if best is None else f"head {best}") + of


def _table(sides: list[Side], mass: int) -> None:
    rows = []
    for side in sides:
        grid = side.features.geometry.grid
        spread = None
        if side.attention is not None:
            spread = float(entropy(torch.from_numpy(side.attention.heads)).mean())
        scored = {} if sides[0].best_j is None else {f"J of the best head at {mass}%": side.best_j}
        rows.append(
            {
                "Weights": side.backbone.name,
                **scored,
                "Entropy of a head, bits": spread,
                "Patches": grid[0] * grid[1],
                "Forward, s": side.seconds,
                "Memory, about MB": limits.forward_bytes(side.backbone, grid) / 1e6,
            }
        )
    st.dataframe(rows, hide_index=True, key="compared", column_config=_COLUMNS)
    if sides[0].best_j is not None:
        st.caption("The best head is an oracle: it is taken by looking at the mask.")
    for side in sides:
        described = layout.in_the_app(side.backbone.description)
        st.caption(f"**{plain_text(side.backbone.name)}**: {plain_text(described)}")


_COLUMNS = {
    "Entropy of a head, bits": st.column_config.NumberColumn(format="%.1f"),
    "Forward, s": st.column_config.NumberColumn(format="%.2f"),
    "Memory, about MB": st.column_config.NumberColumn(format="%.0f"),
}
