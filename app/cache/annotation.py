"""Open sessions of annotation, kept between runs and shared by all tabs; photos small enough to send."""

import base64
from dataclasses import dataclass

import cv2
import numpy as np
import streamlit as st

from dino.annotation.editing import edit_size
from dino.annotation.overview import Overview, missing_photos
from dino.annotation.session import Session, annotations_folder, find_session, open_session
from dino.media import draw
from dino.media.images import decode


@dataclass(frozen=True)
class Opened:
    """A session, how far it is, and what of its photos is gone or changed, by number from 0."""

    session: Session
    overview: Overview
    missing: dict[int, str]


def open_named(name: str) -> Opened:
    """Open the session of a name, as its files are now; no photo is read.

    Raises:
        UserError: there is none, or its session.json cannot be used.
    """
    folder = find_session(name, annotations_folder())
    stat = (folder / "session.json").stat()
    found = _open_cached(str(folder), f"{stat.st_mtime_ns}-{stat.st_size}-{stat.st_ino}")
    found.overview.refresh()
    return found


@st.cache_resource(max_entries=8, show_spinner=False)
def _open_cached(folder: str, stamp: str) -> Opened:
    session = open_session(folder)
    return Opened(session, Overview(session), missing_photos(session))


def photo_pixels(session: Session, index: int) -> np.ndarray:
    """Read photo `index`, uint8 [H,W,3], checked to be the one the session began with.

    Raises:
        UserError: it is gone, changed, or no picture.
    """
    return _decode_photo(session.photos[index].sha256, session.read_photo(index))


@st.cache_data(max_entries=4, show_spinner=False)
def _decode_photo(photo_sha256: str, _data: bytes) -> np.ndarray:
    return decode(_data)


def photo_url(session: Session, index: int) -> str:
    """Encode photo `index` at the size it is painted on, as a JPEG in a URL; errors as `photo_pixels`."""
    return _encode_photo(session.photos[index].sha256, session, index)


@st.cache_data(max_entries=12, show_spinner=False)
def _encode_photo(photo_sha256: str, _session: Session, _index: int) -> str:
    rgb = photo_pixels(_session, _index)
    height, width = edit_size((rgb.shape[0], rgb.shape[1]))
    if (height, width) != rgb.shape[:2]:
        rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    return "data:image/jpeg;base64," + base64.b64encode(draw.encode_jpeg(rgb)).decode()
