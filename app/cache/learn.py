"""Cached results of the Learn page: crops of a photo, their neighbours, and demonstrations of training.

Keyed by hashes as in `pictures`.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import streamlit as st
import torch
from torch.nn.functional import pad

from app.cache import attention
from app.cache import pictures as cached_pictures
from app.cache.pictures import KEYS
from app.state.selection import Choice, Photo, bundled_photos
from dino.attention.arithmetic import AttentionRow, attention_row
from dino.attention.photo import prepare
from dino.features.knn import leave_one_out_accuracy
from dino.features.neighbours import normalized
from dino.media.crops import MultiCrop, draw, random_box
from dino.media.draw import scaled, shrink
from dino.media.geometry import Geometry
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
_CROPS_SEED = 0
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
class LabelledCrops:
    """Crops of all photos as k-NN takes them: `pictures` [M] and `labels` [M], numbers of `names`;
    `features` [M,D] of the network and `pixels` [M,D'] of the pictures alone, rows of length 1."""

    pictures: list[np.ndarray]
    labels: np.ndarray
    names: tuple[str, ...]
    features: np.ndarray
    pixels: np.ndarray

    def accuracy(self, features: np.ndarray, k: int) -> float:
        """Measure leave-one-out k-NN, in percent."""
        labels = torch.from_numpy(self.labels)
        return leave_one_out_accuracy(torch.from_numpy(features), labels, k=k).top1


def last_row(choice: Choice, backbone: Backbone, *, query: Query, head: int) -> AttentionRow:
    """Compute the numbers of one query in one head of the last block on the chosen photo."""
    kept, _ = attention.stream(choice, backbone)
    return attention_row(backbone, kept, layer=-1, query=query, head=head)


def grid_picture(photo: Photo, geometry: Geometry, width: int) -> np.ndarray:
    """Draw the photo at most `width` px wide with the edges of its patches."""
    picture = cached_pictures.shown(photo, width).copy()
    frame = scaled(geometry, width)
    rows, columns = frame.grid
    for row in range(1, rows):
        y = round(frame.photo_box(row, 0)[0])
        picture[y : y + 1] = _LINE
    for column in range(1, columns):
        x = round(frame.photo_box(0, column)[1])
        picture[:, x : x + 1] = _LINE
    return picture


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


def multi_crops(rgb: np.ndarray, seed: int) -> list[Crop]:
    """Draw the crops that `MultiCrop()` draws of a photo uint8 [H,W,3], with where each lies."""
    recipe, random = MultiCrop(), np.random.default_rng(seed)
    found = []
    for number, view in enumerate(recipe.views):
        # A copy of the generator draws the box that `draw` is about to draw.
        box = random_box(rgb.shape[:2], view.scale, copy.deepcopy(random))
        found.append(Crop(draw(rgb, view, random), box, is_global=number < 2))
    return found


@st.cache_data(max_entries=24, show_spinner=False, hash_funcs=KEYS)
def crops(photo: Photo, seed: int) -> list[Crop]:
    """Draw two global and eight local views of a photo, by the training engine's own augmentation."""
    return multi_crops(shrink(cached_pictures.pixels(photo), _CROPPED_PX), seed)


def draw_frames(photo: Photo, found: list[Crop]) -> np.ndarray:
    """Draw the photo with the frames of its crops: global ones orange, local ones white."""
    picture = shrink(cached_pictures.pixels(photo), _CROPPED_PX).copy()
    for crop in sorted(found, key=lambda crop: crop.is_global):
        top, left, height, width = crop.box
        colour, thickness = (_MARK, 4) if crop.is_global else (_LINE, 2)
        corner = left + width - 1, top + height - 1
        cv2.rectangle(picture, (left, top), corner, (0, 0, 0), thickness + 2)
        cv2.rectangle(picture, (left, top), corner, colour, thickness)
    return picture


@st.cache_data(max_entries=6, show_spinner="Looking at crops of the photos …", hash_funcs=KEYS)
def labelled_crops(photo: Photo, backbone: Backbone) -> LabelledCrops:
    """Cut crops of a photo and of all bundled ones, and describe them by the network."""
    others = [bundled for bundled in bundled_photos().values() if bundled.id != photo.id]
    view = replace(MultiCrop(global_size=_CROP_PATCHES * backbone.patch_size).views[0], blur=0.5)
    random = np.random.default_rng(_CROPS_SEED)
    pictures, names, features = [], [], []
    for source in (photo, *others):
        rgb = shrink(cached_pictures.pixels(source), _CROPPED_PX)
        pictures += [draw(rgb, view, random) for _ in range(CROPS_OF_A_PHOTO)]
        names.append(source.name)
    with cached_pictures.forward_lock():
        for picture in pictures:
            image, _ = prepare(backbone, picture, view.size, "floor")
            features.append(backbone.tokens(image).cls[0].float().cpu().numpy())
    small = (_PIXELS_SIDE, _PIXELS_SIDE)
    pixels = [cv2.resize(one, small, interpolation=cv2.INTER_AREA).ravel() for one in pictures]
    return LabelledCrops(
        pictures,
        np.repeat(np.arange(len(names)), CROPS_OF_A_PHOTO),
        tuple(names),
        normalized(np.stack(features)),
        normalized(np.stack(pixels).astype(np.float32) - 128),
    )


def demonstration(settings: Demonstration, on_point: Callable[[list[Point]], None]) -> Outcome:
    """Train a tiny DINO now, or return what the session has kept of it; `on_point` is called with the
    points so far while it trains."""
    kept: dict[Demonstration, Outcome] = st.session_state.setdefault(_DEMONSTRATIONS, {})
    if settings not in kept:
        points: list[Point] = []
        for found in conclude(Trainee(settings)):
            if isinstance(found, Point):
                points.append(found)
                on_point(points)
            else:
                kept[settings] = found
        if len(kept) > _MAX_DEMONSTRATIONS:
            kept.pop(next(iter(kept)))
    return kept[settings]


def drawings(seed: int) -> np.ndarray:
    """Draw what a demonstration learns from: two views of two drawings of each kind, uint8 [H,W] enlarged."""
    random = torch.Generator().manual_seed(seed)
    pictures, _ = draw_pictures(2 * len(KINDS), random)
    views = [pad(disturb(pictures, random)[:, 0], (0, 1, 0, 1), value=9) for _ in range(2)]
    rows = [torch.cat(list(view), 1) for view in views]
    grey = ((torch.cat(rows).clamp(-1.5, 2) + 1.5) / 3.5 * 255).numpy().astype(np.uint8)
    return np.kron(grey, np.ones((_ENLARGED, _ENLARGED), np.uint8))


def demonstrations() -> dict[Demonstration, Outcome]:
    """Return what this session has trained, oldest first."""
    return dict(st.session_state.get(_DEMONSTRATIONS, {}))
