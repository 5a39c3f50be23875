"""Read what torch writes: its zip archives, its files before 1.6, plain pickles, TorchScript archives.

    tree, kind = read_zip(path)   # kind is "torch" or "TorchScript", of which the tree is flat
    tree = read_older(path)

The bytes of a zip's tensors stay in the file, mapped into memory, until somebody reads them: a full
checkpoint's optimizer state is never read.
"""

from __future__ import annotations

import io
import mmap
import struct
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dino.errors import WeightsError
from dino.weights.pickles.machine import read_pickle
from dino.weights.pickles.tensors import Storage, dtype_of_storage
from dino.weights.pickles.values import Global, Inert, RefusedPickleError, name_of, odd

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_MAGIC = 0x1950A86A20F9469CFC6C  # what torch's files before 1.6 begin with, as a pickled number
_LOCAL_HEADER = 30  # bytes of a zip's header before a record's name


def read_zip(path: Path) -> tuple[Any, str]:
    """Read a torch zip archive, a TorchScript one as the dict of its tensors, and tell which it is.

    Raises:
        RefusedPickleError: it asks for what is not known to be harmless.
        WeightsError: it is a zip of another kind.
        zipfile.BadZipFile, ValueError …: damaged or cut short.
    """
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        main = _main_record(path, archive)
        prefix = main.removesuffix("data.pkl")
        records = _Records(archive, file, prefix)
        is_script = f"{prefix}constants.pkl" in records.infos
        with archive.open(main) as pickled:
            content = io.BytesIO(pickled.read())
        if not is_script:
            return read_pickle(content, records.storage), "torch"
        module = read_pickle(content, records.storage, further=_script_class)
    tensors = _script_tensors(module)
    if not tensors:
        raise WeightsError(
            f"{path}: a TorchScript archive without named tensors (frozen, or no network); export the "
            "network again without torch.jit.freeze, or save its state_dict()"
        )
    return tensors, "TorchScript"


def _main_record(path: Path, archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    found = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if found:
        return min(found, key=lambda name: name.count("/"))
    if any(name.endswith(".npy") for name in names):
        raise WeightsError(
            f"{path}: a NumPy archive (npz); save its arrays as safetensors with their names"
        )
    if any(
        name.endswith(("model.json", "exported_program.json", "archive_format")) for name in names
    ):
        raise WeightsError(
            f"{path}: a program that torch exported, not its weights; save the network's "
            "state_dict() instead"
        )
    raise WeightsError(
        f"{path}: a zip archive, but not a torch file; unpack it and give the weights inside"
    )


class _Records:
    """The records of a torch zip archive, read as storages."""

    def __init__(self, archive: zipfile.ZipFile, file: IO[bytes], prefix: str) -> None:
        self.archive = archive
        self.infos = {info.filename: info for info in archive.infolist()}
        self.prefix = prefix
        # Written to, the tensors change and the file does not.
        self.mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        order = self.infos.get(f"{prefix}byteorder")
        self.is_swapped = order is not None and archive.read(order).decode() != sys.byteorder
        self.seen: dict[str, Tensor] = {}

    def storage(self, pid: Any) -> Storage:
        """Read the storage of a persistent id: ("storage", class, key, device, elements)."""
        import torch

        kind, key, count = _storage_id(pid)
        dtype = dtype_of_storage(kind)
        size = count * (dtype or torch.uint8).itemsize
        if key not in self.seen:
            self.seen[key] = self._record(f"{self.prefix}data/{key}")
        data = self.seen[key]
        if data.numel() < size:
            raise ValueError(f"storage {key} has {data.numel()} bytes, expected {size}")
        if self.is_swapped and dtype is None:
            raise odd("a storage without a type in another order of bytes")
        data = data[:size]
        return Storage(_swapped(data, dtype) if self.is_swapped and dtype else data, dtype)

    def _record(self, name: str) -> Tensor:
        import torch

        info = self.infos[name]
        if info.compress_type != zipfile.ZIP_STORED:  # packed again by another program
            packed = bytearray(self.archive.read(info))
            return torch.frombuffer(packed, dtype=torch.uint8) if packed else _nothing()
        header = self.mapped[info.header_offset : info.header_offset + _LOCAL_HEADER]
        if header[:4] != b"PK\x03\x04":
            raise ValueError(f"no record {name} where the archive says it is")
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        start = info.header_offset + _LOCAL_HEADER + name_length + extra_length
        if start + info.file_size > len(self.mapped):
            raise ValueError(f"record {name} ends after the file")
        if not info.file_size:
            return _nothing()
        return torch.frombuffer(self.mapped, dtype=torch.uint8, offset=start, count=info.file_size)


def _nothing() -> Tensor:
    import torch

    return torch.empty(0, dtype=torch.uint8)


def _storage_id(pid: Any) -> tuple[Global, str, int]:
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] not in ("storage", b"storage"):
        if isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module":
            raise RefusedPickleError(
                f"refused, because this is a whole pickled network ({name_of(pid[1])}, with its source, as "
                "torch.save(model) wrote it): opening it would import and run that class's code; "
                "where you trust it, re-save only the tensors with torch.save(model.state_dict(), …)"
            )
        raise odd("a persistent id")
    kind, key, count = pid[1], pid[2], pid[4]
    if not isinstance(kind, Global) or type(count) is not int or count < 0:
        raise odd("a storage")
    return kind, str(key), count


