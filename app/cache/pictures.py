"""The only place with st.cache_*: models, and results keyed by sha256 strings, never by arrays."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app import access
from app.state import data_root
from app.state.selection import Choice, Photo, Session, plain_stem
from app.state.uploads import temporary_file
from app.state.weights_fetch import WeightsFetch
from app.state.weights_menu import OPENED, stamp, weights_location
from dino.annotation.editing import proposed_state
from dino.annotation.states import PhotoState
from dino.attention import photo as attention_photo
from dino.errors import WeightsError
from dino.features import files
from dino.features.projections import Projection, project
from dino.masks import proposals
from dino.media import draw
from dino.media.geometry import Geometry
from dino.media.images import decode
from dino.media.preprocessing import plan
from dino.model.backbone import Backbone
from dino.system.files import content_id
from dino.system.folders import checkpoints_folder
from dino.training.presets import preset_config

RANDOM_WEIGHTS = "random_vits16"
_PROJECTIONS = "projections"
_MAX_PROJECTIONS = 16
_THUMBNAIL_PX = 480


@dataclass(frozen=True)
class Timed:
    """A result and the seconds its forward took when it was made."""

    result: Any
    seconds: float


@st.cache_resource(max_entries=4, show_spinner="Loading the weights …")
def _backbone(source: str, stamp: str) -> Backbone:
    from dino.weights import load

    return load(source)


@st.cache_resource(max_entries=2, show_spinner="Reading your weights …")
def _uploaded_backbone(file_name: str, sha256: str, _data: bytes) -> Backbone:
    """Load weights from a browser; they have nothing of the name of the file they are read from."""
    from dino.weights import load

    with temporary_file(_data, file_name) as path:
        backbone = load(path)
    unnamed = backbone.name == path.stem
    return replace(backbone, name=Path(file_name).stem) if unnamed else backbone


# Held as they are, not as copies, which would be made each time: nothing can change them.
@st.cache_resource(max_entries=6, show_spinner=False)
def _pixels(photo_sha256: str, _data: bytes) -> np.ndarray:
    rgb = decode(_data)
    rgb.flags.writeable = False
    return rgb


@st.cache_data(max_entries=32, show_spinner=False)
def _patch_colours(
    photo_sha256: str,
    backbone_sha256: str,
    size: int,
    _photo: Photo,
    _features: attention_photo.PatchFeatures,
) -> np.ndarray:
    return files.patch_colours(_pixels(photo_sha256, _photo.data), _features)


@st.cache_data(max_entries=24, show_spinner=False)
def _shown(photo_sha256: str, width: int, _data: bytes) -> np.ndarray:
    return draw.shrink(_pixels(photo_sha256, _data), width)


@st.cache_data(max_entries=8, ttl=60, show_spinner="Looking for photos …")
def photo_folders(root: str) -> list[str]:
    """Folders of photos below the data root, by the names `data_root.resolve` takes."""
    return data_root.find_photo_folders(Path(root))


@st.cache_data(max_entries=32, ttl=60, show_spinner="Counting photos …")
def photo_facts(folder: str) -> data_root.PhotoFacts:
    """What there is in a folder of photos.

    Raises:
        UserError: nothing.
    """
    return data_root.look_into(folder)


@st.cache_data(max_entries=32, ttl=60, show_spinner="Looking for masks …")
def count_masked(folder: str) -> int:
    """Photos with masks in a folder that attention can be measured on.

    Raises:
        UserError: none, or one without a mask.
    """
    from dino.evaluation.mask_data import open_masks

    return len(open_masks(folder).paths)


@st.cache_resource(show_spinner=False)
def _one_forward() -> threading.Lock:
    """Forwards of all sessions take turns: together they would take longer, and time each other."""
    return threading.Lock()


def forward_lock() -> threading.Lock:
    """What every forward is made under."""
    return _one_forward()


@st.cache_data(max_entries=32, show_spinner=False)
def _look(
    photo_sha256: str,
    backbone_sha256: str,
    size: int,
    _photo: Photo,
    _backbone: Backbone,
) -> Timed:
    rgb = _pixels(photo_sha256, _photo.data)
    with _one_forward():
        started = time.perf_counter()
        if _backbone.has_attention:
            found: Any = attention_photo.look(_backbone, rgb, size=size)
        else:
            found = None, attention_photo.features(_backbone, rgb, size=size)
        return Timed(found, time.perf_counter() - started)


def pixels(photo: Photo) -> np.ndarray:
    """The photo at its own size, uint8 [H,W,3], not to be written to."""
    return _pixels(photo.id, photo.data)


def geometry(choice: Choice, backbone: Backbone) -> Geometry:
    """How the chosen photo becomes patches, known before any forward."""
    height, width = pixels(choice.photo).shape[:2]
    return plan((height, width), size=choice.size, patch_size=backbone.patch_size)


def shown(photo: Photo, width: int) -> np.ndarray:
    """The photo at most `width` px wide."""
    return _shown(photo.id, width, photo.data)


def thumbnail(photo: Photo) -> bytes:
    """The photo small, as JPEG bytes."""
    return draw.encode_jpeg(shown(photo, _THUMBNAIL_PX))


def attention(choice: Choice, backbone: Backbone) -> tuple[attention_photo.Attention, float]:
    """Last-block CLS attention on the chosen photo, and the seconds it took when computed."""
    backbone.check_attention()
    (found, _), seconds = _looked(choice, backbone)
    return found, seconds


def features(choice: Choice, backbone: Backbone) -> tuple[attention_photo.PatchFeatures, float]:
    """Last-block patch features of the chosen photo, and the seconds they took when computed."""
    (_, found), seconds = _looked(choice, backbone)
    return found, seconds


def _looked(
    choice: Choice, backbone: Backbone
) -> tuple[tuple[attention_photo.Attention, attention_photo.PatchFeatures], float]:
    """Both from the one forward a photo needs, and its seconds when it was made."""
    with st.spinner("Looking at the photo …"):
        timed = _look(*key_of(choice, backbone), choice.photo, backbone)
    return timed.result, timed.seconds


def proposed(backbone: Backbone, rgb: np.ndarray, settings: proposals.MaskSettings) -> PhotoState:
    """The state of a photo to annotate with a mask as it is proposed; forwards take turns."""
    with _one_forward():
        return proposed_state(backbone, rgb, settings)


def patch_colours(
    choice: Choice, backbone: Backbone, patch_features: attention_photo.PatchFeatures
) -> np.ndarray:
    """Mean colour of the chosen photo under each patch, uint8 [N,3]."""
    return _patch_colours(*key_of(choice, backbone), choice.photo, patch_features)


def projection(
    choice: Choice,
    backbone: Backbone,
    patch_features: attention_photo.PatchFeatures,
    *,
    progress: Callable[[float, str], None] | None = None,
    **options: Any,
) -> Projection:
    """Points of the chosen photo's patches; options and `progress` as in `dino.project`.

    Kept in the session, since a function under st.cache_data may not draw a progress bar.
    """
    kept = st.session_state.setdefault(_PROJECTIONS, {})
    key = (*key_of(choice, backbone), *sorted(options.items()))
    if key not in kept:
        while len(kept) >= _MAX_PROJECTIONS:
            kept.pop(next(iter(kept)))
        kept[key] = project(patch_features.patches, progress=progress, **options)
    return kept[key]


def key_of(choice: Choice, backbone: Backbone) -> tuple[str, str, int]:
    """What a result depends on: photo, weights and arithmetic, size."""
    return choice.photo.id, backbone.fingerprint, choice.size


@st.cache_resource(show_spinner=False)
def weights_fetch() -> WeightsFetch:
    """The one fetch of default weights of this server."""
    return WeightsFetch(checkpoints_folder() / "downloads" / "fetch.log")


def open_weights(name: str, session: Session) -> Backbone:
    """The backbone of a name from `weights_options`.

    Raises:
        WeightsError: the file is gone, damaged, or not weights.
    """
    opened = session.get(OPENED, {})
    if name in opened:
        return _uploaded_backbone(*opened[name])
    location = weights_location(name, session)
    return _backbone(location, stamp(location))


def start_sizes(init: str) -> dict[str, int]:
    """Patch and crops in px that fit weights to start from, as the preset for fine-tuning has them.

    Raises:
        WeightsError: they cannot be read.
    """
    return _start_sizes(init, stamp(init))


@st.cache_data(max_entries=16, show_spinner="Reading the weights …")
def _start_sizes(init: str, stamp: str) -> dict[str, int]:
    config = preset_config("finetune", num_photos=1, init=init)
    return {name: getattr(config, name) for name in ("patch_size", "global_size", "local_size")}


def add_weights(session: Session, file_name: str, data: bytes) -> str:
    """Load uploaded weights and keep them in the session; their name for the menu.

    Raises:
        WeightsError: too large, not weights, an unknown layout, or a pickle that wants to run code.
    """
    limits = access.session_limits()
    if len(data) > limits.weights_mb * 2**20:
        raise WeightsError(
            f"{file_name} has {len(data) / 2**20:,.0f} MB; at most {limits.weights_mb} MB are taken, so "
            "keep only the backbone (`python -m dino weights convert`)"
        )
    digest = content_id(data)
    _uploaded_backbone(file_name, digest, data)
    name = f"{plain_stem(file_name, 40) or 'weights'}-{digest[:8]}"
    others = {k: v for k, v in session.get(OPENED, {}).items() if k != name}
    session[OPENED] = {
        name: (file_name, digest, data),
        **dict(list(others.items())[: limits.opened_weights - 1]),
    }
    return name
