"""Files of our own: written whole or not at all, and read back as a value or a ValueError."""

import io
import os
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest

from dino.errors import UserError, WeightsError
from dino.system.files import (
    append_line,
    as_record,
    open_atomically,
    parse_json,
    read_npz,
    replace_file,
    write_atomically,
)


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


# --- Written whole or not at all ----------------------------------------------------------------


def full(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_result_on_a_full_disk_is_a_user_error_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "result.json"
    write_atomically(b"old", path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot be written .No space left.*free space") as caught:
        write_atomically(b"new", path)
    assert not isinstance(caught.value, WeightsError)
    assert path.read_bytes() == b"old"
    assert [one.name for one in path.parent.iterdir()] == ["result.json"]


def test_durable_files_are_synced_and_others_are_not(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    replace_file(tmp_path / "state.json", "now")
    assert synced == []
    replace_file(tmp_path / "state.json", "then", durable=True)
    assert len(synced) == 1
    assert (tmp_path / "state.json").read_text() == "then"


def test_a_file_whose_writing_breaks_off_does_not_appear(tmp_path):
    def write_half() -> None:
        with open_atomically(tmp_path / "file") as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_a_line_is_added_whole_or_not_at_all(tmp_path):
    for line in ("one", "two"):
        append_line(tmp_path / "lines", line)
    assert (tmp_path / "lines").read_text() == "one\ntwo\n"
