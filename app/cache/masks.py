"""Keep clusters, keys, objects and finished masks of a photo, by sha256 and settings; and references."""

from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import streamlit as st

from app.cache import pictures
from app.cache.pictures import KEYS
from app.state.selection import MAX_PHOTO_BYTES, Choice, Photo, Session
from dino.attention.photo import PatchFeatures
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
class PackedMasks:
    """Masks of `shape` [n,H,W] at the photo's size, kept eight pixels a byte."""

    bits: np.ndarray
    shape: tuple[int, ...]

    def unpack(self) -> np.ndarray:
        """Give the masks, bool [n,H,W]."""
        bits = np.unpackbits(self.bits, count=int(np.prod(self.shape)))
        return bits.view(bool).reshape(self.shape)


def _pack(masks: np.ndarray) -> PackedMasks:
    return PackedMasks(np.packbits(masks), masks.shape)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEYS)
def clusters(
    choice: Choice, backbone: Backbone, num_clusters: int, _features: PatchFeatures
) -> np.ndarray:
    """Find the cluster of each patch of the chosen photo by k-means, int32 [h,w]."""
    return proposals.cluster_labels(_features, MaskSettings(method="kmeans", clusters=num_clusters))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=KEYS)
def _photo_keys(choice: Choice, backbone: Backbone) -> PatchKeys:
    rgb = pictures.pixels(choice.photo)
    with pictures.forward_lock():
        return keys.photo_keys(backbone, rgb, size=choice.size)


@st.cache_data(
    max_entries=32,
    show_spinner="Looking for objects …",
    # The other settings say what is done to objects afterwards.
    hash_funcs={**KEYS, MaskSettings: attrgetter("method", "heads", "objects", "keys")},
)
def find_objects(choice: Choice, backbone: Backbone, settings: MaskSettings) -> Discovery:
    """Find the objects in patches of the chosen photo; takes one forward for the keys the first time.

    Raises:
        UserError: too many patches.
    """
    return proposals.discover_objects(_photo_keys(choice, backbone), settings)


@st.cache_data(
    max_entries=24, show_spinner=False, hash_funcs={**KEYS, MaskSettings: MaskSettings.to_json}
)
def finish_masks(
    choice: Choice, backbone: Backbone, settings: MaskSettings, _masks: np.ndarray
) -> PackedMasks:
    """Tidy and refine masks of the chosen photo at its own size.

    Args:
        _masks: as patches, at the photo's size, [n,H,W], of these settings and nothing else; objects of
            which nothing is left are left out of the result.
    """
    rgb = pictures.pixels(choice.photo)
    if settings.discovers:
        return _pack(proposals.finish_objects(rgb, _masks, settings))
    return _pack(np.stack([proposals.finish(rgb, mask, settings) for mask in _masks]))


@st.cache_data(max_entries=24, show_spinner="Drawing the edges …", hash_funcs=KEYS)
def refine_pointed(
    choice: Choice,
    backbone: Backbone,
    refine: str,
    marks: str,
    *,
    _masks: np.ndarray,
    _on: np.ndarray,
    _off: np.ndarray,
) -> PackedMasks:
    """Draw the edges of pointed-at objects' masks to the photo's.

    Args:
        marks: everything the masks were made from beside photo, weights and size, as text.
        _masks, _on, _off: bool [n,H,W], as `dino.masks.refine.refine_mask` takes them.
    """
    rgb, triples = pictures.pixels(choice.photo), zip(_masks, _on, _off, strict=True)
    done = [refine_mask(rgb, mask, refine, on=on, off=off) for mask, on, off in triples]
    return _pack(np.stack(done))


@st.cache_data(max_entries=8, show_spinner=False)
def _reference(sha256: str, shape: tuple[int, int], _data: bytes) -> Reference:
    return read_reference(_data, shape=shape)


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
    drop_reference(session, photo)
    others = list(session[_REFERENCES].items())
    session[_REFERENCES] = {photo.id: (file_name, data), **dict(others[: _MAX_REFERENCES - 1])}


def drop_reference(session: Session, photo: Photo) -> None:
    """Forget the reference mask of a photo."""
    session[_REFERENCES] = {k: v for k, v in session.get(_REFERENCES, {}).items() if k != photo.id}


def has_reference(session: Session, photo: Photo) -> bool:
    """Whether this session has a reference mask for a photo."""
    return photo.id in session.get(_REFERENCES, {})


def reference(session: Session, photo: Photo) -> tuple[str, Reference] | None:
    """Find the reference mask this session has for a photo, and the name of the file it came in."""
    if not has_reference(session, photo):
        return None
    file_name, data = session[_REFERENCES][photo.id]
    shape = pictures.pixels(photo).shape[:2]
    return file_name, _reference(content_id(data), shape, data)
