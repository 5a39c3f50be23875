"""Show what each head looks at, as the paper's Figure 1 draws it, for any block and query."""

from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st
import torch
from streamlit.navigation.page import Page

from app.cache import attention
from app.cache import canvas as cached_canvas
from app.components.canvas.component import Picked, canvas
from app.state.asked import read_asked, set_asked
from app.state.problems import show_error
from app.state.selection import Choice
from app.state.url import linked
from app.ui import layout
from app.ui.layout import SHOWN_PX, TILE_PX, Tile
from app.ui.networks import instead_of_attention, prefix_groups, say_whose_attention
from app.views.attention import ablation, all_blocks, controls, downloads, norms, preview, ranking
from app.views.attention.scene import Scene
from dino.attention import files
from dino.attention.mass import entropy
from dino.attention.photo import LOGITS, PROBABILITIES, ROLLOUT
from dino.errors import UserError
from dino.model.backbone import Backbone
from dino.model.queries import Query, query_name, query_words

# Panels as links have them, and as they are shown.
HEADS, BLOCKS, RANKING, ABLATION, NORMS = "heads", "layers", "ranking", "head off", "norms"
PANELS = {HEADS: HEADS, BLOCKS: "blocks", RANKING: RANKING, ABLATION: ABLATION, NORMS: NORMS}


def show(choice: Choice, backbone: Backbone, *, lessons: Page | None = None) -> None:
    """Show one large map, the gallery of heads, numbers and downloads.

    Args:
        lessons: where a newcomer is sent.
    """
    head = st.container()
    choice, backbone, flags = controls.network(choice, backbone)
    with head:
        grid = layout.header("Attention", choice, backbone).grid
        _welcome(lessons)
        if not backbone.has_attention:
            instead_of_attention(backbone)
            return
        say_whose_attention(backbone)
    asked = read_asked(backbone, grid)
    with preview.until_ready(choice, backbone, grid):
        seconds = attention.asked_rows(choice, backbone, asked)[1]
    _explore(choice, backbone, grid, flags)
    layout.footer(choice, backbone, seconds)


def _welcome(lessons: Page | None) -> None:
    """Say what is to be seen, in one line, for those who come here first."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Bright is where the network looks**; each of its *heads* looks on its own.")
        if lessons:
            st.page_link(lessons, label="New here? Ten short steps", icon=":material/school:")


@st.fragment
def _explore(choice: Choice, backbone: Backbone, grid: tuple[int, int], flags: list[str]) -> None:
    """Draw all that a control changes; only a first look at another block or query runs the backbone.

    Args:
        flags: of the command, which name the network.
    """
    asked = read_asked(backbone, grid)
    rows, _ = attention.asked_rows(choice, backbone, asked)
    scene = Scene(choice, backbone, asked, rows, files.Style())
    labels = [*(str(head) for head in range(backbone.num_heads)), "mean", "max"]
    large, panel = st.columns([5, 6], gap="medium")
    with large:
        # A rollout has no heads to choose from.
        index = labels.index(controls.head(labels)) if scene.has_heads else 0
        place = st.container()
        controls.rows(backbone, asked)
        style, beside = controls.style()
        scene = replace(scene, style=style)
        with place:
            _large(scene, index, beside)
    with panel:
        shown = _panel(scene, index)
    downloads.show(scene, index, every_block=shown == BLOCKS, flags=flags)


def _panel(scene: Scene, index: int) -> str:
    """Draw the right half: the gallery of heads, or one of the closer looks; give which."""
    shown = linked(
        "panel",
        list(PANELS),
        HEADS,
        lambda: st.segmented_control(
            "Look at",
            list(PANELS),
            format_func=PANELS.__getitem__,
            required=True,
            key="panel",
            label_visibility="collapsed",
        ),
    )
    try:
        _draw_panel(shown, scene, index)
    except UserError as error:  # of a closer look, such as at heads that cannot be switched off
        show_error(error)
    return shown


def _draw_panel(shown: str, scene: Scene, index: int) -> None:
    if shown == BLOCKS:
        all_blocks.show(scene, index)
    elif shown == RANKING:
        ranking.show(scene)
    elif shown == ABLATION:
        ablation.show(scene)
    elif shown == NORMS:
        norms.show(scene)
    else:
        _gallery(scene, index)


def _large(scene: Scene, index: int, beside: str) -> None:
    names, scaled, ranges = scene.maps()
    name, (low, high) = names[index], ranges[index]
    photo, asked, backbone = scene.choice.photo, scene.asked, scene.backbone
    places = st.columns(2, gap="small") if beside == "side" else [st.container()]
    if beside == "side":
        with places[0]:
            layout.picture(scene.photo(SHOWN_PX), alt=photo.alt)
    panel = cached_canvas.panel(
        scene.choice,
        backbone,
        map_picture=scene.draw(scaled[index], SHOWN_PX),
        alt=f"{_title(name)} of {_block(scene)}, query {asked.token}, over: {photo.alt}",
    )
    with places[-1]:
        canvas(
            "picker",
            [panel],
            hint=_hint(backbone, asked.query),
            help_text="Arrow keys move over the patches and ask what the one reached looks at, Escape "
            f"returns to {query_words(backbone.default_query)}, plus and minus zoom.",
            colormap=scene.style.colormap,
            chosen=Picked(0, *asked.query) if isinstance(asked.query, tuple) else None,
            wipe=beside == "wipe",
            on_pick=partial(_pick, backbone),
        )
    factor, unit = scene.unit
    layout.colour_bar(scene.style.colormap, factor * low, factor * high, unit)
    st.caption(_caption(scene, name))


def _pick(backbone: Backbone, picked: Picked | None) -> None:
    """Ask for the picked patch, or for the default query again."""
    set_asked(query=f"{picked.row}:{picked.column}" if picked else backbone.default_query)


def _hint(backbone: Backbone, query: Query) -> str:
    if isinstance(query, tuple):
        return (
            f"What patch {query_name(query)} looks at: arrow keys move it, Esc goes back to "
            f"{query_words(backbone.default_query)}. Leave the picture and come back to compare patches."
        )
    return "Point at a patch to see which are like it; click it to see what it looks at."


def _caption(scene: Scene, name: str) -> str:
    asked = scene.asked
    scale = "one scale for all pictures" if scene.style.shared_scale else "on its own scale"
    if asked.method == ROLLOUT:
        return (
            f"Rollout up to block {asked.layer}: how much of each patch of the input {asked.token} "
            "holds, in %, if attention mixes tokens and half of each block is the residual."
        )
    if asked.method == LOGITS:
        return f"{_title(name)}, {scale}; q·k/√d before the softmax. {_explain(name, scene)}"
    return (
        f"{_title(name)}, {scale}; each patch in % of all the attention a head gives"
        f"{_included(scene.backbone)}. {_explain(name, scene)}"
    )


def _included(backbone: Backbone) -> str:
    """Say which tokens beside the patches a head's attention goes to."""
    names = [name for name, _ in prefix_groups(backbone)]
    return f", {' and '.join(names)} included" if names else ""


