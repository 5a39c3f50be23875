"""The ground truth of revisited Oxford and Paris, read from its pickle without running anything.

    truth = read_ground_truth("roxford5k/gnd_roxford5k.pkl")       # or a .json of the same structure
    truth.images, truth.queries[0].name, truth.queries[0].box, truth.protocols()["medium"]

A pickle is a program. Here it may build lists, dicts, tuples, numbers and texts, and NumPy arrays by
stand-ins of ours: nothing a file names is ever called, NumPy's own unpickling included.
"""

import io
import math
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dino.errors import UserError
from dino.evaluation.retrieval import Truth
from dino.system.files import parse_json

# What counts as found, and what is passed over. Source: Radenović et al. 2018, section 3.1.
PROTOCOLS = {
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}
_EXPECTED = "expected imlist and qimlist (names of photos) and gnd (for each query bbx, easy, hard and junk)"
_LARGEST_BYTES = 64_000_000


@dataclass(frozen=True)
class Query:
    """A photo's name, the box of it that asks (left, top, right, bottom in px; None: all of it), and
    the rows of the database that are easy, hard or junk."""

    name: str
    box: tuple[float, float, float, float] | None
    rows: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class GroundTruth:
    """Names of the database's photos, and the queries."""

    images: tuple[str, ...]
    queries: tuple[Query, ...]

    def protocols(self) -> dict[str, tuple[Truth, ...]]:
        """Sort out what each query should find by protocol: easy, medium and hard."""
        return {
            name: tuple(
                Truth(_joined(query.rows, ok), _joined(query.rows, junk)) for query in self.queries
            )
            for name, (ok, junk) in PROTOCOLS.items()
        }


def read_ground_truth(path: str | Path) -> GroundTruth:
    """Read and check a `gnd_*.pkl`, or a JSON of the same structure.

    Raises:
        UserError: a file that cannot be read, that wants more than plain data, or is something else.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); expected the benchmark's gnd_*.pkl"
        ) from error
    if len(data) > _LARGEST_BYTES:
        raise UserError(
            f"{path} has {len(data):,} bytes, expected a ground truth of {_LARGEST_BYTES:,} at most"
        )
    document = _read_json(path, data) if path.suffix == ".json" else _unpickle(path, data)
    try:
        return _ground_truth(document)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(
            f"{path} is no ground truth ({type(error).__name__}: {error}); {_EXPECTED}"
        ) from error


def _joined(rows: dict[str, tuple[int, ...]], kinds: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(row for kind in kinds for row in rows[kind])


def _ground_truth(document: Any) -> GroundTruth:
    images, names = (_names(document[key]) for key in ("imlist", "qimlist"))
    entries = document["gnd"]
    if len(entries) != len(names):
        raise ValueError(f"{len(names)} queries and the truth of {len(entries)}")
    queries = []
    for name, entry in zip(names, entries, strict=True):
        rows = {kind: _rows(entry[kind], len(images)) for kind in ("easy", "hard", "junk")}
        queries.append(Query(name, _box(entry.get("bbx")), rows))
    return GroundTruth(images, tuple(queries))


def _names(values: Any) -> tuple[str, ...]:
    texts = _plain(values)
    names = tuple(t.decode("latin1") if isinstance(t, bytes) else str(t) for t in texts)
    outside = [name for name in names if name in ("", "..") or set(name) & set("/\\\0")]
    if outside or not names:
        raise ValueError(f"{outside[0]!r} as the name of a photo" if names else "no photo")
    return names


def _rows(values: Any, num_images: int) -> tuple[int, ...]:
    rows = tuple(int(value) for value in _plain(values))
    if any(not 0 <= row < num_images for row in rows):
        raise ValueError(f"an image numbered outside 0 to {num_images - 1}")
    return rows


def _box(values: Any) -> tuple[float, float, float, float] | None:
    if values is None:
        return None
    left, top, right, bottom = (float(value) for value in _plain(values))
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise ValueError(f"a box of {[left, top, right, bottom]}")
    return left, top, right, bottom


def _plain(values: Any) -> list[Any]:
    """Take a list of numbers or texts, whatever it was kept as."""
    found = values.values() if isinstance(values, _Array) else values
    if not isinstance(found, list | tuple):
        raise TypeError(f"a {type(found).__name__} where a list is expected")
    return [value.value() if isinstance(value, _Scalar) else value for value in found]


def _read_json(path: Path, data: bytes) -> Any:
    try:
        return parse_json(data)
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); {_EXPECTED}") from error


def _unpickle(path: Path, data: bytes) -> Any:
    try:
        return _PlainUnpickler(io.BytesIO(data)).load()
    except _RefusedError as error:
        raise UserError(
            f"{path} wants to run {error}, expected a pickle of plain data; fetch it again from the "
            "benchmark's own site, or give a .json of the same structure"
        ) from None
    except Exception as error:  # damaged pickles raise about a dozen types
        raise UserError(
            f"{path} is no whole pickle ({type(error).__name__}: {error}); fetch it again"
        ) from error


class _RefusedError(Exception):
    """A pickle that names something else than plain data."""


class _DType:
    """A stand-in for numpy.dtype: numbers and texts of a fixed size, nothing that holds objects."""

    def __init__(self, text: str, *_: Any) -> None:
        if not re.fullmatch(r"[biufSU]\d{0,4}", str(text)):
            raise _RefusedError(f"an array of {str(text)!r}")
        self._text, self._order = str(text), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = state[1] if state[1] in ("<", ">") else "="

    def real(self) -> np.dtype:
        return np.dtype(f"{self._order}{self._text}")


class _Array:
    """A stand-in for a NumPy array, made by its pickle's own words."""

    def __init__(self, *_: Any) -> None:
        self._parts: tuple[Any, ...] = ((0,), None, False, b"")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._parts = tuple(state[1:])

    def values(self) -> list[Any]:
        _, dtype, _, raw = self._parts
        if not isinstance(dtype, _DType):
            return []
        return np.frombuffer(_bytes(raw), dtype.real()).tolist()


class _Scalar:
    """A stand-in for a NumPy number or text."""

    def __init__(self, dtype: _DType, raw: Any) -> None:
        self._dtype, self._raw = dtype, raw

    def value(self) -> Any:
        return np.frombuffer(_bytes(self._raw), self._dtype.real()).item()


def _bytes(raw: Any) -> bytes:
    """Take bytes, which the pickles of old Pythons keep as text."""
    return raw.encode("latin1") if isinstance(raw, str) else bytes(raw)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stand in for _codecs.encode, by which old protocols keep bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise _RefusedError(f"the encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Stand in for bytes(), by which old protocols keep empty ones."""
    return b""


def _from_buffer(raw: Any, dtype: _DType, *_: Any) -> _Array:
    """Stand in for numpy's _frombuffer of protocol 5."""
    array = _Array()
    array.__setstate__((1, (), dtype, False, raw))
    return array


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _Array),
            ("multiarray", "scalar", _Scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


class _PlainUnpickler(pickle._Unpickler):  # the one in Python: its memo is a dict, not an array
    """An unpickler of plain data; every name outside `_STAND_INS` is refused before it is looked
    up."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None
