"""Caches of the Gallery: features, thumbnails and what is computed of them, keyed by file and stamp.

A stamp is the sha256 of features.npz, so that nothing stale is shown after a folder was embedded anew.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from app import media
from app.components.hover.component import SHEET_COLUMNS
from app.state.selection import Photo
from dino.errors import UserError
from dino.features.clusters import Clusters, kmeans
from dino.features.folder.comparison import Comparison, FolderAccuracy, compare, folder_accuracy
from dino.features.folder.files import FEATURES, FolderFeatures, read_features, read_thumbnails
from dino.features.folder.preparation import THUMBNAIL_PX
from dino.features.neighbours import DuplicateGroup, near_duplicates
from dino.features.projections import Projection, project
from dino.model.backbone import Backbone
from dino.system.files import content_id, hash_file
from dino.system.folders import checkpoints_folder

_POINTS, _MAX_POINTS = "gallery_points", 8


@dataclass(frozen=True)
class Gallery:
    """A folder of photos as one network sees it at one size: where the features are kept (`out`), and
    the `stamp` of what is there now; empty where nothing is."""

    folder: Path
    out: Path
    weights: str
    size: int
    precision: str
    stamp: str

    @property
    def photos(self) -> FolderFeatures:
        return _photos(str(self.out), self.stamp)


def gallery(folder: Path, weights: str, backbone: Backbone, size: int) -> Gallery:
    """Find where the features of a folder are kept, below the cache in the checkpoints folder."""
    named = f"{folder.absolute()}\n{backbone.fingerprint}\n{size}"
    out = (checkpoints_folder() / "cache" / "folders" / content_id(named.encode())[:16]).absolute()
    path = out / FEATURES
    stamp = ""
    if path.exists():
        status = path.stat()
        stamp = _stamp(str(path), status.st_mtime_ns, status.st_size)
    return Gallery(folder, out, weights, size, backbone.precision, stamp)


@st.cache_data(max_entries=64, show_spinner=False)
def _stamp(path: str, mtime_ns: int, num_bytes: int) -> str:
    return hash_file(Path(path))


@st.cache_resource(max_entries=4, show_spinner="Reading the features …")
def _photos(out: str, stamp: str) -> FolderFeatures:
    return read_features(out)


@st.cache_resource(max_entries=4, show_spinner=False)
def _thumbnails(out: str, stamp: str) -> list[bytes]:
    return read_thumbnails(Path(out))


def thumbnail(of: Gallery, row: int) -> bytes:
    """Return the JPEG bytes of a photo, a square of 96 px."""
    return _thumbnails(str(of.out), of.stamp)[row]


def photo(of: Gallery, row: int) -> Photo:
    """Read a photo of the folder as it is on disk now.

    Raises:
        UserError: it cannot be read any more.
    """
    name = of.photos.paths[row]
    try:
        data = (of.folder / name).read_bytes()
    except OSError as error:
        raise UserError(
            f"{name} cannot be read ({error.strerror or error}); look for changes in the folder"
        ) from error
    return Photo(name=name, file_name=name, data=data, id=content_id(data), alt=name)


def sheet_addresses(of: Gallery) -> list[str]:
    """Return the addresses of the thumbnails' sheets; the browser fetches those it needs."""
    sheets = enumerate(_sheets(str(of.out), of.stamp))
    found = (media.address(sheet, "image/jpeg", f"{of.stamp}-{number}") for number, sheet in sheets)
    return [address for address in found if address is not None]


@st.cache_resource(max_entries=2, show_spinner="Laying out the thumbnails …")
def _sheets(out: str, stamp: str) -> list[bytes]:
    thumbnails = _thumbnails(out, stamp)
    step = SHEET_COLUMNS**2
    return [_sheet(thumbnails[start : start + step]) for start in range(0, len(thumbnails), step)]


def _sheet(thumbnails: Sequence[bytes]) -> bytes:
    side = SHEET_COLUMNS * THUMBNAIL_PX
    page = Image.new("RGB", (side, side))
    for number, jpeg in enumerate(thumbnails):
        row, column = divmod(number, SHEET_COLUMNS)
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as picture:
            page.paste(picture, (column * THUMBNAIL_PX, row * THUMBNAIL_PX))
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def points(
    of: Gallery, *, progress: Callable[[float, str], None] | None = None, **options: Any
) -> Projection:
    """Project the photos to points as `dino.project`; kept in the session, since t-SNE draws its progress."""
    kept = st.session_state.setdefault(_POINTS, {})
    key = (of.stamp, *sorted(options.items()))
    if key not in kept:
        while len(kept) >= _MAX_POINTS:
            kept.pop(next(iter(kept)))
        kept[key] = project(of.photos.features, progress=progress, **options)
    return kept[key]


def has_points(of: Gallery, **options: Any) -> bool:
    """Tell whether `points` would answer at once."""
    return (of.stamp, *sorted(options.items())) in st.session_state.get(_POINTS, {})


def clusters(of: Gallery, k: int) -> Clusters:
    """Group the photos by k-means."""
    return _clusters(str(of.out), of.stamp, k)


@st.cache_data(max_entries=16, show_spinner="Finding clusters …")
def _clusters(out: str, stamp: str, k: int) -> Clusters:
    return kmeans(_photos(out, stamp).features, k=k)


def duplicates(of: Gallery, threshold: float) -> list[DuplicateGroup]:
    """Find groups of near-duplicates."""
    return _duplicates(str(of.out), of.stamp, threshold)


@st.cache_data(max_entries=16, show_spinner="Looking for near-duplicates …")
def _duplicates(out: str, stamp: str, threshold: float) -> list[DuplicateGroup]:
    return near_duplicates(_photos(out, stamp).features, threshold=threshold)


def accuracy(of: Gallery, k: int) -> FolderAccuracy:
    """Measure the folder's k-NN accuracy.

    Raises:
        UserError: it has no classes.
    """
    return _accuracy(str(of.out), of.stamp, k)


@st.cache_data(max_entries=32, show_spinner="Measuring k-NN …")
def _accuracy(out: str, stamp: str, k: int) -> FolderAccuracy:
    return folder_accuracy(_photos(out, stamp), k=k)


def comparison(before: Gallery, after: Gallery, k: int) -> Comparison:
    """Compare the same photos under both weights."""
    return _comparison(str(before.out), before.stamp, str(after.out), after.stamp, k)


@st.cache_resource(max_entries=4, show_spinner="Comparing …")
def _comparison(out_a: str, stamp_a: str, out_b: str, stamp_b: str, k: int) -> Comparison:
    return compare(_photos(out_a, stamp_a), _photos(out_b, stamp_b), k=k)


def rows_by_path(of: Gallery) -> dict[str, int]:
    """Map the path of each photo to its row."""
    return {path: row for row, path in enumerate(of.photos.paths)}


def dates_known(of: Gallery) -> float:
    """Return the share of the photos whose date is from the camera."""
    return float(np.mean([float(source == "exif") for source in of.photos.dated_by] or [0.0]))
