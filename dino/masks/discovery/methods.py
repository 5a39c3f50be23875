"""The ways to find objects without labels, by their names."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dino.errors import UserError
from dino.masks.discovery.lost import lost
from dino.masks.discovery.maskcut import DEFAULT_OBJECTS, maskcut
from dino.masks.discovery.results import Discovery, table_bytes
from dino.masks.discovery.tokencut import tokencut

_METHODS: dict[str, Callable[..., Discovery]] = {
    "lost": lost,
    "tokencut": tokencut,
    "maskcut": maskcut,
}
METHODS = tuple(_METHODS)
__all__ = [
    "DEFAULT_OBJECTS",
    "METHODS",
    "Discovery",
    "check_method",
    "discover",
    "lost",
    "maskcut",
    "table_bytes",
    "tokencut",
]


def discover(
    keys: NDArray[np.floating], grid: tuple[int, int], *, method: str = "tokencut", **options: Any
) -> Discovery:
    """Find objects by one of the `METHODS`; options are those of its function.

    Args:
        keys: [N,D], row by row over the grid.
        grid: (h, w) in patches.
    Raises:
        UserError: an unknown method, keys that are not finite or do not fill the grid, or too many
            patches.
    """
    check_method(method)
    return _METHODS[method](keys, grid, **options)


def check_method(method: str) -> None:
    """Raise a `UserError` unless `method` is one of `METHODS`."""
    if method not in _METHODS:
        raise UserError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
