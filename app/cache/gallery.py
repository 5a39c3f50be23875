"""Caches of the Gallery: features, thumbnails and what is computed of them, keyed by file and stamp.

A stamp is the sha256 of features.npz, so that nothing stale is shown after a folder was embedded anew.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        """Read the features and what is known of each photo."""
        return _photos(self)


# What all that is computed of a folder depends on.
_KEYS: dict[str | type[Any], Callable[[Any], Any]] = {
    Gallery: lambda gallery: (str(gallery.out), gallery.stamp)
}


def find_gallery(folder: Path, weights: str, backbone: Backbone, size: int) -> Gallery:
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


@st.cache_resource(max_entries=4, show_spinner="Reading the features …", hash_funcs=_KEYS)
def _photos(gallery: Gallery) -> FolderFeatures:
    return read_features(gallery.out)


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=_KEYS)
def thumbnails(gallery: Gallery) -> list[bytes]:
    """Read the photos as JPEG bytes, squares of 96 px."""
    return read_thumbnails(gallery.out)


def photo(gallery: Gallery, row: int) -> Photo:
    """Read a photo of the folder as it is on disk now.

    Raises:
        UserError: it cannot be read any more.
    """
    name = gallery.photos.paths[row]
    try:
        data = (gallery.folder / name).read_bytes()
    except OSError as error:
        raise UserError(
            f"{name} cannot be read ({error.strerror or error}); look for changes in the folder"
        ) from error
    return Photo(name=name, file_name=name, data=data, id=content_id(data), alt=name)


def sheet_addresses(gallery: Gallery) -> list[str]:
    """Return the addresses of the thumbnails' sheets; the browser fetches those it needs."""
    found = [
        media.address(sheet, "image/jpeg", f"{gallery.stamp}-{number}")
        for number, sheet in enumerate(_sheets(gallery))
    ]
    return [address for address in found if address is not None]


@st.cache_resource(max_entries=2, show_spinner="Laying out the thumbnails …", hash_funcs=_KEYS)
def _sheets(gallery: Gallery) -> list[bytes]:
    jpegs, step = thumbnails(gallery), SHEET_COLUMNS**2
    return [_sheet(jpegs[start : start + step]) for start in range(0, len(jpegs), step)]


def _sheet(jpegs: Sequence[bytes]) -> bytes:
    side = SHEET_COLUMNS * THUMBNAIL_PX
    page = Image.new("RGB", (side, side))
    for number, jpeg in enumerate(jpegs):
        row, column = divmod(number, SHEET_COLUMNS)
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as picture:
            page.paste(picture, (column * THUMBNAIL_PX, row * THUMBNAIL_PX))
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def points(
    gallery: Gallery, *, progress: Callable[[float, str], None] | None = None, **options: Any
) -> Projection:
    """Project the photos to points as `dino.project`; kept in the session, since t-SNE draws its progress."""
    kept = st.session_state.setdefault(_POINTS, {})
    key = (gallery.stamp, *sorted(options.items()))
    if key not in kept:
        while len(kept) >= _MAX_POINTS:
            kept.pop(next(iter(kept)))
        kept[key] = project(gallery.photos.features, progress=progress, **options)
    return kept[key]


def has_points(gallery: Gallery, **options: Any) -> bool:
    """Tell whether `points` would answer at once."""
    return (gallery.stamp, *sorted(options.items())) in st.session_state.get(_POINTS, {})


@st.cache_data(max_entries=16, show_spinner="Finding clusters …", hash_funcs=_KEYS)
def clusters(gallery: Gallery, k: int) -> Clusters:
    """Group the photos by k-means."""
    return kmeans(gallery.photos.features, k=k)


@st.cache_data(max_entries=16, show_spinner="Looking for near-duplicates …", hash_funcs=_KEYS)
def duplicates(gallery: Gallery, threshold: float) -> list[DuplicateGroup]:
    """Find groups of near-duplicates."""
    return near_duplicates(gallery.photos.features, threshold=threshold)


@st.cache_data(max_entries=32, show_spinner="Measuring k-NN …", hash_funcs=_KEYS)
def accuracy(gallery: Gallery, k: int) -> FolderAccuracy:
    """Measure the folder's k-NN accuracy.

    Raises:
        UserError: it has no classes.
    """
    return folder_accuracy(gallery.photos, k=k)


@st.cache_resource(max_entries=4, show_spinner="Comparing …", hash_funcs=_KEYS)
def comparison(before: Gallery, after: Gallery) -> Comparison:
    """Compare the ten nearest of the same photos under both weights."""
    return compare(before.photos, after.photos, k=10)
