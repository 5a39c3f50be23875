"""Weights: the zoo, every foreign checkpoint layout, and how they get here.

    from dino.weights import ZOO, fetch, load
    backbone = load("dino_vits16")                   # fetched if it is not here
    backbone = load("checkpoint.pth", key="student") # any layout `info` can name

Key prefixes and foreign layouts are known here and nowhere else. Names are imported on first use:
importing this package loads neither torch nor timm.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dino.weights.conversion import convert, info
    from dino.weights.fetching import (
        FetchResult,
        Source,
        checkpoints_folder,
        default_source,
        fetch,
        fetch_default,
        find_default,
    )
    from dino.weights.hashes import verify
    from dino.weights.loading import LoadedModel, load, load_model
    from dino.weights.zoo import ZOO, ZooEntry

_HOME = {
    "ZOO": "zoo",
    "ZooEntry": "zoo",
    "FetchResult": "fetching",
    "Source": "fetching",
    "checkpoints_folder": "fetching",
    "default_source": "fetching",
    "fetch": "fetching",
    "fetch_default": "fetching",
    "find_default": "fetching",
    "verify": "hashes",
    "LoadedModel": "loading",
    "convert": "conversion",
    "info": "conversion",
    "load": "loading",
    "load_model": "loading",
}

__all__ = [
    "ZOO",
    "FetchResult",
    "LoadedModel",
    "Source",
    "ZooEntry",
    "checkpoints_folder",
    "convert",
    "default_source",
    "fetch",
    "fetch_default",
    "find_default",
    "info",
    "load",
    "load_model",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dino.weights' has no attribute {name!r}")
    return getattr(importlib.import_module(f"dino.weights.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
