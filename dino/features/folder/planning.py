"""Which photos of a folder need the network: the new and the changed ones, and no others."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dino.errors import UserError
from dino.features.folder.dates import file_date
from dino.features.folder.preparation import PhotoFile, PhotoRow
from dino.media.images import find_images
from dino.system.files import hash_file


@dataclass(frozen=True)
class Plan:
    """`todo` files for the network, in order; `kept` names that are as they were; `again` rows of
    files that were only touched or moved; `removed` names that are gone."""

    names: tuple[str, ...]
    todo: tuple[PhotoFile, ...]
    kept: tuple[str, ...]
    again: tuple[PhotoRow, ...]
    removed: tuple[str, ...]

    @property
    def num_known(self) -> int:
        """Count the photos that need no network."""
        return len(self.kept) + len(self.again)

    @property
    def changes(self) -> bool:
        """Whether anything differs from what was known."""
        return bool(self.todo or self.again or self.removed)


def list_photos(root: Path) -> list[PhotoFile]:
    """List the photos below a folder, sorted by path.

    Raises:
        UserError: no such folder, or no photo in it.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; expected a folder of photos, or a ZIP of them")
    files = []
    for path in find_images(root):
        try:
            status = path.stat()
        except OSError:  # a link to nowhere: read as what it is, and named then
            status = os.stat_result((0,) * 10)
        name = path.relative_to(root).as_posix()
        files.append(PhotoFile(name, path, status.st_size, status.st_mtime_ns))
    if not files:
        raise UserError(f"{root} holds no photos; expected PNG, JPEG, WebP or the like in it")
    return files


def make_plan(files: list[PhotoFile], known: Mapping[str, PhotoRow]) -> Plan:
    """Compare a folder with what is known of it.

    A file of the same name, size and time of change is as it was. One of which only the time differs,
    or a new name with the size of a photo that is gone, is read and kept if its sha256 says so.
    """
    names = {file.name for file in files}
    gone = {row.sha256: row for name, row in known.items() if name not in names and row.sha256}
    gone_sizes = {row.num_bytes for row in gone.values()}
    todo, kept, again, unread = [], [], [], []
    for file in files:
        row = known.get(file.name)
        if row and (row.num_bytes, row.mtime_ns) == (file.num_bytes, file.mtime_ns):
            # One that was not read at all may be readable now, at the end, so that the batches before
            # it are those of a run that was not interrupted.
            unread.append(file) if row.problem and not row.sha256 else kept.append(file.name)
            continue
        candidates = {row.sha256: row} if row and row.sha256 else {}
        if file.num_bytes in gone_sizes:
            candidates |= gone
        same = _same_content(file, candidates)
        if same is None:
            todo.append(file)
        else:
            again.append(_renamed(file, same))
    removed = tuple(name for name in known if name not in names)
    todo += unread
    return Plan(tuple(f.name for f in files), tuple(todo), tuple(kept), tuple(again), removed)


def _renamed(file: PhotoFile, row: PhotoRow) -> PhotoRow:
    """Put what is known of some bytes under the name and time their file has now."""
    dated_by_file = row.date is not None and row.date.source == "file"
    date = file_date(file.mtime_ns / 1e9) if dated_by_file else row.date
    return replace(row, name=file.name, mtime_ns=file.mtime_ns, date=date)


def _same_content(file: PhotoFile, candidates: Mapping[str, PhotoRow]) -> PhotoRow | None:
    """Find the row of the same bytes, if any; nothing is read where no size agrees."""
    if not any(row.num_bytes == file.num_bytes for row in candidates.values()):
        return None
    try:
        return candidates.get(hash_file(file.path))
    except OSError:
        return None
