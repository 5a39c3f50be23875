"""Keep what the Attention page asks for: one forward a photo, weights and size, and rows cheap from it.

Keyed by sha256 strings as in `pictures`. The tokens between blocks are held as they are, not as
copies: nothing changes them.
"""

import time
from dataclasses import replace

import numpy as np
import streamlit as st

from app.cache import pictures
from app.state.asked import Asked
from app.state.selection import Choice, Photo
from dino.attention import layers
from dino.attention.head_ablation import HeadAblation, ablate_head
from dino.attention.heads import mean_distance
from dino.attention.photo import ROLLOUT, PhotoAttention
from dino.model.backbone import Backbone
from dino.model.queries import Query, query_name
from dino.model.stream import Stream, token_norms

Key = tuple[str, str, int]


@st.cache_resource(max_entries=2, show_spinner=False)
def _stream(key: Key, _photo: Photo, _backbone: Backbone) -> tuple[Stream, float]:
    rgb = pictures.pixels(_photo)
    with pictures.forward_lock():
        started = time.perf_counter()
        kept = layers.trace(_backbone, rgb, size=key[2])
        return kept, time.perf_counter() - started


def stream(choice: Choice, backbone: Backbone) -> tuple[Stream, float]:
    """Keep the tokens between all blocks of the chosen photo; with the seconds their forward took."""
    with st.spinner("Looking at the photo …"):
        return _stream(pictures.key_of(choice, backbone), choice.photo, backbone)


@st.cache_data(max_entries=24, show_spinner=False)
def _rows(
    key: Key,
    blocks: tuple[int, ...],
    query: str,
    rolled: bool,
    _query: Query,
    _photo: Photo,
    _backbone: Backbone,
) -> tuple[PhotoAttention, float]:
    kept, seconds = _stream(key, _photo, _backbone)
    found = layers.look(_backbone, kept, layers=blocks, queries=(_query,), rolled=rolled)
    return found, seconds


def rows(
    choice: Choice, backbone: Backbone, *, blocks: tuple[int, ...], query: Query, rolled: bool
) -> tuple[PhotoAttention, float]:
    """Read one query's attention in some blocks of the chosen photo; its rollout too if `rolled`.

    Returns:
        The rows, and the seconds their forward took when it was made.
    """
    key, name = pictures.key_of(choice, backbone), query_name(query)
    with st.spinner("Rolling attention out …" if rolled else "Looking at the photo …"):
        return _rows(key, blocks, name, rolled, query, choice.photo, backbone)


def asked_rows(choice: Choice, backbone: Backbone, asked: Asked) -> tuple[PhotoAttention, float]:
    """Read what is asked for of the chosen photo, and the seconds its forward took when it was made.

    The first view is the one forward that the features come from, too, and keeps no tokens.
    """
    if asked.is_default(backbone):
        return pictures.attention(choice, backbone)
    rolled = asked.method == ROLLOUT
    return rows(choice, backbone, blocks=(asked.layer,), query=asked.query, rolled=rolled)


@st.cache_data(max_entries=64, show_spinner="Measuring how far the heads look …")
def _distances(key: Key, layer: int, _photo: Photo, _backbone: Backbone) -> list[float]:
    kept, _ = _stream(key, _photo, _backbone)
    return mean_distance(_backbone, kept, layer=layer)[0].tolist()


def distances(choice: Choice, backbone: Backbone, layer: int) -> list[float]:
    """Measure the mean attention distance of each head of a block, in px of the network's input."""
    return _distances(pictures.key_of(choice, backbone), layer, choice.photo, backbone)


@st.cache_data(max_entries=16, show_spinner="Looking without the head …")
def _ablation(
    key: Key, layer: int, head: int, query: str, _query: Query, _photo: Photo, _backbone: Backbone
) -> HeadAblation:
    kept, _ = _stream(key, _photo, _backbone)
    with pictures.forward_lock():
        found = ablate_head(_backbone, kept, layer=layer, head=head, query=_query)
    return replace(
        found,
        cls_cosine=found.cls_cosine.cpu(),
        patch_change=found.patch_change.cpu(),
        attention_change=found.attention_change.cpu(),
    )


def ablation(
    choice: Choice, backbone: Backbone, *, layer: int, head: int, query: Query
) -> HeadAblation:
    """Measure what one head switched off changes on the chosen photo; tensors on the CPU."""
    key = pictures.key_of(choice, backbone)
    return _ablation(key, layer, head, query_name(query), query, choice.photo, backbone)


@st.cache_data(max_entries=16, show_spinner=False)
def _norms(key: Key, _photo: Photo, _backbone: Backbone) -> tuple[np.ndarray, np.ndarray]:
    kept, _ = _stream(key, _photo, _backbone)
    every = [token_norms(_backbone, kept, layer=index) for index in range(_backbone.depth)]
    patches = np.stack([norms.patches[0].cpu().numpy() for norms in every])
    return np.stack([norms.prefix[0].cpu().numpy() for norms in every]), patches


def norms(choice: Choice, backbone: Backbone) -> tuple[np.ndarray, np.ndarray]:
    """Measure token norms after every block: of CLS and registers [L,1+R], and of patches [L,h,w]."""
    return _norms(pictures.key_of(choice, backbone), choice.photo, backbone)
