"""Photos out of a ZIP that somebody else packed, into a folder of their own.

    unpack_photos("photos.zip", "checkpoints/data/photos").num_photos

Nothing in the archive is trusted: names are checked before anything is written, sizes are counted
while reading, and a refused archive leaves nothing behind.
"""

import errno
import stat
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dino.errors import UserError
from dino.media.images import IMAGE_SUFFIXES
from dino.system.files import make_folder_atomically
from dino.system.words import counted

MAX_FILES = 20_000
MAX_BYTES = 8 * 2**30
# Photos hardly shrink in a ZIP; flat drawings shrink tenfold, bombs a thousandfold.
MAX_RATIO = 100
_MAX_NAME_BYTES = 255  # of one part of a path, as file systems have it
_RATIO_FROM_BYTES = 2**26  # little archives may well hold flat pictures
_ENTRIES_PER_FILE = 5  # of other files beside the photos, before the list alone is too long
_CHUNK = 2**20


@dataclass(frozen=True)
class Unpacked:
    """What was taken: photos written below `folder`, and files left out because they are none."""

    folder: Path
    num_photos: int
    num_skipped: int


@dataclass
class _Allowance:
    """Bytes that may still be unpacked."""

    left: int
    limit: str

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise UserError(f"it unpacks to more than {self.limit}; split it, or resize the photos")


def unpack_photos(
    zip_file: str | Path | IO[bytes],
    folder: str | Path,
    *,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
) -> Unpacked:
    """Unpack the photos of a ZIP; sub-folders stay, one that holds all of them is taken off.

    Args:
        folder: where they go; must not exist. It appears when all is written, or not at all.
        max_files: photos taken at most; max_bytes: their size unpacked.
        max_ratio: unpacked over packed size, where more than 64 MB are unpacked.
    Raises:
        UserError: no ZIP or a damaged or encrypted one, names that lead elsewhere, links, too many
            or too large files, no photos, or a folder that exists.
    """
    folder = Path(folder)
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder.name} exists already; choose another name")
    try:
        with zipfile.ZipFile(zip_file) as archive:
            return _unpack(archive, folder, max_files, max_bytes, max_ratio)
    except UserError as error:
        raise UserError(f"the ZIP was not unpacked: {error}") from error
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise UserError(
            f"the ZIP cannot be read ({error}); pack the photos again as a plain ZIP"
        ) from error


def _unpack(
    archive: zipfile.ZipFile, folder: Path, max_files: int, max_bytes: int, max_ratio: float
) -> Unpacked:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > max_files * _ENTRIES_PER_FILE:
        raise UserError(f"it lists {len(entries):,} files; at most {max_files:,} photos are taken")
    parts = {entry: _check_entry(entry) for entry in entries}
    photos = {entry: path for entry, path in parts.items() if _is_photo(path)}
    if not photos:
        raise UserError(
            f"it holds no photos among {counted(len(entries), 'file')}; expected PNG, JPEG …"
        )
    if len(photos) > max_files:
        raise UserError(f"it holds {len(photos):,} photos; at most {max_files:,} are taken")
    places = _without_common_top(photos)
    _check_places(places.values())
    allowance = _allowance(archive, max_bytes, max_ratio)
    try:
        with make_folder_atomically(folder) as unfinished:
            for entry, place in places.items():
                _write(archive, entry, unfinished.joinpath(*place), allowance)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError("the disk is full; free some space first") from error
        raise UserError(f"it could not be written ({error.strerror or error})") from error
    return Unpacked(folder, len(photos), len(entries) - len(photos))


def _check_entry(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """Check an entry: the parts of its path, if it stays inside and is a plain file."""
    name = entry.orig_filename.replace("\\", "/")
    shown = repr(name[:80])
    if "\0" in name:
        raise UserError(f"the name {shown} holds a null byte; pack the photos again")
    if name.startswith("/") or name[1:2] == ":":
        raise UserError(f"{shown} is an absolute path; pack the photos with relative ones")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise UserError(f"{shown} leads out of the folder; pack the photos without '..'")
    if any(len(part.encode(errors="surrogatepass")) > _MAX_NAME_BYTES for part in parts):
        raise UserError(f"the name {shown}… is longer than {_MAX_NAME_BYTES} bytes; shorten it")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        what = "a link" if kind == stat.S_IFLNK else "no plain file"
        raise UserError(f"{shown} is {what}; pack the photos themselves")
    if entry.flag_bits & 1:
        raise UserError(f"{shown} is encrypted; pack the photos without a password")
    return parts


def _is_photo(parts: tuple[str, ...]) -> bool:
    """Whether an entry is a photo: in no hidden folder, not hidden, and with a suffix that is known."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return bool(parts) and not hidden and parts[-1].lower().endswith(IMAGE_SUFFIXES)


def _without_common_top(
    photos: dict[zipfile.ZipInfo, tuple[str, ...]],
) -> dict[zipfile.ZipInfo, tuple[str, ...]]:
    tops = {parts[0] for parts in photos.values()}
    if len(tops) > 1 or any(len(parts) == 1 for parts in photos.values()):
        return photos
    return {entry: parts[1:] for entry, parts in photos.items()}


def _check_places(places: Iterable[tuple[str, ...]]) -> None:
    """Refuse two files of one name, and a file where another needs a folder."""
    files: set[tuple[str, ...]] = set()
    folders: set[tuple[str, ...]] = set()
    for place in places:
        if place in files:
            raise UserError(f"it holds {'/'.join(place)[:80]!r} twice; pack the photos again")
        files.add(place)
        folders |= {place[:depth] for depth in range(1, len(place))}
    if both := files & folders:
        raise UserError(f"{'/'.join(min(both))[:80]!r} is both file and folder; pack again")


def _allowance(archive: zipfile.ZipFile, max_bytes: int, max_ratio: float) -> _Allowance:
    """Take the smaller of the cap and of what so small an archive may honestly hold."""
    assert archive.fp is not None
    archive.fp.seek(0, 2)
    packed = archive.fp.tell()
    by_ratio = max(int(packed * max_ratio), _RATIO_FROM_BYTES)
    if by_ratio < max_bytes:
        return _Allowance(by_ratio, f"{max_ratio:g} times its own size, as no photos do")
    return _Allowance(max_bytes, f"{max_bytes / 2**30:.3g} GB")


def _write(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, allowance: _Allowance
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as packed, path.open("xb") as file:
        while chunk := packed.read(_CHUNK):
            allowance.spend(len(chunk))
            file.write(chunk)