def _swapped(data: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn the bytes of each number round: the file is of a machine of the other order."""
    size = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
    return data.view(-1, size).flip(1).reshape(-1)


# --- files before torch 1.6 ---------------------------------------------------------------------


def read_older(path: Path) -> Any:
    """Read a torch file from before 1.6, or a plain pickle.

    Raises:
        RefusedPickleError, ValueError …: as `read_zip`.
    """
    with path.open("rb") as file:
        return _read_older(file, path.stat().st_size)


def _read_older(file: IO[bytes], size: int) -> Any:
    storages = _LaterStorages(size)
    first = read_pickle(file, storages.storage, further=_nested)
    if type(first) is not int or first != _MAGIC:
        return first  # a plain pickle
    _, system = (read_pickle(file, storages.storage) for _ in range(2))
    tree = read_pickle(file, storages.storage, further=_nested)
    keys = read_pickle(file, storages.storage)
    is_little = not isinstance(system, Mapping) or system.get("little_endian", True)
    storages.fill(file, keys, is_swapped=is_little != (sys.byteorder == "little"))
    return tree


class _LaterStorages:
    """Storages whose bytes stand after the pickle that names them."""

    def __init__(self, file_size: int) -> None:
        self.file_size = file_size
        self.total = 0
        self.seen: dict[str, Storage] = {}

    def storage(self, pid: Any) -> Storage:
        """Make room for a storage; views of one (before torch 0.4) are parts of it."""
        import torch

        kind, key, count = _storage_id(pid)
        dtype = dtype_of_storage(kind)
        itemsize = (dtype or torch.uint8).itemsize
        if key not in self.seen:
            self.total += count * itemsize
            if self.total > self.file_size:
                raise ValueError("its tensors need more bytes than the file has")
            self.seen[key] = Storage(torch.zeros(count * itemsize, dtype=torch.uint8), dtype)
        whole = self.seen[key]
        view = pid[5] if len(pid) > 5 else None
        if view is None:
            return whole
        _, offset, length = view
        return Storage(whole.data[offset * itemsize : (offset + length) * itemsize], dtype)

    def fill(self, file: IO[bytes], keys: Any, *, is_swapped: bool) -> None:
        """Read the bytes of the storages in the order of their keys."""
        import torch

        for key in keys:
            storage = self.seen[str(key)]
            count = int.from_bytes(
                file.read(8), "big" if is_swapped else sys.byteorder, signed=True
            )
            size = storage.data.numel()
            if count * (storage.dtype or torch.uint8).itemsize != size:
                raise ValueError(f"storage {key} has {count} elements, expected {size} bytes")
            content = bytearray(file.read(size))
            if len(content) != size:
                raise EOFError(f"the file ends within storage {key}")
            if size:
                data = torch.frombuffer(content, dtype=torch.uint8)
                dtype = storage.dtype
                storage.data.copy_(_swapped(data, dtype) if is_swapped and dtype else data)


def _nested(name: str) -> Any:
    """Read tensors of a plain pickle, which hold a small torch file each."""
    if name != "torch.storage._load_from_bytes":
        return None

    def load(content: Any) -> Storage:
        if type(content) is not bytes:
            raise odd(name)
        loaded = _read_older(io.BytesIO(content), len(content))
        if not isinstance(loaded, Storage):
            raise odd(name)
        return loaded

    return load


# --- TorchScript --------------------------------------------------------------------------------


def _script_class(name: str) -> Any:
    """Keep an object of a TorchScript class as the dict of its attributes; its code is never read."""
    if name.startswith("__torch__."):
        return lambda *args: Inert(name, args)
    if name.startswith("torch.jit._pickle.build_") and name.endswith("list"):
        return lambda items=(): list(items)
    if name == "torch.jit._pickle.restore_type_tag":
        return lambda value, tag: value
    return None


def _script_tensors(module: Any, prefix: str = "", depth: int = 0) -> dict[str, Tensor]:
    """List the tensors of a TorchScript module by their names in the network."""
    import torch

    found: dict[str, Tensor] = {}
    if not isinstance(module, Inert) or not isinstance(module.state, Mapping) or depth > 50:
        return found
    for name, value in module.state.items():
        if isinstance(value, torch.Tensor):
            found[f"{prefix}{name}"] = value
        else:
            found |= _script_tensors(value, f"{prefix}{name}.", depth + 1)
    return found
