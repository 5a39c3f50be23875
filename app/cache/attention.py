"""Cached results of the Attention page: one forward a photo, weights and size, rows cheap from it.

Keyed by sha256 strings as in `services`. The tokens between blocks are held as they are, not as
copies: nothing changes them.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import streamlit as st

from app.cache import pictures
from app.state import weights_menu
from app.state.selection import Choice, Photo, Session
from app.state.uploads import temporary_file
from app.state.weights_menu import OPENED, RUN, stamp
from dino.attention import layers
from dino.attention.head_ablation import Ablation, ablate_head
from dino.attention.heads import mean_distance
from dino.attention.layers import LayerAttention, Trace
from dino.errors import WeightsError
from dino.model import stream
from dino.model.backbone import Backbone
from dino.model.queries import Query, query_name
from dino.training.runs.checkpoint import list_checkpoints
from dino.weights.locate import holds_student_and_teacher

Key = tuple[str, str, int]


def _key(choice: Choice, backbone: Backbone) -> Key:
    return choice.photo.id, backbone.fingerprint, choice.size


@st.cache_resource(max_entries=2, show_spinner=False)
def _trace(key: Key, _photo: Photo, _backbone: Backbone) -> tuple[Trace, float]:
    rgb = pictures.pixels(_photo)
    with pictures.forward_lock():
        started = time.perf_counter()
        kept = layers.trace(_backbone, rgb, size=key[2])
        return kept, time.perf_counter() - started


def trace(choice: Choice, backbone: Backbone) -> tuple[Trace, float]:
    """The tokens between all blocks of the chosen photo, and the seconds their forward took."""
    with st.spinner("Looking at the photo …"):
        return _trace(_key(choice, backbone), choice.photo, backbone)


@st.cache_data(max_entries=24, show_spinner=False)
def _look(
    key: Key,
    asked: tuple[int, ...],
    query: str,
    rolled: bool,
    _query: Query,
    _photo: Photo,
    _backbone: Backbone,
) -> LayerAttention:
    kept, _ = _trace(key, _photo, _backbone)
    return layers.look(_backbone, kept, layers=asked, queries=(_query,), rolled=rolled)


def look(
    choice: Choice, backbone: Backbone, *, asked: tuple[int, ...], query: Query, rolled: bool
) -> LayerAttention:
    """Attention of one query in the asked blocks of the chosen photo; its rollout too if `rolled`."""
    key, name = _key(choice, backbone), query_name(query)
    with st.spinner("Rolling attention out …" if rolled else "Looking at the photo …"):
        return _look(key, asked, name, rolled, query, choice.photo, backbone)


@st.cache_data(max_entries=64, show_spinner="Measuring how far the heads look …")
def _distances(key: Key, layer: int, _photo: Photo, _backbone: Backbone) -> list[float]:
    kept, _ = _trace(key, _photo, _backbone)
    return mean_distance(_backbone, kept.stream, layer=layer)[0].tolist()


def distances(choice: Choice, backbone: Backbone, layer: int) -> list[float]:
    """Mean attention distance of each head of a block, in px of the network's input."""
    return _distances(_key(choice, backbone), layer, choice.photo, backbone)


@st.cache_data(max_entries=16, show_spinner="Looking without the head …")
def _ablation(
    key: Key, layer: int, head: int, query: str, _query: Query, _photo: Photo, _backbone: Backbone
) -> Ablation:
    kept, _ = _trace(key, _photo, _backbone)
    with pictures.forward_lock():
        found = ablate_head(_backbone, kept.stream, layer=layer, head=head, query=_query)
    return replace(
        found,
        cls_cosine=found.cls_cosine.cpu(),
        patch_change=found.patch_change.cpu(),
        attention_change=found.attention_change.cpu(),
    )


def ablation(
    choice: Choice, backbone: Backbone, *, layer: int, head: int, query: Query
) -> Ablation:
    """What one head switched off changes on the chosen photo, on the CPU."""
    key = _key(choice, backbone)
    return _ablation(key, layer, head, query_name(query), query, choice.photo, backbone)


@st.cache_data(max_entries=16, show_spinner=False)
def _norms(key: Key, _photo: Photo, _backbone: Backbone) -> tuple[np.ndarray, np.ndarray]:
    kept, _ = _trace(key, _photo, _backbone)
    every = [stream.token_norms(_backbone, kept.stream, layer=i) for i in range(_backbone.depth)]
    patches = np.stack([norms.patches[0].cpu().numpy() for norms in every])
    return np.stack([norms.prefix[0].cpu().numpy() for norms in every]), patches


def norms(choice: Choice, backbone: Backbone) -> tuple[np.ndarray, np.ndarray]:
    """Token norms after every block: of CLS and registers [L,1+R], and of patches [L,h,w]."""
    return _norms(_key(choice, backbone), choice.photo, backbone)


def checkpoint_of(name: str, session: Session) -> str | None:
    """The checkpoint that holds both student and teacher of chosen weights: the newest of a run's,
    or the uploaded file's own name; None where there is only one network."""
    if name in session.get(OPENED, {}):
        file_name, sha256, data = session[OPENED][name]
        return file_name if _holds_both(sha256, data) else None
    path = weights_menu.run_weights().get(name) if name.startswith(RUN) else None
    found = list_checkpoints(path.parents[1] / "checkpoints") if path is not None else []
    return (
        str(found[0]) if found and _file_holds_both(str(found[0]), stamp(str(found[0]))) else None
    )


def open_network(name: str, key: str, session: Session) -> Backbone:
    """The "student" or "teacher" of weights for which `checkpoint_of` names a checkpoint.

    Raises:
        WeightsError: the file is gone or damaged.
    """
    if name in session.get(OPENED, {}):
        file_name, sha256, data = session[OPENED][name]
        return _uploaded_network(sha256, key, file_name, data)
    path = checkpoint_of(name, session)
    if path is None:
        raise WeightsError(f"{name} holds one network only; there is no {key} to choose")
    return _network(path, stamp(path), key)


@st.cache_resource(max_entries=2, show_spinner="Loading the network …")
def _network(path: str, stamp: str, key: str) -> Backbone:
    from dino.weights import load

    backbone = load(path, key=key)
    return replace(backbone, name=f"{backbone.name} ({key})")


@st.cache_resource(max_entries=2, show_spinner="Loading the network …")
def _uploaded_network(sha256: str, key: str, _file_name: str, _data: bytes) -> Backbone:
    from dino.weights import load

    with temporary_file(_data, _file_name) as path:
        return replace(load(path, key=key), name=f"{Path(_file_name).stem} ({key})")


@st.cache_data(max_entries=16, show_spinner=False)
def _file_holds_both(path: str, stamp: str) -> bool:
    return holds_student_and_teacher(path)


@st.cache_data(max_entries=8, show_spinner=False)
def _holds_both(sha256: str, _data: bytes) -> bool:
    with temporary_file(_data, "the upload") as path:
        return holds_student_and_teacher(path)