def _gallery(scene: Scene, chosen: int) -> None:
    names, scaled, _ = scene.maps()
    shares = scene.attention.heads
    bits = entropy(torch.from_numpy(shares)).tolist()
    tiles = []
    pictures = scene.draw_each(scaled, TILE_PX)
    for index, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        note = "over all heads"
        if index < len(bits) and scene.has_heads:
            given = _prefix_note(scene, index)
            note = f"{given} · " * bool(given) + f"entropy {bits[index]:.1f} bits"
        tiles.append(
            Tile(
                picture=picture,
                title=_title(name),
                note=note,
                alt=f"Attention map of {_title(name)}: {note}",
                chosen=index == chosen,
            )
        )
    layout.gallery(tiles)
    if scene.has_heads:
        most = np.log2(shares[0].size)
        st.caption(
            f"Below each head: {_prefix_meaning(scene)}its entropy over the patches; {most:.1f} bits would be "
            "attention spread evenly."
        )


def _prefix_meaning(scene: Scene) -> str:
    """Say what the numbers of `_prefix_note` are."""
    names = [f"the {name}" if name != "CLS" else "CLS" for name, _ in _given(scene)]
    if not names:
        return ""
    if scene.asked.method == LOGITS:
        return f"the logit of {' and of '.join(names)}, and "
    return f"the share of its attention that goes to {' and '.join(names)}, and "


def _prefix_note(scene: Scene, head: int) -> str:
    """Say what a head gives the tokens before the patches; nothing where there are none."""
    values = scene.attention.values(scene.asked.method)[1][0, 0, head]
    if scene.asked.method != PROBABILITIES:
        return ", ".join(f"{name} {values[indices].sum():.1f}" for name, indices in _given(scene))
    return ", ".join(f"{name} {values[indices].sum():.0%}" for name, indices in _given(scene))


def _given(scene: Scene) -> list[tuple[str, list[int]]]:
    """Group the tokens before the patches that a head's figures name; logits of several do not add up."""
    groups = prefix_groups(scene.backbone)
    if scene.asked.method == PROBABILITIES:
        return groups
    return [(name, indices) for name, indices in groups if len(indices) == 1]


def _block(scene: Scene) -> str:
    if scene.asked.layer == scene.backbone.depth - 1:
        return "the last block's attention"
    return f"the attention of block {scene.asked.layer}"


def _title(name: str) -> str:
    titles = {"mean": "Mean", "max": "Max", "rollout": "Rollout"}
    return titles.get(name, name.replace("head-", "Head "))


def _explain(name: str, scene: Scene) -> str:
    asked = scene.asked
    if name == "max":
        return "The strongest head at each patch."
    if asked.is_default(scene.backbone):
        if name == "mean":
            return "The mean of all heads: where the network looks altogether."
        return f"Where {asked.token} looks in this head."
    if name == "mean":
        return f"The mean of all heads: where {asked.token} looks in block {asked.layer}."
    return f"Where {asked.token} looks in this head of block {asked.layer}."
