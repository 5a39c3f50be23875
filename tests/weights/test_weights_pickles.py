"""Torch files: what is harmless is read exactly, and nothing that a pickle names is imported or called."""

import argparse
import collections
import datetime
import decimal
import gc
import http
import os
import pickle
import random
import signal
import struct
import sys
import types
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dino.errors import WeightsError
from dino.weights.files import read
from dino.weights.hints import plain

VALUES = torch.arange(24.0)


def saved(value: Any, path: Path, *, legacy: bool = False, protocol: int = 2) -> Any:
    """Save as torch does and give what is read back."""
    torch.save(
        {"value": value}, path, _use_new_zipfile_serialization=not legacy, pickle_protocol=protocol
    )
    return read(path).tree["value"]


def spoiled(body: bytes, path: Path) -> Path:
    """Write a torch zip archive whose pickle is given byte for byte; it has one storage of 4 floats."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + body + b".")
        archive.writestr("archive/data/0", struct.pack("<4f", 1, 2, 3, 4))
    return path


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return f"L{value}L\n".encode()


def called(module: str, name: str, *args: bytes) -> bytes:
    return named(module, name) + b"(" + b"".join(args) + b"tR"


# --- what is read -------------------------------------------------------------------------------

HARMLESS: dict[str, tuple[Any, Any]] = {
    "path": (Path("/out/run"), PurePosixPath("/out/run")),
    "windows path": (PureWindowsPath("C:\\out"), PureWindowsPath("C:\\out")),
    "scalar": (np.float64(0.5), 0.5),
    "integer": (np.int64(-3), -3),
    "flag": (np.bool_(True), True),
    "word": (np.str_("ab"), "ab"),
    "big-endian": (np.dtype(">f4").type(1.5), 1.5),
    "ordered": (collections.OrderedDict(a=1), {"a": 1}),
    "counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "default of lists": (collections.defaultdict(list, a=[1]), {"a": [1]}),
    "default of nothing": (collections.defaultdict(None, a=1), {"a": 1}),
    "deque": (collections.deque([1, 2], maxlen=5), [1, 2]),
    "set": ({1, 2}, {1, 2}),
    "frozen set": (frozenset({1}), frozenset({1})),
    "bytes": (b"\x00\xff", b"\x00\xff"),
    "complex": (1 + 2j, 1 + 2j),
    "slice": (slice(1, None, 2), slice(1, None, 2)),
    "range": (range(3), range(3)),
    "huge number": (1 << 100, 1 << 100),
    "date and time": (datetime.datetime(2024, 2, 29, 12), datetime.datetime(2024, 2, 29, 12)),
    "zone": (
        datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
        datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
    ),
    "date": (datetime.date(2024, 2, 29), datetime.date(2024, 2, 29)),
    "duration": (datetime.timedelta(1, 2, 3), datetime.timedelta(1, 2, 3)),
    "decimal": (decimal.Decimal("0.10"), decimal.Decimal("0.10")),
    "dtype": (torch.bfloat16, torch.bfloat16),
    "size": (torch.Size([2, 3]), torch.Size([2, 3])),
    "device": (torch.device("cuda", 1), "cuda:1"),
    "version": (torch.__version__, str(torch.__version__)),
    "random state": (random.Random(0).getstate(), random.Random(0).getstate()),
    "settings": (argparse.Namespace(a=Path("/x")), argparse.Namespace(a=PurePosixPath("/x"))),
    "simple settings": (types.SimpleNamespace(a=1), argparse.Namespace(a=1)),
}  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("what", HARMLESS)
def test_harmless_objects_are_read_as_they_are(
    tmp_path: Path, what: str, legacy: bool, protocol: int
) -> None:
    value, expected = HARMLESS[what]
    assert saved(value, tmp_path / "file", legacy=legacy, protocol=protocol) == expected


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([1.5], dtype=">f8"),
        np.array(["ab", "c"]),
        np.zeros((0, 3), np.float16),
        np.array(7, np.uint8),
    ],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_arrays_are_read_as_they_are(tmp_path: Path, array: Any, protocol: int) -> None:
    found = saved(array, tmp_path / "file", protocol=protocol)
    ours = pickle.loads(pickle.dumps(array, protocol))  # NumPy turns bytes to this machine's order
    assert (found.dtype, found.shape) == (ours.dtype, array.shape)
    np.testing.assert_array_equal(found, array)


def test_a_random_state_of_numpy_is_read(tmp_path: Path) -> None:
    state = np.random.RandomState(0).get_state()
    found = saved(state, tmp_path / "file")
    assert found[0] == "MT19937"
    np.testing.assert_array_equal(found[1], state[1])
    found = saved({"rng": np.random.default_rng(0), "a": 1}, tmp_path / "file")
    assert found["a"] == 1


def test_members_of_the_standard_librarys_enums_are_read_as_values(tmp_path: Path) -> None:
    """Python 3.11 writes a member's name, others its value."""
    assert saved(http.HTTPStatus.NOT_FOUND, tmp_path / "a") in (404, "http.HTTPStatus.NOT_FOUND")
    assert str(saved(signal.SIGTERM, tmp_path / "b")) in (
        *(str(int(signal.SIGTERM)), "signal.SIGTERM", "signal.Signals.SIGTERM"),
    )
    path = spoiled(
        b"}" + text("a") + called("http", "HTTPStatus", number(404)) + b"s", tmp_path / "c"
    )
    assert read(path).tree["a"] == 404


