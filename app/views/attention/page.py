"""Show what each head looks at, as the paper's Figure 1 draws it, for any block and query."""

from functools import partial

import streamlit as st
from streamlit.navigation.page import Page

from app.cache import attention, pictures
from app.cache import canvas as cached_canvas
from app.components.canvas.component import Picked, canvas
from app.state import look
from app.state.asked import read_asked, set_asked
from app.state.problems import show_error
from app.state.selection import Choice
from app.state.url import linked
from app.ui import layout
from app.ui.networks import instead_of_attention, prefix_groups, say_whose_attention
from app.views.attention import (
    ablation,
    all_blocks,
    controls,
    downloads,
    head_maps,
    norms,
    preview,
    ranking,
)
from app.views.attention.scene import Scene
from dino.attention.mass import DEFAULT_MASS
from dino.attention.photo import LOGITS, ROLLOUT
from dino.canvas.look import Look
from dino.errors import UserError
from dino.features.files import pca_picture
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
        if not backbone.has_attention:
            _features_instead(choice, backbone)
            return
        _welcome(lessons)
        say_whose_attention(backbone)
    asked = read_asked(backbone, grid)
    with preview.until_ready(choice, backbone, grid):
        seconds = attention.asked_rows(choice, backbone, asked)[1]
    _explore(choice, backbone, grid, flags)
    layout.footer(choice, backbone, seconds)


def _features_instead(choice: Choice, backbone: Backbone) -> None:
    """Say what a network without attention is, and show what there is of it: its features as colours."""
    instead_of_attention(backbone)
    features, seconds = pictures.features(choice, backbone)
    place, _ = st.columns([5, 6], gap="medium")
    with place:
        layout.picture(
            layout.marked(pca_picture(features, width=layout.SHOWN_PX), backbone),
            alt=f"Features as colours over: {choice.photo.alt}",
        )
        st.caption(
            "The first three principal components of its features as red, green and blue: squares of one colour "
            "look alike to the network. More of them on the page Features."
        )
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
    labels = [*(str(head) for head in range(backbone.num_heads)), "mean", "max"]
    seen = look.current(labels)
    mass = seen.outline / 100 or DEFAULT_MASS
    scene = Scene(choice, backbone, asked, rows, look.style_of(seen), mass)
    # A rollout has no heads to choose from.
    index = labels.index(seen.head) if scene.has_heads else 0
    shown = _panel()
    if shown == HEADS:  # the small pictures are the canvas's own
        large, panel = st.container(), None
    else:
        large, panel = st.columns([5, 6], gap="medium")
    with large:
        _large(scene, index, seen, beside=panel is None)
        controls.rows(backbone, asked)
    if panel:
        with panel:
            _draw_panel(shown, scene, index)
    look.write_link(seen)
    downloads.show(scene, index, every_block=shown == BLOCKS, flags=flags)


def _panel() -> str:
    """Choose what is looked at: the heads, or one of the closer looks; give which."""
    return linked(
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


def _draw_panel(shown: str, scene: Scene, index: int) -> None:
    try:
        if shown == BLOCKS:
            all_blocks.show(scene, index)
        elif shown == RANKING:
            ranking.show(scene)
        elif shown == ABLATION:
            ablation.show(scene)
        elif shown == NORMS:
            norms.show(scene)
    except UserError as error:  # such as at heads that cannot be switched off
        show_error(error)


def _large(scene: Scene, index: int, seen: Look, *, beside: bool) -> None:
    """Draw the canvas with all maps, and what they are.

    Args:
        beside: the small pictures stand at the right of the large one.
    """
    asked, backbone = scene.asked, scene.backbone
    canvas(
        "picker",
        [cached_canvas.panel(scene.choice, backbone)],
        hint=_hint(backbone, asked.query),
        help_text="Arrow keys move over the patches and ask what the one reached looks at, Escape "
        f"returns to {query_words(backbone.default_query)}, plus and minus zoom, digits choose a head.",
        chosen=Picked(0, *asked.query) if isinstance(asked.query, tuple) else None,
        maps=head_maps.of_scene(scene, beside=beside),
        look=seen,
        on_look=look.keep,
        on_pick=partial(_pick, backbone),
    )
    st.caption(" ".join([_caption(scene, index, seen), *head_maps.notes_meaning(scene)]))


def _pick(backbone: Backbone, picked: Picked | None) -> None:
    """Ask for the picked patch, or for the default query again."""
    set_asked(query=f"{picked.row}:{picked.column}" if picked else backbone.default_query)


def _hint(backbone: Backbone, query: Query) -> str:
    if isinstance(query, tuple):
        return (
            f"What patch {query_name(query)} looks at: arrow keys move it, Esc goes back to "
            f"{query_words(backbone.default_query)}. Leave the picture and come back to compare patches."
        )
    return (
        "Point at a patch to see which are like it; click it to see what it looks at. After a click on a small "
        "picture, 0 to 9 and the arrow keys change the head."
    )


def _caption(scene: Scene, index: int, seen: Look) -> str:
    asked = scene.asked
    if asked.method == ROLLOUT:
        return (
            f"Rollout up to block {asked.layer}: how much of each patch of the input {asked.token} "
            "holds, in %, if attention mixes tokens and half of each block is the residual."
        )
    name = scene.names[index]
    scale = "one scale for all pictures" if seen.scale == "shared" else "on its own scale"
    title = head_maps.title(name)
    if asked.method == LOGITS:
        return f"{title}, {scale}; q·k/√d before the softmax. {_explain(name, scene)}"
    return (
        f"{title}, {scale}; each patch in % of all the attention a head gives"
        f"{_included(scene.backbone)}. {_explain(name, scene)}"
    )


def _included(backbone: Backbone) -> str:
    """Say which tokens beside the patches a head's attention goes to."""
    names = [name for name, _ in prefix_groups(backbone)]
    return f", {' and '.join(names)} included" if names else ""


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
