"""Keep what the Attention page asks for: one forward a photo, weights and size, and rows cheap from it.

Keyed by hashes as in `pictures`. The tokens between blocks are held as they are, not as
copies: nothing changes them.
"""

import time
from dataclasses import replace

import numpy as np
import streamlit as st

from app.cache import pictures
from app.cache.pictures import KEYS, LOOKING
from app.state.asked import Asked
from app.state.selection import Choice
from dino.attention import layers
from dino.attention.head_ablation import HeadAblation, ablate_head
from dino.attention.heads import mean_distance
from dino.attention.photo import ROLLOUT, PhotoAttention
from dino.model.backbone import Backbone
from dino.model.queries import Query
from dino.model.stream import Stream, token_norms


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=KEYS)
def _stream(choice: Choice, backbone: Backbone) -> tuple[Stream, float]:
    rgb = pictures.pixels(choice.photo)
    with pictures.forward_lock():
        started = time.perf_counter()
        kept = layers.trace(backbone, rgb, size=choice.size)
        return kept, time.perf_counter() - started


def stream(choice: Choice, backbone: Backbone) -> tuple[Stream, float]:
    """Keep the tokens between all blocks of the chosen photo; with the seconds their forward took."""
    with st.spinner(LOOKING):
        return _stream(choice, backbone)


@st.cache_data(max_entries=24, show_spinner=False, hash_funcs=KEYS)
def _rows(
    choice: Choice, backbone: Backbone, *, blocks: tuple[int, ...], query: Query, rolled: bool
) -> tuple[PhotoAttention, float]:
    kept, seconds = _stream(choice, backbone)
    found = layers.look(backbone, kept, layers=blocks, queries=(query,), rolled=rolled)
    return found, seconds


def rows(
    choice: Choice, backbone: Backbone, *, blocks: tuple[int, ...], query: Query, rolled: bool
) -> tuple[PhotoAttention, float]:
    """Read one query's attention in some blocks of the chosen photo; its rollout too if `rolled`.

    Returns:
        The rows, and the seconds their forward took when it was made.
    """
    with st.spinner("Rolling attention out …" if rolled else LOOKING):
        return _rows(choice, backbone, blocks=blocks, query=query, rolled=rolled)


def asked_rows(choice: Choice, backbone: Backbone, asked: Asked) -> tuple[PhotoAttention, float]:
    """Read what is asked for of the chosen photo, and the seconds its forward took when it was made.

    The first view is the one forward that the features come from, too, and keeps no tokens.
    """
    if asked.is_default(backbone):
        return pictures.attention(choice, backbone)
    rolled = asked.method == ROLLOUT
    return rows(choice, backbone, blocks=(asked.layer,), query=asked.query, rolled=rolled)


@st.cache_data(max_entries=64, show_spinner="Measuring how far the heads look …", hash_funcs=KEYS)
def distances(choice: Choice, backbone: Backbone, layer: int) -> list[float]:
    """Measure the mean attention distance of each head of a block, in px of the network's input."""
    kept, _ = _stream(choice, backbone)
    return mean_distance(backbone, kept, layer=layer)[0].tolist()


@st.cache_data(max_entries=16, show_spinner="Looking without the head …", hash_funcs=KEYS)
def ablation(
    choice: Choice, backbone: Backbone, *, layer: int, head: int, query: Query
) -> HeadAblation:
    """Measure what one head switched off changes on the chosen photo; tensors on the CPU."""
    kept, _ = _stream(choice, backbone)
    with pictures.forward_lock():
        found = ablate_head(backbone, kept, layer=layer, head=head, query=query)
    return replace(
        found,
        cls_cosine=found.cls_cosine.cpu(),
        patch_change=found.patch_change.cpu(),
        attention_change=found.attention_change.cpu(),
    )


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=KEYS)
def norms(choice: Choice, backbone: Backbone) -> tuple[np.ndarray, np.ndarray]:
    """Measure token norms after every block: of CLS and registers [L,P], and of patches [L,h,w]."""
    kept, _ = _stream(choice, backbone)
    every = [token_norms(backbone, kept, layer=index) for index in range(backbone.depth)]
    patches = np.stack([found.patches[0].cpu().numpy() for found in every])
    return np.stack([found.prefix[0].cpu().numpy() for found in every]), patches
