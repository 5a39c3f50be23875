"""Files of our own read back: whatever became of them, the outcome is a value or a ValueError."""

import io
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest

from dino.system.files import as_record, parse_json, read_npz


@pytest.mark.parametrize("text", [b"[" * 100_000, '{"a":' * 100_000, b"\xff", "{", "", "1" * 5000])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_json_is_read():
    assert parse_json(b'{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}


def packed(name: str, member: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, member)
    return buffer.getvalue()


def npy(header: bytes) -> bytes:
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        packed("a.npy", b"no array"),
        packed(
            "a.npy", npy(b"{'descr': ((((\n")
        ),  # NumPy asks tokenize, which has errors of its own
        packed("a.npy", npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}\n")),
        packed("a.npy", npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n")),
        packed("a.txt", b"text"),
        np.array([1.0]).tobytes(),
    ],
)
def test_a_damaged_npz_is_a_value_error(tmp_path, data):
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"it is damaged|it holds other things"):
        read_npz(tmp_path / "a.npz")


def test_an_npz_is_read_and_a_missing_one_is_an_os_error(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    assert read_npz(tmp_path / "a.npz")["x"].tolist() == [0, 1, 2]
    with pytest.raises(OSError, match="No such file"):
        read_npz(tmp_path / "b.npz")


@dataclass(frozen=True)
class Told:
    name: str
    count: int = 0
    share: float | None = None


def test_a_record_takes_values_of_its_types_only():
    assert as_record(Told, {"name": "a", "count": 3, "share": 1}) == Told("a", 3, 1)
    assert as_record(Told, {"name": "a", "share": None}) == Told("a")
    for wrong in (
        {},
        {"name": 3},
        {"name": "a", "count": "3"},
        {"name": "a", "count": True},
        {"name": "a", "share": {}},
        {"name": "a", "other": 1},
    ):
        with pytest.raises(ValueError, match=r"."):
            as_record(Told, wrong)
