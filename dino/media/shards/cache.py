"""The index of shards kept for the next time, and files written as a whole."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from dino.media.shards.indexing import COLUMNS, build_index
from dino.system.files import open_atomically

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
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        with open_atomically(path) as file:
            np.savez(file, allow_pickle=False, **columns)
    return columns