def test_a_path_pickled_on_windows_is_read_here(tmp_path: Path) -> None:
    for module in ("pathlib", "pathlib._local"):
        body = b"}" + text("a") + called(module, "WindowsPath", text("C:\\"), text("out")) + b"s"
        tree = read(spoiled(body, tmp_path / "file")).tree
        assert tree["a"] == PureWindowsPath("C:\\out")


def test_names_of_older_python_and_numpy_are_known(tmp_path: Path) -> None:
    """Python 2 and NumPy before 2 call their modules otherwise."""
    dtype = called("numpy", "dtype", text("f8"), number(0), number(1))
    scalar = called("numpy.core.multiarray", "scalar", dtype, b"U\x08" + struct.pack("<d", 0.25))
    body = b"}" + text("a") + scalar + b"s" + text("b") + called("__builtin__", "set", b"]") + b"s"
    assert dict(read(spoiled(body, tmp_path / "file")).tree) == {"a": 0.25, "b": set()}


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make classes of packages that are not here, so that they can be pickled."""

    def make(name: str, base: type = object) -> Any:
        module, _, short = name.rpartition(".")
        made = sys.modules.get(module) or types.ModuleType(module)
        monkeypatch.setitem(sys.modules, module, made)
        package = module.partition(".")[0]
        monkeypatch.setitem(sys.modules, package, sys.modules.get(package, made))
        kind = type(short, (base,), {"__module__": module, "__qualname__": short})
        setattr(made, short, kind)
        return kind

    return make


def test_settings_of_omegaconf_are_read_without_it(tmp_path: Path, foreign: Any) -> None:
    config, node = foreign("omegaconf.dictconfig.DictConfig"), foreign("omegaconf.nodes.AnyNode")
    arch, settings = node(), config()
    arch.__dict__.update(_val="vit_small", _metadata=None)
    settings.__dict__.update(_content={"arch": arch}, _parent=None, _metadata={"ref_type": Any})
    torch.save({"value": settings}, tmp_path / "file")
    sys.modules["omegaconf.dictconfig"].__dict__.clear()
    assert plain(read(tmp_path / "file").tree["value"]) == {"arch": "vit_small"}


@pytest.mark.parametrize("name", ["easydict.EasyDict", "yacs.config.CfgNode", "addict.addict.Dict"])
def test_settings_in_dicts_of_others_are_read_as_dicts(
    tmp_path: Path, foreign: Any, name: str
) -> None:
    settings = foreign(name, dict)(arch="vit_small")
    settings.note = "an attribute"
    torch.save({"value": settings}, tmp_path / "file")
    assert type(read(tmp_path / "file").tree["value"]) is dict
    assert read(tmp_path / "file").tree["value"] == {"arch": "vit_small"}


def test_a_dict_whose_items_are_arguments_is_read(tmp_path: Path) -> None:
    """So addict writes its dicts."""
    item = b"(" + text("arch") + text("vit_small") + b"t"
    body = named("addict.addict", "Dict") + b"(" + item + b"t\x81"
    tree = read(spoiled(b"}" + text("a") + body + b"s", tmp_path / "file")).tree
    assert tree["a"] == {"arch": "vit_small"}


def test_a_log_of_mmengine_is_read_as_what_it_says(tmp_path: Path, foreign: Any) -> None:
    """Its records name their own methods, which protocol 2 writes with `getattr`."""
    log = foreign("mmengine.logging.history_buffer.HistoryBuffer")
    history = called("mmengine.logging.history_buffer", "HistoryBuffer")
    method = called("builtins", "getattr", named(log.__module__, log.__name__), text("mean"))
    body = b"}" + text("log") + history + b"}" + text("mean") + method + b"sbs"
    tree = read(spoiled(body, tmp_path / "file")).tree
    assert tree["log"].state == {"mean": "mmengine.logging.history_buffer.HistoryBuffer.mean"}


def test_what_was_read_is_freed_when_it_is_let_go(tmp_path: Path) -> None:
    gc.collect()
    gc.disable()
    try:
        found = weakref.ref(saved(VALUES, tmp_path / "file"))
        assert found() is None
    finally:
        gc.enable()


# --- tensors ------------------------------------------------------------------------------------

TENSORS: dict[str, Tensor] = {
    **{str(kind): VALUES.to(kind) for kind in (torch.float64, torch.float16, torch.bfloat16)},
    **{str(kind): VALUES.to(kind) for kind in (torch.int8, torch.uint16, torch.complex64)},
    "torch.bool": VALUES > 3,
    "torch.float8": VALUES.to(torch.float8_e4m3fn),
    "part": VALUES[5:9],
    "turned": VALUES.view(4, 6).T,
    "every second": VALUES[::2],
    "repeated": VALUES[:3].expand(2, 3),
    "parameter": torch.nn.Parameter(VALUES.clone()),
    "nothing": torch.empty(0, 3),
    "one": torch.tensor(2.5),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("what", TENSORS)
def test_tensors_are_read_as_torch_reads_them(tmp_path: Path, what: str, legacy: bool) -> None:
    tensor = TENSORS[what]
    found = saved(tensor, tmp_path / "file", legacy=legacy)
    assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
    assert found.stride() == tensor.stride()
    if tensor.dtype == torch.float8_e4m3fn:
        found, tensor = found.float(), tensor.float()
    assert torch.equal(found, tensor)


def test_a_tensor_with_an_attribute_is_read_without_it(tmp_path: Path) -> None:
    tensor = VALUES.clone()
    tensor.note = "x"  # type: ignore[attr-defined]
    assert torch.equal(saved(tensor, tmp_path / "file"), VALUES)


def test_tensors_that_share_their_values_share_them_again(tmp_path: Path) -> None:
    first, second = saved([VALUES, VALUES[4:]], tmp_path / "file")
    first[4] = -1
    assert second[0] == -1
    assert read(tmp_path / "file").tree["value"][1][0] == 4  # the file stays as it was


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.complex64])
def test_a_file_of_a_machine_with_the_other_order_of_bytes(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    tensor = VALUES.to(dtype)
    torch.save({"value": tensor}, tmp_path / "file")
    whole = zipfile.ZipFile(tmp_path / "file")
    size = tensor.element_size() // (2 if dtype.is_complex else 1)
    with zipfile.ZipFile(tmp_path / "swapped", "w") as archive:
        for name in whole.namelist():
            content = whole.read(name)
            if name.endswith("/data/0"):
                content = np.frombuffer(content, f"V{size}").tobytes()
                content = np.frombuffer(content, np.uint8).reshape(-1, size)[:, ::-1].tobytes()
            archive.writestr(name, b"big" if name.endswith("byteorder") else content)
    assert torch.equal(read(tmp_path / "swapped").tree["value"], tensor)


def test_an_archive_that_was_packed_again_is_read(tmp_path: Path) -> None:
    torch.save({"value": VALUES, "other": VALUES.half()[1:]}, tmp_path / "file")
    whole = zipfile.ZipFile(tmp_path / "file")
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        with zipfile.ZipFile(tmp_path / "again", "w", method) as archive:
            for name in whole.namelist():
                archive.writestr(name, whole.read(name))
        tree = read(tmp_path / "again").tree
        assert torch.equal(tree["value"], VALUES)
        assert torch.equal(tree["other"], VALUES.half()[1:])


def test_a_plain_pickle_of_tensors_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(pickle.dumps({"value": VALUES, "array": np.arange(3)}))
    tree = read(tmp_path / "file").tree
    assert torch.equal(tree["value"], VALUES)
    np.testing.assert_array_equal(tree["array"], np.arange(3))


@pytest.mark.parametrize(
    ("tensor", "what"),
    [
        (lambda: torch.quantize_per_tensor(VALUES, 0.1, 0, torch.qint8), "a quantised tensor"),
        (VALUES.to_sparse, "a sparse tensor"),
        (lambda: VALUES.to("meta"), "a tensor on the meta device"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_kinds_of_tensors_that_are_not_read_are_named(
    tmp_path: Path, tensor: Callable[[], Tensor], what: str
) -> None:
    with pytest.raises(WeightsError, match=f"holds {what}.*save the tensors dense"):
        saved(tensor(), tmp_path / "file")


# --- TorchScript --------------------------------------------------------------------------------


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
        self.sizes, self.scale = [1, 2], 2.5
        self.register_buffer("places", torch.arange(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) * self.scale


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [torch.jit.script, lambda m: torch.jit.trace(m, torch.ones(2, 3))])
def test_torchscript_gives_the_tensors_of_its_network(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Small().eval()
    torch.jit.save(make(network), tmp_path / "model.pt")

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("torch read the file itself")

    monkeypatch.setattr(torch.jit, "load", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    raw = read(tmp_path / "model.pt")
    assert raw.kind == "TorchScript"
    expected = network.state_dict()
    assert raw.tree.keys() == expected.keys()
    assert all(torch.equal(raw.tree[name], tensor) for name, tensor in expected.items())


@pytest.mark.filterwarnings("ignore")
def test_a_frozen_torchscript_archive_is_refused_with_what_to_do(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.freeze(torch.jit.script(Small().eval())), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=r"without named tensors.*without torch\.jit\.freeze"):
        read(tmp_path / "model.pt")


def test_torchscript_classes_are_known_in_torchscript_alone(tmp_path: Path) -> None:
    body = b"}" + text("a") + named("__torch__.a", "B") + b")\x81s"
    with pytest.raises(WeightsError, match=r"asks to import and make a __torch__\.a\.B"):
        read(spoiled(body, tmp_path / "file"))


# --- what is refused ----------------------------------------------------------------------------

SYSTEM = named("posix", "system")
STORAGE = (
    b"(" + text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu") + b"K\x04tQ"
)


def rebuilt(offset: int, size: list[int], stride: list[int]) -> bytes:
    sides, steps = (b"(" + b"".join(map(number, part)) + b"t" for part in (size, stride))
    return called(
        "torch._utils", "_rebuild_tensor_v2", STORAGE, number(offset), sides, steps, b"\x89N"
    )


ATTACKS: dict[str, tuple[bytes, str]] = {
    "call": (called("posix", "system", text("x")), r"import and call posix\.system"),
    "name alone": (SYSTEM, r"names posix\.system, which reading it would import"),
    "old instance": (b"(" + text("x") + b"iposix\nsystem\n", "uses INST"),
    "old object": (b"(" + SYSTEM + text("x") + b"o", r"import and make a posix\.system"),
    "extension": (b"\x82\x01", "uses EXT1"),
    "factory": (called("collections", "defaultdict", SYSTEM), r"defaultdict with posix\.system"),
    "factory of ours": (
        called("collections", "defaultdict", named("builtins", "getattr")),
        r"defaultdict with builtins\.getattr",
    ),
    "name of two lines": (text("a\nb") + text("c") + b"\x93)R", "a name that Python cannot have"),
    "name of a list": (b"]" + text("c") + b"\x93)R", "a name that Python cannot have"),
    "getattr": (called("builtins", "getattr", SYSTEM, text("x")), r"builtins\.getattr of posix"),
    "getattr of a dict": (
        called("builtins", "getattr", named("collections", "OrderedDict"), text("__init__")),
        r"builtins\.getattr of collections\.OrderedDict",
    ),
    "eval": (called("builtins", "eval", text("1")), r"import and call builtins\.eval"),
    "method by a dotted name": (
        called("pathlib", "PosixPath.unlink", text("x")),
        r"call pathlib\.PosixPath\.unlink",
    ),
    "path of a number": (called("pathlib", "PosixPath", number(1)), "a text in a way"),
    "class like a path": (called("evil", "PosixPath", text("x")), r"call evil\.PosixPath"),
    "enum of elsewhere": (called("evil", "Status", number(1)), r"call evil\.Status"),
    "enum of a list": (called("http", "HTTPStatus", b"]"), "an enum in a way"),
    "partial": (called("functools", "partial", SYSTEM), r"call functools\.partial"),
    "reconstructor": (
        called("copyreg", "_reconstructor", SYSTEM, named("builtins", "object"), b"N"),
        r"_reconstructor of posix\.system",
    ),
    "state of a class": (
        named("collections", "OrderedDict") + b"(N}" + text("x") + b"K\x01stb",
        r"would change collections\.OrderedDict itself",
    ),
    "state of a dtype of torch": (named("torch", "float32") + b"}b", "uses dtype in a way"),
    "call of a value": (named("torch", "float32") + b")R", "calls a dtype"),
    "object dtype": (called("numpy", "dtype", text("O8"), b"K\x00K\x01"), "numpy.dtype of 'O8'"),
    "record dtype": (called("numpy", "dtype", text("f8,O"), b"K\x00K\x01"), "numpy.dtype of"),
    "dtype with object flags": (
        called("numpy", "dtype", text("f8"), b"K\x00K\x01")
        + b"(K\x03" + text("<") + b"NNN" + number(-1) + number(-1) + b"K\x3ftb",
        "numpy.dtype in a way",
    ),
    "array of another class": (
        called("numpy.core.multiarray", "_reconstruct", SYSTEM, b"(K\x00t", text("b")),
        r"NumPy array of posix\.system",
    ),
    "scalar too short": (
        called(
            "numpy.core.multiarray", "scalar",
            called("numpy", "dtype", text("f8"), b"K\x00K\x01"), text("abc"),
        ),
        "a NumPy scalar in a way",
    ),
    "bytes by number": (called("builtins", "bytearray", number(1 << 50)), "bytearray in a way"),
    "codec": (called("_codecs", "encode", text("x"), text("zip")), "_codecs.encode in a way"),
    "device": (called("torch", "device", b"]"), "torch.device in a way"),
    "append to a dict": (b"}K\x01a", "uses dict in a way"),
    "item of a list": (b"]K\x01K\x02s", "uses list in a way"),
    "odd arguments": (called("argparse", "Namespace", number(1)), "Namespace in a way"),
    "keywords": (named("argparse", "Namespace") + b")}" + text("a") + b"K\x01s\x92", "Namespace in a"),
    "storage of a class": (
        b"(" + text("storage") + SYSTEM + text("0") + text("cpu") + b"K\x04tQ",
        r"a storage of the class posix\.system",
    ),
    "odd storage": (text("storage") + b"Q", "a persistent id"),
    "module with source": (
        b"(" + text("module") + SYSTEM + text("a.py") + text("source") + b"tQ",
        "a whole pickled network",
    ),
    "beyond its storage": (rebuilt(0, [5], [1]), "reaches beyond its storage"),
    "beyond by strides": (rebuilt(0, [2, 2], [1 << 40, 1]), "reaches beyond its storage"),
    "before its storage": (rebuilt(-1, [2], [1]), "a tensor in a way"),
    "backwards": (rebuilt(3, [4], [-1]), "a tensor in a way"),
    "strides missing": (rebuilt(0, [2, 2], [1]), "a tensor in a way"),
    "memory from nothing": (rebuilt(0, [1 << 40], [0]), "repeats a storage of 4"),
    "tensor of a class": (
        called("torch._tensor", "_rebuild_from_type_v2", named("torch._utils", "_rebuild_tensor_v2"),
               named("evil", "Tensor"), b")", b"N"),
        r"tensor of the class evil\.Tensor",
    ),
    "tensor by a function": (
        called("torch._tensor", "_rebuild_from_type_v2", SYSTEM, named("torch", "Tensor"), b")", b"N"),
        "refused",
    ),
}  # fmt: skip


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that leaves a canary when it is imported."""
    canary = tmp_path / "canary"
    source = (
        f"open({str(canary)!r}, 'w')\nclass PosixPath:\n    pass\nTensor = Status = PosixPath\n"
    )
    (tmp_path / "evil.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(os, "system", lambda command: canary.touch())
    return canary


@pytest.mark.parametrize("container", ["zip", "plain"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_not_harmless_is_refused_and_says_why(
    tmp_path: Path, evil: Path, attack: str, container: str
) -> None:
    body, sentence = ATTACKS[attack]
    inside = b"}" + text("value") + body + b"s"
    path = spoiled(inside, tmp_path / "file")
    if container == "plain":
        path.write_bytes(b"\x80\x02" + inside + b".")
    if "torage" in sentence and container == "plain":
        sentence = f"{sentence}|damaged"
    with pytest.raises(WeightsError, match=sentence) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert not evil.exists()
    assert "evil" not in sys.modules


def test_the_canary_sings_where_a_pickle_is_run(evil: Path) -> None:
    """Proof that the test above could fail."""
    pickle.loads(b"\x80\x02" + called("evil", "PosixPath") + b".")
    assert evil.exists()
    del sys.modules["evil"]


def test_an_attack_on_a_dtype_changes_no_dtype(tmp_path: Path) -> None:
    dtype = called("numpy", "dtype", text("f8"), b"K\x00K\x01")
    state = b"(K\x03" + text(">") + b"NNN" + number(-1) + number(-1) + b"K\x00tb"
    tree = read(spoiled(b"}" + text("a") + dtype + state + b"s", tmp_path / "file")).tree
    assert tree["a"] == np.dtype(">f8")
    assert np.dtype("f8").isnative
    assert np.dtype(np.float64).isnative


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    for array in (np.array([{}], dtype=object), np.zeros(1, [("a", object)])):
        with pytest.raises(WeightsError, match=r"numpy\.dtype of"):
            saved(array, tmp_path / "file")


def test_the_names_of_an_object_change_nothing_of_it(tmp_path: Path) -> None:
    """State that is set on settings goes into their own dict, whatever its names."""
    body = named("argparse", "Namespace") + b")\x81}" + text("__class__") + b"K\x01sb"
    tree = read(spoiled(b"}" + text("a") + body + b"s", tmp_path / "file")).tree
    assert type(tree["a"]) is argparse.Namespace


def test_an_older_file_that_claims_more_than_it_has_takes_no_memory(tmp_path: Path) -> None:
    torch.save({"a": VALUES}, tmp_path / "file", _use_new_zipfile_serialization=False)
    content = (tmp_path / "file").read_bytes()
    small, huge = b"K\x18Nt", b"\x8a\x06\x00\x00\x00\x00\x00\x10Nt"
    assert content.count(small) == 1
    (tmp_path / "file").write_bytes(content.replace(small, huge))
    with pytest.raises(WeightsError, match="more bytes than the file has"):
        read(tmp_path / "file")


def test_whole_networks_are_refused_with_what_to_do(tmp_path: Path) -> None:
    for value in (torch.nn.Linear(2, 2), {"model": torch.nn.Linear(2, 2), "epoch": 1}):
        for legacy in (False, True):
            torch.save(value, tmp_path / "file", _use_new_zipfile_serialization=not legacy)
            with pytest.raises(WeightsError, match=r"Linear.*re-save only the tensors.*state_dict"):
                read(tmp_path / "file")
