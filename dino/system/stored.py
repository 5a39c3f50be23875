"""What we wrote earlier, read back from files that may be damaged, or not ours at all by now.

Whatever is wrong with a file's content is a ValueError, which callers turn into their own sentence;
`json` and NumPy raise about a dozen types besides.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

if TYPE_CHECKING:
    import numpy as np

Record = TypeVar("Record")


def parse_json(text: str | bytes) -> Any:
    """`json.loads`.

    Raises:
        ValueError: not JSON, not UTF-8, or nested too deep.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def read_npz(path: Path) -> "dict[str, np.ndarray]":
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
