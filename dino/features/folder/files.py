"""OUT/features.npz, OUT/features.parquet and OUT/thumbnails.npz: written whole, read back checked.

with numpy.load("out/features.npz") as file: file["features"], file["paths"], file["labels"]
pandas.read_parquet("out/features.parquet")
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dino.errors import UserError
from dino.features.folder.preparation import PhotoRow
from dino.system.files import npz, read_npz, write_atomically

FEATURES, PARQUET, THUMBNAILS = "features.npz", "features.parquet", "thumbnails.npz"
NO_PARQUET = (
    "features.parquet was not written, since pyarrow is not installed; features.npz holds the same, "
    "or `pip install pyarrow` and run this again"
)
_SPLITS = {"train", "val", "test"}


@dataclass(frozen=True)
class FolderFeatures:
    """Features [M,D] float32 of a folder's photos and what is known of each.

    `paths` below the folder, `labels` sub-folders ("" where there are none), `sha256` of the files,
    `dates` [M] datetime64[s] and `dated_by` ("exif" or "file"); `weights_sha256` and `size` px, of the
    network that made them.
    """

    features: np.ndarray
    paths: tuple[str, ...]
    labels: tuple[str, ...]
    sha256: tuple[str, ...]
    dates: np.ndarray
    dated_by: tuple[str, ...]
    weights_sha256: str
    size: int

    def __len__(self) -> int:
        return len(self.paths)


def labels_of(paths: Sequence[str]) -> tuple[str, ...]:
    """Find the sub-folder of each photo, or "" for all where a photo lies in none.

    Below nothing but train/, val/ and test/ it is the sub-folder of those.
    """
    parts = [PurePosixPath(path).parts for path in paths]
    depth = 1 if is_split(paths) else 0
    if any(len(part) < depth + 2 for part in parts):
        return ("",) * len(parts)
    return tuple(part[depth] for part in parts)


def is_split(paths: Sequence[str]) -> bool:
    """Whether the photos lie in sub-folders of train/ and val/ (or test/)."""
    parts = [PurePosixPath(path).parts for path in paths]
    tops = {part[0] for part in parts}
    return len(tops) > 1 and tops <= _SPLITS and all(len(part) > 2 for part in parts)


def write_features(out: Path, rows: Sequence[PhotoRow], settings: dict[str, Any]) -> bool:
    """Write the three files for readable photos; False where pyarrow is missing for the parquet.

    Args:
        settings: what the features were made with, `weights_sha256` and `size` among them.
    """
    found = [row.feature for row in rows if row.feature is not None]
    features = np.stack(found) if found else np.empty((0, 0), np.float32)
    paths = [row.name for row in rows]
    labels, sha256 = labels_of(paths), [row.sha256 for row in rows]
    dates = np.array([row.date and row.date.when for row in rows], dtype="datetime64[s]")
    dated_by = [row.date.source if row.date else "" for row in rows]
    about = {
        "weights_sha256": settings["weights_sha256"],
        "size": settings["size"],
        "settings": json.dumps(settings),
    }
    arrays = {
        "features": features,
        "paths": np.array(paths, dtype=str),
        "labels": np.array(labels, dtype=str),
        "sha256": np.array(sha256, dtype=str),
        "dates": dates,
        "dated_by": np.array(dated_by, dtype=str),
    }
    write_atomically(npz(arrays | about, compressed=False), out / FEATURES)
    thumbnails = {
        "jpegs": np.frombuffer(b"".join(row.thumbnail for row in rows), dtype=np.uint8),
        "ends": np.cumsum([len(row.thumbnail) for row in rows], dtype=np.int64),
        "paths": arrays["paths"],
    }
    write_atomically(npz(thumbnails, compressed=False), out / THUMBNAILS)
    columns = {
        "path": paths,
        "label": labels,
        "sha256": sha256,
        "date": dates,
        "dated_by": dated_by,
    }
    metadata = {name: str(value) for name, value in about.items()}
    return _write_parquet(out / PARQUET, features, columns, metadata)


def read_features(place: str | Path) -> FolderFeatures:
    """Read features.npz, or the one in a folder.

    Raises:
        UserError: not there, or not what `python -m dino embed` writes.
    """
    path = Path(place)
    path = path / FEATURES if path.is_dir() else path
    try:
        arrays = read_npz(path)
        return FolderFeatures(
            features=arrays["features"],
            paths=tuple(arrays["paths"].tolist()),
            labels=tuple(arrays["labels"].tolist()),
            sha256=tuple(arrays["sha256"].tolist()),
            dates=arrays["dates"],
            dated_by=tuple(arrays["dated_by"].tolist()),
            weights_sha256=str(arrays["weights_sha256"]),
            size=int(arrays["size"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read as features ({error}); expected a file that `python -m dino embed` "
            "wrote: make it again"
        ) from error


def read_thumbnails(out: Path) -> list[bytes]:
    """Read the JPEG bytes of each photo in the order of features.npz, squares of 96 px.

    Raises:
        UserError: not there, or damaged.
    """
    try:
        arrays = read_npz(out / THUMBNAILS)
        jpegs, ends = arrays["jpegs"].tobytes(), [0, *arrays["ends"].tolist()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{out / THUMBNAILS} cannot be read ({error}); embed again") from error
    return [jpegs[start:end] for start, end in pairwise(ends)]


def _write_parquet(
    path: Path, features: np.ndarray, columns: dict[str, Any], metadata: dict[str, str]
) -> bool:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        path.unlink(missing_ok=True)  # one of an earlier run would not match
        return False
    width = max(features.shape[1], 1)
    flat = pyarrow.array(features.astype(np.float32).ravel())
    table = pyarrow.table(
        {**columns, "features": pyarrow.FixedSizeListArray.from_arrays(flat, width)}
    )
    buffer = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata(metadata), buffer)
    write_atomically(buffer.getvalue(), path)
    return True
