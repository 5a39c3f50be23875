"""The benchmark's ground truth: read from pickles of any age, and nothing in them is ever run."""

import builtins
import json
import os
import pickle
import pickletools
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.retrieval_cases import benchmark

from dino.errors import UserError
from dino.evaluation.ground_truth import read_ground_truth
from dino.evaluation.retrieval_data import is_benchmark, open_benchmark


def as_arrays(document: dict) -> dict:
    """The same with NumPy arrays, numbers and texts in it."""
    entries = []
    for number, entry in enumerate(document["gnd"]):
        kind = [np.int64, np.dtype(">i4")][number % 2]
        rows = {name: np.array(entry[name], dtype=kind) for name in ("easy", "junk")}
        hard = [np.int32(row) for row in entry["hard"]]
        entries.append({**rows, "hard": hard, "bbx": np.array(entry["bbx"], dtype=np.float32)})
    names = np.array(document["imlist"])
    return {"imlist": names, "qimlist": np.array(document["qimlist"], "S"), "gnd": entries}


def expect_document(truth, document) -> None:
    assert list(truth.images) == document["imlist"]
    assert [query.name for query in truth.queries] == document["qimlist"]
    for query, entry in zip(truth.queries, document["gnd"], strict=True):
        assert query.box == tuple(entry["bbx"])
        assert query.rows == {kind: tuple(entry[kind]) for kind in ("easy", "hard", "junk")}


@pytest.fixture
def document(tmp_path) -> dict:
    return benchmark(tmp_path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("change", [dict, as_arrays], ids=["lists", "arrays"])
def test_pickles_of_every_protocol_are_read(document, tmp_path, protocol, change):
    path = tmp_path / "gnd_small.pkl"
    path.write_bytes(pickle.dumps(change(document), protocol))
    expect_document(read_ground_truth(path), document)


def test_arrays_of_older_numpy_are_read(document, tmp_path):
    data = pickle.dumps(as_arrays(document), 2)
    assert b"numpy._core" in data
    path = tmp_path / "gnd_small.pkl"
    path.write_bytes(data.replace(b"numpy._core", b"numpy.core"))
    expect_document(read_ground_truth(path), document)


def test_json_of_the_same_structure_is_read(document, tmp_path):
    path = tmp_path / "gnd_small.json"
    path.write_text(json.dumps(document))
    expect_document(read_ground_truth(path), document)


def test_protocols_say_what_counts(document, tmp_path):
    (tmp_path / "gnd_small.pkl").write_bytes(pickle.dumps(document))
    data = open_benchmark(tmp_path)
    first = {
        name: (list(truths[0].ok), list(truths[0].junk)) for name, truths in data.protocols.items()
    }
    assert first == {"easy": ([0], [3, 2]), "medium": ([0, 2], [3]), "hard": ([2], [3, 0])}
    assert data.queries.boxes[0] == (192.0, 0.0, 256.0, 48.0)
    assert open_benchmark(tmp_path, crop=False).queries.boxes == (None, None)


class Malicious:
    """Writes a file where it is unpickled freely."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("kind", ["system", "open", "eval", "method", "numpy"])
def test_a_malicious_pickle_is_refused_and_runs_nothing(document, tmp_path, protocol, kind):
    canary = tmp_path / "canary"
    attack = {
        "system": Malicious(os.system, f"touch {canary}"),
        "open": Malicious(builtins.open, str(canary), "w"),
        "eval": Malicious(eval, f"open({str(canary)!r}, 'w')"),
        "method": Malicious(Path.touch, canary),
        "numpy": Malicious(np.save, str(canary), np.zeros(1)),
    }[kind]
    document["gnd"][0]["easy"] = attack
    data = pickle.dumps(document, protocol)
    path = tmp_path / "gnd_small.pkl"
    path.write_bytes(data)
    with pytest.raises(UserError, match="wants to run") as caught:
        read_ground_truth(path)
    assert not list(tmp_path.glob("canary*"))
    assert "\n" not in str(caught.value)
    pickle.loads(data)  # the attack is a real one
    assert list(tmp_path.glob("canary*"))


def numpy_pickle(dtype_words: bytes) -> bytes:
    """A pickle that calls numpy.dtype with a text."""
    return b"cnumpy\ndtype\n(V" + dtype_words + b"\ntR."


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (numpy_pickle(b"O"), "wants to run an array of 'O'"),
        (numpy_pickle(b"f4,O"), "wants to run an array of 'f4,O'"),
        (b"c_codecs\nencode\n(Vabc\nVrot13\ntR.", "wants to run the encoding 'rot13'"),
        (b"cnumpy\nload\n.", "wants to run numpy.load"),
        (b"cnumpy.lib.utils\n_reconstruct\n.", "wants to run numpy.lib.utils._reconstruct"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "wants to run os.system"),
        (b"(ios\nsystem\n.", "wants to run os.system"),
        (b"Pid\n.", "no whole pickle"),
        (b"\x80\x02]q\x00(K\x01", "no whole pickle"),
        (b"", "no whole pickle"),
        (b"not a pickle", "no whole pickle"),
        (pickle.dumps([1, 2]), "no ground truth"),
        (pickle.dumps({"imlist": ["a"], "qimlist": ["b"]}), "KeyError: 'gnd'"),
    ],
)
def test_other_files_are_one_sentence(tmp_path, data, says):
    path = tmp_path / "gnd_small.pkl"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"gnd_small\.pkl") as caught:
        read_ground_truth(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_far_memo_slot_takes_no_memory(document, tmp_path):
    """The C unpickler makes room for all slots before the one named: 34 GB here."""
    data = b"\x80\x02]r" + struct.pack("<I", 2**31) + b"."
    assert any(code.name == "LONG_BINPUT" for code, *_ in pickletools.genops(data))
    path = tmp_path / "gnd_small.pkl"
    path.write_bytes(data)
    with pytest.raises(UserError, match="no ground truth"):
        read_ground_truth(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["imlist"].__setitem__(0, "../../etc/passwd"), "as the name of a photo"),
        (lambda d: d["gnd"].pop(), "2 queries and the truth of 1"),
        (lambda d: d["gnd"][0]["easy"].append(5), "outside 0 to 4"),
        (lambda d: d["gnd"][0]["easy"].append(-1), "outside 0 to 4"),
        (lambda d: d["gnd"][0].pop("junk"), "'junk'"),
        (lambda d: d["gnd"][0].update(easy=3), "where a list is expected"),
        (lambda d: d["gnd"][0].update(bbx=[1, 2, 3]), "not enough values"),
        (lambda d: d["gnd"][0].update(bbx=[1, 2, 3, float("nan")]), "a box of"),
        (lambda d: d.update(imlist=[]), "no photo"),
    ],
)
def test_a_ground_truth_that_does_not_hold_together_is_named(document, tmp_path, change, says):
    change(document)
    path = tmp_path / "gnd_small.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match="is no ground truth") as caught:
        read_ground_truth(path)
    assert says in str(caught.value)


def test_a_missing_photo_or_truth_is_named(document, tmp_path):
    assert is_benchmark(tmp_path)
    with pytest.raises(UserError, match="has none of gnd_"):
        open_benchmark(tmp_path)
    (tmp_path / "gnd_small.json").write_text(json.dumps(document))
    (tmp_path / "jpg" / "image_3.png").unlink()
    with pytest.raises(UserError, match=r"names 1 photo not there, the first \S+image_3.jpg"):
        open_benchmark(tmp_path)
    (tmp_path / "gnd_other.pkl").write_bytes(b"")
    with pytest.raises(UserError, match="expected exactly one"):
        open_benchmark(tmp_path)
