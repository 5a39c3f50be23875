"""What is known of photos so far: parts on disk, each whole or not there, never changed.

A part is one batch: OUT/parts/00000017.npz. Of two that tell of one photo the later one holds, so
that an interrupted run loses one batch at most, and a repeated one adds only what is new.
"""

import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from dino.features.folder.dates import PhotoDate
from dino.system.files import parse_json, read_npz, write_atomically


@dataclass(frozen=True)
class Row:
    """A photo that was looked at: its file, its content, `feature` [D] float32 and `thumbnail` (JPEG);
    or the `problem` that left both out."""

    name: str
    num_bytes: int
    mtime_ns: int
    sha256: str
    date: PhotoDate | None = None
    problem: str = ""
    feature: np.ndarray | None = field(default=None, repr=False)
    thumbnail: bytes = field(default=b"", repr=False)


class PartStore:
    """The parts in a folder; one process writes at a time (see `engine`)."""

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda line: None) -> None:
        self._folder, self._say = folder, say

    def rows(self) -> dict[str, Row]:
        """Every photo by name; a damaged part is named and left out, as if it had never been."""
        rows: dict[str, Row] = {}
        for path in self._paths():
            try:
                rows |= {row.name: row for row in _unpacked(path)}
            except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
                self._say(f"{path}: damaged; its photos are computed again")
        return rows

    def append(self, rows: Iterable[Row]) -> Path:
        """Add a part; it is on the disk when this returns.

        Raises:
            UserError: the disk is full, or the folder cannot be written.
        """
        last = max((int(path.stem) for path in self._paths()), default=0)
        path = self._folder / f"{last + 1:08}.npz"
        write_atomically(_packed(list(rows)), path)
        return path

    def replace(self, rows: Iterable[Row]) -> None:
        """Write all as one part and drop the others; at no time is less on the disk than before."""
        before = self._paths()
        self.append(rows)
        for path in before:
            path.unlink()

    def _paths(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("*.npz") if path.stem.isdecimal())

    def __len__(self) -> int:
        return len(self._paths())


def _packed(rows: Sequence[Row]) -> bytes:
    told = [
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
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        rows=np.frombuffer(json.dumps(told).encode(), dtype=np.uint8),
        features=np.stack(features) if features else np.empty((0, 0), np.float32),
        thumbnails=np.frombuffer(b"".join(row.thumbnail for row in rows), dtype=np.uint8),
    )
    return buffer.getvalue()


def _unpacked(path: Path) -> list[Row]:
    arrays = read_npz(path)
    told = parse_json(arrays["rows"].tobytes())
    features, thumbnails = iter(arrays["features"]), arrays["thumbnails"].tobytes()
    rows, start = [], 0
    for values in told:
        end = start + values.pop("thumbnail_bytes")
        date = values.pop("date")
        rows.append(
            Row(
                **values,
                date=date and PhotoDate(datetime.fromisoformat(date[0]), date[1]),
                feature=None if values["problem"] else next(features),
                thumbnail=thumbnails[start:end],
            )
        )
        start = end
    return rows
