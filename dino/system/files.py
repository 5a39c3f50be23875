"""Write files that are seen whole or not at all, and read our own back whatever became of them.

`open_atomically` writes beside the file and renames; `replace_file` does so with a content at hand, and
`write_atomically` for results, whose errors are sentences for the user. Durable ones are on the disk before
they get their name, and so outlive a power failure; the others, such as progress, only never look half
written.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, get_type_hints

from dino.errors import UserError

if TYPE_CHECKING:
    import numpy as np

Record = TypeVar("Record")
File = tuple[str, bytes]


@contextmanager
def open_atomically(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a file to write that appears under its name when it is closed, or not at all.

    Args:
        durable: have its content on the disk (fsync) before it gets the name. The rename itself may
            still be lost with the power; then the old file is there, whole.
    Raises:
        OSError: it cannot be written; the old one stays, and nothing is left beside it.
    """
    part = path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def replace_file(path: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Write a whole file; arguments and errors as `open_atomically`."""
    with open_atomically(path, durable=durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def make_folder_atomically(folder: Path) -> Iterator[Path]:
    """Make a folder that appears under its name with all that is written into it, or not at all.

    Yields:
        The folder to write into meanwhile, hidden beside it.
    Raises:
        UserError: the folder it is to be in cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unfinished-"))
    except OSError as error:
        raise UserError(
            f"{folder.parent} cannot be written ({error.strerror}); choose another folder"
        ) from error
    try:
        yield unfinished
        unfinished.chmod(0o755)  # mkdtemp made it for its owner alone
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_atomically(data: bytes, destination: Path) -> None:
    """Write a result durably, with the folders above it.

    Raises:
        UserError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        replace_file(destination, data, durable=True)
    except OSError as error:
        raise write_error(destination, error) from error


def write_error(path: Path, error: OSError) -> UserError:
    """Say in a sentence that a file cannot be written."""
    return UserError(
        f"{path}: cannot be written ({error.strerror or error}); free space or choose another folder"
    )


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
    """Parse JSON as `json.loads` does.

    Raises:
        ValueError: not JSON, not UTF-8, or nested too deep.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an NPZ; nothing in it is run.

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
    """Make `kind(**values)`, a dataclass whose fields are plain types.

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
    """Tell whether a value is of a type, or of one of several; a whole number does for a fraction."""
    if isinstance(value, bool):
        return expected is bool
    whole = isinstance(value, int) and isinstance(0.0, expected)
    return whole or isinstance(value, expected)


def hash_file(path: Path) -> str:
    """Compute the sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_id(data: bytes) -> str:
    """Compute the sha256 of bytes, in hex: their identity in caches, folders and links."""
    return hashlib.sha256(data).hexdigest()


def results_name(name: str, photo_sha256: str) -> str:
    """Name the folder of a photo's results: `<stem>-<first 8 of its sha256>`."""
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in PurePath(name).stem)
    return f"{plain.strip('.-')[:80] or 'photo'}-{photo_sha256[:8]}"


def npz(arrays: Mapping[str, object], *, compressed: bool = True) -> bytes:
    """Pack arrays, numbers and strings as the bytes of an .npz."""
    import numpy as np

    buffer = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(buffer, allow_pickle=False, **{name: np.asarray(value) for name, value in arrays.items()})
    return buffer.getvalue()


def zip_files(files: Iterable[File], *, compressed: bool = True) -> bytes:
    """Pack files as the bytes of a ZIP with fixed times: the same content gives the same archive.

    Args:
        compressed: False puts files together that are packed already, such as photos.
    """
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None where there is none, or half of one."""
    try:
        values = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
