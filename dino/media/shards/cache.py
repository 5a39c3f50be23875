"""The index of shards kept for the next time, and files written as a whole."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dino.errors import UserError
from dino.media.shards.indexing import COLUMNS, build_index

_CACHE_VERSION = 1


def cached_index(shards: Sequence[Path], cache: Path) -> dict[str, np.ndarray]:
    """The index from the cache folder, made and kept there if it is not there or damaged.

    Where nothing can be written, the index is made all the same: what is lost is time.
    """
    facts = [(str(path.absolute()), path.stat()) for path in shards]
    key = json.dumps([_CACHE_VERSION, [(p, s.st_size, s.st_mtime_ns) for p, s in facts]])
    path = cache / f"shards-{hashlib.sha256(key.encode()).hexdigest()}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in COLUMNS}
    except Exception:  # absent, or damaged: zip, zlib and numpy raise about as many types
        columns = build_index(shards)
    with suppress(UserError), written_whole(path) as file:
        np.savez(file, allow_pickle=False, **columns)
    return columns


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
