"""Weights: the zoo, how they get here, and every checkpoint layout they come in.

    from dino.weights import ZOO, fetch, load
    backbone = load("dino_vits16")                   # fetched if it is not here
    backbone = load("checkpoint.pth", key="student") # any layout `info` can name

Key prefixes and foreign layouts are known here and nowhere else. Names are imported on first use:
importing this package loads neither torch nor timm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dino.system.faces import lazy_names

if TYPE_CHECKING:
    from dino.system.folders import checkpoints_folder
    from dino.weights.architecture import LoadedModel
    from dino.weights.conversion import convert, info
    from dino.weights.download import verify
    from dino.weights.fetching import (
        FetchResult,
        Source,
        default_source,
        fetch,
        fetch_default,
        find_default,
    )
    from dino.weights.loading import load, load_model
    from dino.weights.zoo import ZOO, ZooEntry

_HOME = {
    "ZOO": "dino.weights.zoo",
    "ZooEntry": "dino.weights.zoo",
    "FetchResult": "dino.weights.fetching",
    "Source": "dino.weights.fetching",
    "checkpoints_folder": "dino.system.folders",
    "default_source": "dino.weights.fetching",
    "fetch": "dino.weights.fetching",
    "fetch_default": "dino.weights.fetching",
    "find_default": "dino.weights.fetching",
    "verify": "dino.weights.download",
    "LoadedModel": "dino.weights.architecture",
    "convert": "dino.weights.conversion",
    "info": "dino.weights.conversion",
    "load": "dino.weights.loading",
    "load_model": "dino.weights.loading",
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


__getattr__, __dir__ = lazy_names(__name__, _HOME)
