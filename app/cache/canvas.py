"""What the canvas shows of a photo: its picture and its features at addresses; and matches of two."""

from dataclasses import replace

import numpy as np
import streamlit as st

from app import media
from app.cache import pictures
from app.components.canvas.component import Panel
from app.state.selection import Choice, Photo
from dino.attention.photo import PatchFeatures
from dino.features.correspondence import Matches, mutual_neighbours
from dino.features.joint import foreground_mask
from dino.features.neighbours import normalized
from dino.media import draw
from dino.model.backbone import Backbone
from dino.system.files import content_id

# Width in px of a canvas's photo; it can be looked at closer than other pictures.
CANVAS_PX = 1200


@st.cache_data(max_entries=24, show_spinner=False)
def _picture(photo_sha256: str, width: int, _photo: Photo) -> bytes:
    return draw.encode_jpeg(pictures.shown(_photo, width))


@st.cache_data(max_entries=24, show_spinner=False)
def _half(photo_sha256: str, backbone_sha256: str, size: int, _features: PatchFeatures) -> bytes:
    return normalized(_features.patches).astype("<f2").tobytes()


@st.cache_data(max_entries=4, show_spinner=False)
def _mirrored(photo_sha256: str, _photo: Photo) -> Photo:
    pixels = np.ascontiguousarray(pictures.pixels(_photo)[:, ::-1])
    data = draw.encode_jpeg(pixels, quality=95)
    return replace(
        _photo,
        name=f"{_photo.name}-mirrored",
        data=data,
        id=content_id(data),
        alt=f"Mirror image: {_photo.alt}",
    )


@st.cache_data(max_entries=16, show_spinner="Matching the patches …")
def _matches(
    first: tuple[str, str, int],
    second: tuple[str, str, int],
    share: float | None,
    _choices: tuple[Choice, Choice],
    _backbone: Backbone,
) -> Matches:
    found = [pictures.features(choice, _backbone)[0].patches for choice in _choices]
    kept: list[np.ndarray | None] = [None, None]
    if share is not None:
        kept = [foreground(choice, _backbone, share).ravel() for choice in _choices]
    return mutual_neighbours(*found, first_kept=kept[0], second_kept=kept[1])


def panel(
    choice: Choice,
    backbone: Backbone,
    name: str,
    *,
    map_picture: np.ndarray | None = None,
    caption: str = "",
    alt: str = "",
    compares: bool = True,
) -> Panel:
    """Make a panel of the chosen photo.

    Args:
        name: of its place on the page; another place needs another.
        map_picture: uint8 [H,W,3] shown until a patch is pointed at.
        compares: whether its patches can be compared; else no features are made or sent.
    """
    geometry = pictures.geometry(choice, backbone)
    shown = features = None
    if compares:
        half = _half(*pictures.key_of(choice, backbone), pictures.features(choice, backbone)[0])
        features = media.address(half, "application/octet-stream", f"{name}-features")
    if map_picture is not None:
        shown = media.address(draw.encode_jpeg(map_picture), "image/jpeg", f"{name}-map")
    picture = _picture(choice.photo.id, CANVAS_PX, choice.photo)
    height, width = geometry.crop[2:]
    return Panel(
        photo=media.address(picture, "image/jpeg", f"{name}-photo") or "",
        alt=alt or choice.photo.alt,
        rows=geometry.grid[0],
        columns=geometry.grid[1],
        width=width,
        height=height,
        features=features,
        map=shown,
        caption=caption,
    )


def mirrored(photo: Photo) -> Photo:
    """Mirror a photo, as a photo of its own."""
    return _mirrored(photo.id, photo)


def foreground(choice: Choice, backbone: Backbone, share: float) -> np.ndarray:
    """Find the patches [h,w] bool that hold a share of the attention, heads averaged."""
    return foreground_mask(pictures.attention(choice, backbone)[0], share)


def matches(first: Choice, second: Choice, backbone: Backbone, share: float | None) -> Matches:
    """Find the mutual neighbours among two photos' patches; `share` of attention held keeps the foreground
    only."""
    keys = pictures.key_of(first, backbone), pictures.key_of(second, backbone)
    return _matches(*keys, share, (first, second), backbone)
