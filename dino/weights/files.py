"""Read a weights file or folder into tensors, without ever running code from it.

    raw = read("dino_deitsmall16_pretrain.pth")    # raw.tree, raw.kind, raw.hints

The first bytes of a file say what it is, never its name. Key names are left as they are; `layouts.py`
knows what they mean.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dino.errors import WeightsError
from dino.system.files import parse_json
from dino.weights.configs import from_config, with_folder
from dino.weights.folders import FoundWeights, find_beside, find_weights
from dino.weights.hints import Hints, from_checkpoint, from_metadata

# Files that are given for weights, by their first bytes, with what to do.
_OTHER_KINDS = {
    b"\x89HDF": "an HDF5 file (Keras); save the network for PyTorch, as safetensors",
    b"GGUF": "a GGUF file, of a language model; give the weights of a vision network, as safetensors",
    b"\x93NUMPY": "one NumPy array; save all tensors with their names, as safetensors",
    b"\x1f\x8b": "a gzip archive; unpack it and give the weights inside",
}
_SAFETENSORS_HEADER_LIMIT = 100_000_000  # bytes; the format's own limit


@dataclass(frozen=True)
class RawWeights:
    """Tensors as found: `tree` flat or nested, `kind` of container, and its hints."""

    tree: Mapping[str, Any]
    kind: str
    hints: Hints = field(default_factory=Hints)


def read(path: str | Path) -> RawWeights:
    """Read a weights file, or a Hugging Face folder.

    Args:
        path: safetensors, torch (zip or older pickle), TorchScript, ONNX, or a folder: with
            model.safetensors or pytorch_model.bin (or their shards) and config.json, of the hub's cache,
            or with one file of weights. What lies beside a file of these names counts too.
    Raises:
        WeightsError: nothing there, no weights in it, cut short, or a pickle that would run code.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _read_folder(path)
        if not path.exists():
            raise WeightsError(f"{path}: no such file; expected a weights file or a zoo name")
        found = find_beside(path)
        return _read_file(path) if found is None else _read_found(found)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error


def _read_file(path: Path) -> RawWeights:
    """Read one file, without what lies beside it."""
    kind = sniff(path)
    if kind == "safetensors":
        return _read_safetensors(path)
    if kind == "onnx":
        from dino.weights.onnx_graph import read_onnx

        return RawWeights(read_onnx(path), kind)
    return _read_torch(path, kind)


def sniff(path: Path) -> str:
    """Tell the kind of a file by its first bytes: "safetensors", "torch", "torch legacy" or "onnx".

    Raises:
        WeightsError: empty, a web page, a Git LFS pointer, or nothing known.
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise WeightsError(f"{path}: the file is empty; download or save it again")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise WeightsError(
            f"{path}: this is a web page, not weights; a login or error page was saved in their "
            "place, so download the file itself again"
        )
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path}: this is a Git LFS pointer, not weights; run `git lfs pull`")
    for start, what in _OTHER_KINDS.items():
        if head.startswith(start):
            raise WeightsError(f"{path}: this is {what}")
    if head[8:9] == b"{":
        return "safetensors"
    if head.startswith(b"PK"):
        return "torch"
    if head[0] == 0x80:  # pickle's protocol opcode
        return "torch legacy"
    if head[0] == 0x08:  # protobuf field 1, varint: ONNX's ir_version
        return "onnx"
    raise WeightsError(
        f"{path}: not a kind of weights known here (first bytes {head[:8].hex(' ')}); expected "
        "safetensors, a torch file or ONNX"
    )


def _read_safetensors(path: Path) -> RawWeights:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    metadata = read_safetensors_metadata(path)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise WeightsError(
            f"{path}: damaged or cut short ({error}); copy or download it again"
        ) from error
    return RawWeights(tensors, "safetensors", from_metadata(metadata))


def read_safetensors_metadata(path: Path) -> dict[str, str]:
    """Read the free text of a safetensors header, without its tensors.

    Raises:
        WeightsError: the header is cut short or is not JSON.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, _SAFETENSORS_HEADER_LIMIT))
    try:
        parsed = parse_json(header) if len(header) == length else None
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise WeightsError(
            f"{path}: its safetensors header is cut short; copy or download it again"
        )
    text = parsed.get("__metadata__")
    return {str(k): str(v) for k, v in text.items()} if isinstance(text, dict) else {}


def _read_torch(path: Path, kind: str) -> RawWeights:
    """Read a torch file into plain values and tensors (`pickles`): no code of it is ever run."""
    from dino.weights.pickles.torch_files import read_older, read_zip
    from dino.weights.pickles.values import RefusedPickleError

    try:
        loaded, kind = read_zip(path) if kind == "torch" else (read_older(path), kind)
    except RefusedPickleError as error:
        raise WeightsError(f"{path}: {error}") from error
    except (WeightsError, OSError):
        raise
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{path}: cut short; copy or download it again") from error
    except Exception as error:  # damaged bytes surface as any type
        raise WeightsError(
            f"{path}: damaged or cut short ({_first_line(error)}); copy or download it again"
        ) from error
    if not isinstance(loaded, Mapping):
        raise WeightsError(
            f"{path}: holds a {type(loaded).__name__}, expected a dict of tensors; save "
            "model.state_dict() instead"
        )
    try:
        return RawWeights(loaded, kind, _with_config_inside(from_checkpoint(loaded)))
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__


def _read_folder(folder: Path) -> RawWeights:
    """Read the weights of a folder with what its JSON files say of them."""
    found = find_weights(folder)
    raw = _read_found(found)
    return replace(raw, kind=f"{found.what} {raw.kind}")


def _read_found(found: FoundWeights) -> RawWeights:
    """Read one file, or all shards as one dict, with what lies beside."""
    parts = [_read_file(path) for path in found.files]
    tree: dict[str, Any] = {}
    for part in parts:
        tree.update(part.tree)
    missing = [name for name in found.weight_map or () if name not in tree]
    if missing:
        raise WeightsError(
            f"{found.home}: its index names {missing[0]!r} and {len(missing) - 1} more tensors that no "
            "shard holds; download the shards again"
        )
    hints = replace(parts[0].hints, name=parts[0].hints.name or found.name)
    return RawWeights(tree, parts[0].kind, with_folder(hints, found.home))


def _with_config_inside(hints: Hints) -> Hints:
    """Read a Hugging Face config that a checkpoint holds as the config that it is."""
    is_config = isinstance(hints.config.get("model_type"), str) and "hidden_size" in hints.config
    return from_config(hints, hints.config, "the config in it") if is_config else hints
