"""Cached results of the Learn page: crops of a photo, their neighbours, and demonstrations of training.

Keyed by sha256 strings as in `pictures`.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import streamlit as st
import torch

from app.cache import attention
from app.cache import pictures as cached_pictures
from app.state.selection import Choice, Photo, bundled_photos
from dino.attention.arithmetic import AttentionRow, attention_row
from dino.features.knn import leave_one_out_accuracy
from dino.media.crops import MultiCrop, draw, random_box
from dino.media.draw import scaled, shrink
from dino.media.geometry import Geometry
from dino.media.preprocessing import plan, preprocess
from dino.model.backbone import Backbone
from dino.model.queries import Query
from dino.training.teaching.demonstration import (
    KINDS,
    Demonstration,
    Outcome,
    Point,
    Trainee,
    conclude,
    disturb,
    draw_pictures,
)

_DEMONSTRATIONS = "demonstrations"
_MAX_DEMONSTRATIONS = 12
# Crops that look for each other: of each photo, and how many patches wide.
CROPS_OF_A_PHOTO = 6
_CROP_PATCHES = 8
# Longer side in px of the photos crops are drawn from.
_CROPPED_PX = 720
_PIXELS_SIDE = 8
# Of the drawings a demonstration learns from.
_ENLARGED = 6
_LINE = (255, 255, 255)
_MARK = (255, 140, 0)


@dataclass(frozen=True)
class Crop:
    """A view of a photo: `pixels` [size,size,3], and where it was cut, (top, left, height, width) in
    px of the photo."""

    pixels: np.ndarray
    box: tuple[int, int, int, int]
    is_global: bool


@dataclass(frozen=True)
class Neighbours:
    """Crops of all photos as they are for k-NN: `pictures` [M] and `labels` [M], numbers of `names`,
    unit `features` [M,D] of the network, and of the pixels alone."""

    pictures: list[np.ndarray]
    labels: np.ndarray
    names: tuple[str, ...]
    features: np.ndarray
    pixels: np.ndarray

    def accuracy(self, features: np.ndarray, k: int) -> float:
        """Measure leave-one-out k-NN, in percent."""
        labels = torch.from_numpy(self.labels)
        return leave_one_out_accuracy(torch.from_numpy(features), labels, k=k).top1


def row(choice: Choice, backbone: Backbone, *, layer: int, query: Query, head: int) -> AttentionRow:
    """Compute the numbers of one query in one head on the chosen photo."""
    kept, _ = attention.stream(choice, backbone)
    return attention_row(backbone, kept, layer=layer, query=query, head=head)


def grid_picture(photo: Photo, geometry: Geometry, width: int) -> np.ndarray:
    """Draw the photo at most `width` px wide with the edges of its patches."""
    picture = cached_pictures.shown(photo, width).copy()
    frame = scaled(geometry, width)
    rows, columns = frame.grid
    for number in range(1, rows):
        y = round(frame.photo_box(number, 0)[0])
        cv2.line(picture, (0, y), (picture.shape[1], y), _LINE, 1)
    for number in range(1, columns):
        x = round(frame.photo_box(0, number)[1])
        cv2.line(picture, (x, 0), (x, picture.shape[0]), _LINE, 1)
    return picture


def plan_cut(photo: Photo, size: int, patch_size: int) -> Geometry:
    """Plan how a photo would become patches of another size."""
    height, width = cached_pictures.pixels(photo).shape[:2]
    return plan((height, width), size=size, patch_size=patch_size)


def patch_pixels(choice: Choice, backbone: Backbone, row: int, column: int) -> np.ndarray:
    """Cut one patch as the network is given it, before normalisation: uint8 [patch,patch,3]."""
    geometry = cached_pictures.geometry(choice, backbone)
    height, width = geometry.resized
    resized = cv2.resize(
        cached_pictures.pixels(choice.photo), (width, height), interpolation=cv2.INTER_AREA
    )
    side = backbone.patch_size
    top, left = geometry.crop[0] + row * side, geometry.crop[1] + column * side
    return resized[top : top + side, left : left + side]


@st.cache_data(max_entries=24, show_spinner=False)
def _crops(photo_sha256: str, seed: int, _photo: Photo) -> list[Crop]:
    rgb = shrink(cached_pictures.pixels(_photo), _CROPPED_PX)
    return multi_crops(rgb, seed)


def multi_crops(rgb: np.ndarray, seed: int) -> list[Crop]:
    """Draw the crops that `MultiCrop()` draws of a photo uint8 [H,W,3], with where each lies."""
    recipe, random = MultiCrop(), np.random.default_rng(seed)
    found = []
    for number, view in enumerate(recipe.views):
        # A copy of the generator draws the box that `draw` is about to draw.
        box = random_box(rgb.shape[:2], view.scale, copy.deepcopy(random))
        found.append(Crop(draw(rgb, view, random), box, is_global=number < 2))
    return found


def crops(photo: Photo, seed: int) -> list[Crop]:
    """Draw two global and eight local views of a photo, by the training engine's own augmentation."""
    return _crops(photo.id, seed, photo)


