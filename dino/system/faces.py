"""Faces of packages: public names that are imported from their homes on first use.

So `import dino` and the command line's help stay quick, and loading weights does not load training.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str], modules: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's `__getattr__` and `__dir__`.

    Args:
        package: its `__name__`.
        homes: public name → module that it lies in.
        modules: public name → module that is handed on as it is.
    """

    def find(name: str) -> Any:
        if modules and name in modules:
            return importlib.import_module(modules[name])
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *(modules or {})})

    return find, names
