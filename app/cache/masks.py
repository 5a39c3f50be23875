"""What the Masks page keeps: clusters, keys, objects and finished masks by sha256 and settings, and
references."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from app.cache import pictures
from app.state.selection import MAX_PHOTO_BYTES, Choice, Photo, Session
from dino.errors import UserError
from dino.masks import proposals
from dino.masks.discovery import keys
from dino.masks.discovery.keys import PatchKeys
from dino.masks.discovery.methods import Discovery
from dino.masks.reference import Reference, read_reference
from dino.masks.refine import refine_mask
from dino.masks.settings import MaskSettings
from dino.model.backbone import Backbone
from dino.system.files import content_id

_REFERENCES = "reference_masks"
# References a session keeps, one a photo; older ones make room.
_MAX_REFERENCES = 8


@dataclass(frozen=True)
class NamedReference:
    """A reference mask and the name of the file it came in."""

    file_name: str
    reference: Reference


@st.cache_data(max_entries=32, show_spinner=False)
def _find_clusters(
    photo_sha256: str, backbone_sha256: str, size: int, clusters: int, _features: Any
) -> np.ndarray:
    return proposals.cluster_labels(_features, MaskSettings(method="kmeans", clusters=clusters))


@st.cache_data(max_entries=8, show_spinner=False)
def _compute_keys(
    photo_sha256: str, backbone_sha256: str, size: int, _photo: Photo, _backbone: Backbone
) -> PatchKeys:
    rgb = pictures.pixels(_photo)
    with pictures.forward_lock():
        return keys.photo_keys(_backbone, rgb, size=size)


@st.cache_data(max_entries=32, show_spinner=False)
def _find_objects(
    photo_sha256: str, backbone_sha256: str, settings: str, _kept: PatchKeys
) -> Discovery:
    return proposals.discover_objects(_kept, MaskSettings.from_json(settings))


@st.cache_data(max_entries=24, show_spinner=False)
def _finish_masks(
    photo_sha256: str, backbone_sha256: str, settings: str, _photo: Photo, _masks: np.ndarray
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Draw masks at the photo's size, eight pixels a byte, and their shape [n,H,W]."""
    read, rgb = MaskSettings.from_json(settings), pictures.pixels(_photo)
    if read.discovers:
        done = proposals.finish_objects(rgb, _masks, read)
    else:
        done = np.stack([proposals.finish(rgb, mask, read) for mask in _masks])
    return np.packbits(done), done.shape


@st.cache_data(max_entries=24, show_spinner=False)
def _refine_pointed(
    photo_sha256: str,
    refine: str,
    marks: str,
    _photo: Photo,
    _masks: np.ndarray,
    _on: np.ndarray,
    _off: np.ndarray,
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Draw masks at the photo's size, eight pixels a byte, and their shape [n,H,W]."""
    rgb = pictures.pixels(_photo)
    done = [
        refine_mask(rgb, mask, refine, on=on, off=off)
        for mask, on, off in zip(_masks, _on, _off, strict=True)
    ]
    return np.packbits(np.stack(done)), _masks.shape


@st.cache_data(max_entries=8, show_spinner=False)
def _reference(sha256: str, shape: tuple[int, int], _data: bytes) -> Reference:
    return read_reference(_data, shape=shape)


def find_clusters(choice: Choice, backbone: Backbone, settings: MaskSettings) -> np.ndarray | None:
    """Find the cluster of each patch, int32 [h,w], where the settings are k-means; else None.

    Takes no forward of its own: features come with the attention.
    """
    if settings.method != "kmeans":
        return None
    features, _ = pictures.features(choice, backbone)
    key = choice.photo.id, backbone.fingerprint, choice.size
    return _find_clusters(*key, settings.clusters, features)


def find_objects(choice: Choice, backbone: Backbone, settings: MaskSettings) -> Discovery | None:
    """Find the objects in patches, where the settings seek some; else None.

    Takes one forward for the keys the first time.

    Raises:
        UserError: too many patches.
    """
    if not settings.discovers:
        return None
    with st.spinner("Looking for objects …"):
        kept = _compute_keys(
            choice.photo.id, backbone.fingerprint, choice.size, choice.photo, backbone
        )
        seeks = MaskSettings(
            size=choice.size,
            method=settings.method,
            heads=settings.heads,
            objects=settings.objects,
            keys=settings.keys,
        )
        return _find_objects(choice.photo.id, backbone.fingerprint, seeks.to_json(), kept)


def finish_masks(
    choice: Choice, backbone: Backbone, settings: MaskSettings, masks: np.ndarray
) -> np.ndarray:
    """Tidy and refine masks of the chosen photo at its own size, bool [n,H,W].

    Args:
        masks: as patches, at the photo's size, [n,H,W], of these settings and nothing else; objects of
            which nothing is left are left out of the result.
    """
    key = choice.photo.id, backbone.fingerprint, settings.to_json()
    bits, shape = _finish_masks(*key, choice.photo, masks)
    return np.unpackbits(bits, count=int(np.prod(shape))).view(bool).reshape(shape)


def refine_pointed(
    choice: Choice,
    backbone: Backbone,
    refine: str,
    marks: str,
    *,
    masks: np.ndarray,
    on: np.ndarray,
    off: np.ndarray,
) -> np.ndarray:
    """Draw the edges of pointed-at objects' masks to the photo's, bool [n,H,W].

    Args:
        marks: everything the masks were made from beside photo, weights and size, as text.
        masks, on, off: bool [n,H,W], as `dino.masks.refine.refine_mask` takes them.
    """
    made_from = f"{backbone.fingerprint} {choice.size} {marks}"
    with st.spinner("Drawing the edges …"):
        bits, shape = _refine_pointed(
            choice.photo.id, refine, made_from, choice.photo, masks, on, off
        )
    return np.unpackbits(bits, count=int(np.prod(shape))).view(bool).reshape(shape)


def add_reference(session: Session, photo: Photo, file_name: str, data: bytes) -> None:
    """Check a reference mask and keep it in the session, one for each photo.

    Raises:
        UserError: more than 25 MB, not a picture, of another aspect than the photo, or empty; the
            session stays as it was.
    """
    if len(data) > MAX_PHOTO_BYTES:
        raise UserError(
            f"{file_name} has {len(data) / 2**20:.1f} MB; at most {MAX_PHOTO_BYTES // 2**20} MB "
            "are taken, so save it as PNG"
        )
    try:
        _reference(content_id(data), pictures.pixels(photo).shape[:2], data)
    except UserError as error:
        raise UserError(f"{file_name}: {error}") from error
    others = {k: v for k, v in session.get(_REFERENCES, {}).items() if k != photo.id}
    kept = list(others.items())[: _MAX_REFERENCES - 1]
    session[_REFERENCES] = {photo.id: (file_name, data), **dict(kept)}


def drop_reference(session: Session, photo: Photo) -> None:
    """Forget the reference mask of a photo."""
    session[_REFERENCES] = {k: v for k, v in session.get(_REFERENCES, {}).items() if k != photo.id}


def reference(session: Session, photo: Photo) -> NamedReference | None:
    """Find the reference mask this session has for a photo."""
    if photo.id not in (kept := session.get(_REFERENCES, {})):
        return None
    file_name, data = kept[photo.id]
    shape = pictures.pixels(photo).shape[:2]
    return NamedReference(file_name, _reference(content_id(data), shape, data))