def framed(photo: Photo, found: list[Crop]) -> np.ndarray:
    """Draw the photo with the frames of its crops: global ones orange, local ones white."""
    picture = shrink(cached_pictures.pixels(photo), _CROPPED_PX).copy()
    for crop in sorted(found, key=lambda one: one.is_global):
        top, left, height, width = crop.box
        colour, thickness = (_MARK, 4) if crop.is_global else (_LINE, 2)
        corner = left + width - 1, top + height - 1
        cv2.rectangle(picture, (left, top), corner, (0, 0, 0), thickness + 2)
        cv2.rectangle(picture, (left, top), corner, colour, thickness)
    return picture


@st.cache_data(max_entries=6, show_spinner="Looking at crops of the photos …")
def _neighbours(
    photo_sha256: str, backbone_sha256: str, seed: int, _photo: Photo, _backbone: Backbone
) -> Neighbours:
    photos = {_photo.id: _photo, **{one.id: one for one in bundled_photos().values()}}
    view = replace(MultiCrop(global_size=_CROP_PATCHES * _backbone.patch_size).views[0], blur=0.5)
    random = np.random.default_rng(seed)
    pictures, labels = [], []
    for number, photo in enumerate(photos.values()):
        rgb = shrink(cached_pictures.pixels(photo), _CROPPED_PX)
        pictures += [draw(rgb, view, random) for _ in range(CROPS_OF_A_PHOTO)]
        labels += [number] * CROPS_OF_A_PHOTO
    features = []
    with cached_pictures.forward_lock():
        for picture in pictures:
            image, _ = preprocess(
                picture,
                size=view.size,
                patch_size=_backbone.patch_size,
                mean=_backbone.mean,
                std=_backbone.std,
            )
            features.append(_backbone.tokens(image).cls[0].float().cpu().numpy())
    small = [cv2.resize(one, (_PIXELS_SIDE, _PIXELS_SIDE), interpolation=cv2.INTER_AREA)
             for one in pictures]  # fmt: skip
    return Neighbours(
        pictures,
        np.array(labels),
        tuple(photo.name for photo in photos.values()),
        _unit(np.stack(features)),
        _unit(np.stack(small).reshape(len(small), -1).astype(np.float32) - 128),
    )


def neighbours(choice: Choice, backbone: Backbone, seed: int) -> Neighbours:
    """Cut crops of the chosen photo and of all bundled ones, and describe them by the network."""
    return _neighbours(choice.photo.id, backbone.fingerprint, seed, choice.photo, backbone)


def demonstration(settings: Demonstration, on_point: Callable[[list[Point]], None]) -> Outcome:
    """Train a tiny DINO now, or return what the session has kept of it; `on_point` is called with the
    points so far while it trains."""
    kept: dict[Demonstration, Outcome] = st.session_state.setdefault(_DEMONSTRATIONS, {})
    if settings not in kept:
        points: list[Point] = []
        for found in conclude(Trainee(settings)):
            if isinstance(found, Outcome):
                while len(kept) >= _MAX_DEMONSTRATIONS:
                    kept.pop(next(iter(kept)))
                kept[settings] = found
                break
            points.append(found)
            on_point(points)
    return kept[settings]


def drawings(seed: int) -> np.ndarray:
    """Draw what a demonstration learns from: two views of two drawings of each kind, uint8 [H,W] enlarged."""
    random = torch.Generator().manual_seed(seed)
    pictures, _ = draw_pictures(2 * len(KINDS), random)
    views = [disturb(pictures, random)[:, 0] for _ in range(2)]
    rows = [
        torch.cat([torch.nn.functional.pad(p, (0, 1, 0, 1), value=9) for p in v], 1) for v in views
    ]
    grey = ((torch.cat(rows).clamp(-1.5, 2) + 1.5) / 3.5 * 255).numpy().astype(np.uint8)
    return np.kron(grey, np.ones((_ENLARGED, _ENLARGED), np.uint8))


def demonstrations() -> dict[Demonstration, Outcome]:
    """Return what this session has trained, oldest first."""
    return dict(st.session_state.get(_DEMONSTRATIONS, {}))


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-8)
