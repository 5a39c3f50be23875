"""The folder that an embedding writes to: one writer, one set of settings, and what is known so far.

OUT/{settings.json, .lock, photos-<sha256 of the ZIP>/, parts/}

A part is one batch, OUT/parts/00000017.npz: whole or not there, and never changed. Of two that hold one
photo the later one counts, so that an interrupted run loses one batch at most, and a repeated one adds
only what is new.
"""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from dino.errors import UserError
from dino.features.data import whole_patches
from dino.features.folder.dates import PhotoDate
from dino.features.folder.preparation import CROP, PhotoRow, Preparation
from dino.media.archive import unpack_photos
from dino.model.backbone import Backbone
from dino.system.files import hash_file, npz, parse_json, read_json, read_npz, write_atomically

SETTINGS = "settings.json"
# To be raised when the same settings come to mean other numbers.
_VERSION = 3


class PartStore:
    """The parts in a folder; one process writes at a time (see `engine`)."""

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda line: None) -> None:
        self._folder, self._say = folder, say

    def rows(self) -> dict[str, PhotoRow]:
        """Read every photo by name; a damaged part is named and left out, as if it had never been."""
        rows: dict[str, PhotoRow] = {}
        for path in self._paths():
            try:
                rows |= {row.name: row for row in _unpacked(path)}
            except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
                self._say(f"{path}: damaged; its photos are computed again")
        return rows

    def append(self, rows: Iterable[PhotoRow]) -> Path:
        """Add a part; it is on the disk when this returns.

        Raises:
            UserError: the disk is full, or the folder cannot be written.
        """
        last = max((int(path.stem) for path in self._paths()), default=0)
        path = self._folder / f"{last + 1:08}.npz"
        write_atomically(_packed(list(rows)), path)
        return path

    def replace(self, rows: Iterable[PhotoRow]) -> None:
        """Write all as one part and drop the others; at no time is less on the disk than before."""
        before = self._paths()
        self.append(rows)
        for path in before:
            path.unlink()

    def _paths(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("*.npz") if path.stem.isdecimal())

    def __len__(self) -> int:
        return len(self._paths())


def _packed(rows: Sequence[PhotoRow]) -> bytes:
    entries = [
        {
            "name": row.name,
            "num_bytes": row.num_bytes,
            "mtime_ns": row.mtime_ns,
            "sha256": row.sha256,
            "date": row.date and [row.date.when.isoformat(), row.date.source],
            "problem": row.problem,
            "thumbnail_bytes": len(row.thumbnail),
        }
        for row in rows
    ]
    features = [row.feature for row in rows if row.feature is not None]
    arrays = {
        "rows": np.frombuffer(json.dumps(entries).encode(), dtype=np.uint8),
        "features": np.stack(features) if features else np.empty((0, 0), np.float32),
        "thumbnails": np.frombuffer(b"".join(row.thumbnail for row in rows), dtype=np.uint8),
    }
    return npz(arrays, compressed=False)


def _unpacked(path: Path) -> list[PhotoRow]:
    arrays = read_npz(path)
    entries = parse_json(arrays["rows"].tobytes())
    features, thumbnails = iter(arrays["features"]), arrays["thumbnails"].tobytes()
    rows, start = [], 0
    for values in entries:
        end = start + values.pop("thumbnail_bytes")
        date = values.pop("date")
        rows.append(
            PhotoRow(
                **values,
                date=date and PhotoDate(datetime.fromisoformat(date[0]), date[1]),
                feature=None if values["problem"] else next(features),
                thumbnail=thumbnails[start:end],
            )
        )
        start = end
    return rows


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold the folder `out`, made if it is not there, until the end.

    Raises:
        UserError: another process holds it, or it cannot be made.
    """
    import fcntl

    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("w")
    except OSError as error:
        raise UserError(
            f"{out} cannot be made a folder ({error.strerror}); choose another"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go by the system with the file
        except BlockingIOError:
            raise UserError(
                f"{out} is being written by another embedding; wait for it, or choose another --out"
            ) from None
        yield


def kept_precision(out: Path) -> str | None:
    """Read the arithmetic that features in `out` were made with; None where there are none."""
    precision = (read_json(out / SETTINGS) or {}).get("precision")
    return precision if precision in ("fp32", "bf16") else None


def read_or_create_settings(
    out: Path, backbone: Backbone, preparation: Preparation
) -> dict[str, Any]:
    """Read the settings `out` was made with, or write those it is made with from now on."""
    settings = {
        "version": _VERSION,
        "fingerprint": backbone.fingerprint,
        "weights": backbone.name,
        "weights_sha256": backbone.weights_sha256,
        "precision": backbone.precision,
        **asdict(preparation),
    }
    if preparation.fit == CROP:
        settings["size"] = whole_patches(preparation.size, backbone.patch_size)
    before = read_json(out / SETTINGS)
    if before is not None and before != settings:
        changed = [name for name in settings if before.get(name) != settings[name]]
        words = ", ".join(
            f"{name} {before.get(name)!s:.12} instead of {settings[name]!s:.12}" for name in changed
        )
        raise UserError(
            f"{out} holds features made with {words}; give another --out, or delete that folder"
        )
    if before is None:
        write_atomically(json.dumps(settings).encode(), out / SETTINGS)
    return settings


def find_photo_root(photos: Path, out: Path) -> Path:
    """Find the folder of the photos: itself, or where a ZIP is unpacked, named by its content; others are
    removed."""
    if not (photos.is_file() and zipfile.is_zipfile(photos)):
        return photos
    folder = out / f"photos-{hash_file(photos)[:16]}"
    if not folder.is_dir():
        unpack_photos(photos, folder)
    for other in out.glob("photos-*"):
        if other != folder:
            shutil.rmtree(other)
    return folder
