"""Small files that others read while they change: seen whole or not at all, and nothing left beside them.

For what may be lost when the machine stops; `dino.system.files.write_atomically` is for what may not.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, get_type_hints

from dino.errors import UserError, WeightsError

if TYPE_CHECKING:
    import numpy as np

Record = TypeVar("Record")
File = tuple[str, bytes]


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file through a temporary name.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, or nothing of it.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    data = f"{line}\n".encode()
    with path.open("ab", buffering=0) as file:
        before = file.seek(0, 2)
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            file.truncate(before)
            raise


def parse_json(text: str | bytes) -> Any:
    """`json.loads`.

    Raises:
        ValueError: not JSON, not UTF-8, or nested too deep.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an NPZ; nothing in it is run.

    Raises:
        OSError: there is no file, or it cannot be read.
        ValueError: it is damaged, or no NPZ.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except OSError:
        raise
    except Exception as error:  # zip, zlib, tokenize, numpy and ast, each with types of its own
        raise ValueError(f"it is damaged ({type(error).__name__})") from error
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ValueError("it holds other things than arrays")
    return arrays


def as_record(kind: type[Record], values: Mapping[str, Any]) -> Record:
    """`kind(**values)` of a dataclass whose fields are plain types.

    Raises:
        ValueError: fields it does not have, missing ones, or values of other types.
    """
    expected = get_type_hints(kind)
    for name, value in values.items():
        if name not in expected or not _fits(value, expected[name]):
            raise ValueError(f"its {name} is {value!r:.40}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _fits(value: object, expected: Any) -> bool:
    """Whether a value is of a type, or of one of several; a whole number does for a fraction."""
    if isinstance(value, bool):
        return expected is bool
    whole = isinstance(value, int) and isinstance(0.0, expected)
    return whole or isinstance(value, expected)


def write_atomically(data: bytes, destination: Path) -> None:
    """Write a file that is either the old or the whole new one, whatever happens.

    Raises:
        WeightsError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    temporary = None
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=destination.parent, prefix=f".{destination.name}-", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # temporary files are private; a weights file need not be
        temporary.replace(destination)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise WeightsError(
            f"{destination}: cannot be written ({error.strerror or error}); free space or choose "
            "another folder"
        ) from error


def hash_file(path: Path) -> str:
    """sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_id(data: bytes) -> str:
    """sha256 of a file's bytes, in hex: its identity in caches, folders and links."""
    return hashlib.sha256(data).hexdigest()


def results_name(name: str, photo_sha256: str) -> str:
    """Folder name of a photo's results: `<stem>-<first 8 of its sha256>`."""
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in PurePath(name).stem)
    return f"{plain.strip('.-')[:80] or 'photo'}-{photo_sha256[:8]}"


def npz(arrays: dict[str, object]) -> bytes:
    """Bytes of a compressed .npz of the given arrays, numbers and strings."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{k: np.asarray(v) for k, v in arrays.items()})
    return buffer.getvalue()


def zip_files(files: Iterable[File]) -> bytes:
    """Bytes of a ZIP with fixed times, so that the same content gives the same archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


@contextmanager
def written_whole(destination: Path) -> Iterator[BinaryIO]:
    """A file to write that appears under its name when all of it is on the disk, or not at all."""
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(destination)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{destination}: cannot be written ({error.strerror or error}); free space or choose "
            "another folder"
        ) from error


def write_synced(path: Path, text: str) -> None:
    """Replace a small text file as a whole, and have it on the disk."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none, or half of one."""
    try:
        values = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
