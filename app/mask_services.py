"""What the Masks page keeps: clusters and finished masks by sha256 and settings, and references."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from app import services
from app.state import MAX_PHOTO_BYTES, Choice, Photo
from dino import explore, proposals
from dino.backbone import Backbone
from dino.errors import UserError
from dino.explore import Attention
from dino.proposals import MaskSettings
from dino.reference import Reference, read_reference

_REFERENCES = "reference_masks"
# References a session keeps, one a photo; older ones make room.
_MAX_REFERENCES = 8


@dataclass(frozen=True)
class NamedReference:
    """A reference mask and the name of the file it came in."""

    file_name: str
    reference: Reference


@st.cache_data(max_entries=32, show_spinner=False)
def _labels(
    photo_sha256: str, backbone_sha256: str, size: int, clusters: int, _features: Any
) -> np.ndarray:
    return proposals.cluster_labels(_features, MaskSettings(method="kmeans", clusters=clusters))


@st.cache_data(max_entries=24, show_spinner=False)
def _finished(
    photo_sha256: str,
    backbone_sha256: str,
    settings: str,
    _photo: Photo,
    _attention: Attention,
    _clusters: np.ndarray | None,
) -> tuple[np.ndarray, tuple[int, int]]:
    """A mask at the photo's size, eight pixels a byte, and its (H, W)."""
    read = MaskSettings.from_json(settings)
    kept = proposals.patch_mask(_attention, read, labels=_clusters)
    pixels = _attention.geometry.to_photo(kept)
    pixels = proposals.finish(services.pixels(_photo), pixels, read)
    return np.packbits(pixels), pixels.shape


@st.cache_data(max_entries=8, show_spinner=False)
def _reference(sha256: str, shape: tuple[int, int], _data: bytes) -> Reference:
    return read_reference(_data, shape=shape)


def labels(choice: Choice, backbone: Backbone, settings: MaskSettings) -> np.ndarray | None:
    """The cluster of each patch, int32 [h,w], where the settings are k-means; else None.

    Takes no forward of its own: features come with the attention.
    """
    if settings.method != "kmeans":
        return None
    features, _ = services.features(choice, backbone)
    key = choice.photo.id, backbone.fingerprint, choice.size
    return _labels(*key, settings.clusters, features)


def finished(
    choice: Choice,
    backbone: Backbone,
    attention: Attention,
    settings: MaskSettings,
    clusters: np.ndarray | None,
) -> np.ndarray:
    """The mask of the chosen photo at its own size, bool [H,W], tidied and refined."""
    key = choice.photo.id, backbone.fingerprint, settings.to_json()
    bits, (height, width) = _finished(*key, choice.photo, attention, clusters)
    return np.unpackbits(bits, count=height * width).view(bool).reshape(height, width)


def add_reference(
    session: MutableMapping[str, Any], photo: Photo, file_name: str, data: bytes
) -> None:
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
        _reference(explore.content_id(data), services.pixels(photo).shape[:2], data)
    except UserError as error:
        raise UserError(f"{file_name}: {error}") from error
    others = {k: v for k, v in session.get(_REFERENCES, {}).items() if k != photo.id}
    kept = list(others.items())[: _MAX_REFERENCES - 1]
    session[_REFERENCES] = {photo.id: (file_name, data), **dict(kept)}


def drop_reference(session: MutableMapping[str, Any], photo: Photo) -> None:
    """Forget the reference mask of a photo."""
    session[_REFERENCES] = {k: v for k, v in session.get(_REFERENCES, {}).items() if k != photo.id}


def reference(session: MutableMapping[str, Any], photo: Photo) -> NamedReference | None:
    """The reference mask this session has for a photo."""
    if photo.id not in (kept := session.get(_REFERENCES, {})):
        return None
    file_name, data = kept[photo.id]
    shape = services.pixels(photo).shape[:2]
    return NamedReference(file_name, _reference(explore.content_id(data), shape, data))
