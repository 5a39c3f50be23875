"""Open weights from anywhere: a name of the zoo, of timm or of the hub, an address, a file, a network.

backbone = load("dino_vits16")
backbone = load("facebook/dinov2-small")
backbone = load("runs/pets/checkpoints/step-00000100.pt", key="teacher")
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dino.errors import DownloadError, WeightsError
from dino.system.folders import checkpoints_folder
from dino.weights.architecture import LoadedModel
from dino.weights.fetching import fetch, fetch_url
from dino.weights.files import read
from dino.weights.hints import Hints, from_checkpoint
from dino.weights.hub import Repository, fetch_repository, hub_host
from dino.weights.initial import initial_tensors
from dino.weights.opening import model_of_file, model_of_tree
from dino.weights.sources import Reference, nearest, resolve
from dino.weights.zoo import ZOO, ZooEntry

if TYPE_CHECKING:
    import torch
    from torch import nn

    from dino.model.backbone import Backbone

    # A name, an address, a path, a state dict, or a timm model.
    Loadable = str | os.PathLike[str] | Mapping[str, Any] | nn.Module
else:
    Loadable = Any

Channels = Literal["mean", "first"]
# Files that are opened by the folder they lie in, whose JSON files describe them.
_OF_A_FOLDER = ("model.safetensors", "pytorch_model.bin", ".index.json")


def load(
    source: Loadable,
    *,
    key: str = "teacher",
    arch: str | None = None,
    num_heads: int | None = None,
    channels: Channels | None = None,
    device: str | torch.device = "auto",
    precision: str = "auto",
) -> Backbone:
    """Load a backbone, ready to look into.

    Args:
        source: zoo name; timm name (`timm:NAME`, or a name timm knows); name on the Hugging Face hub
            (`ORG/NAME`, `hf-hub:ORG/NAME`, with `@REVISION` or `/FILE`); `https://` address; path of a
            weights file or folder; state dict; or timm model, which is copied. What exists on the disk
            is a file.
        key: "teacher" or "student" of a full checkpoint; a bare backbone ignores it.
        arch: timm architecture, where it should not be read off the tensors.
        num_heads: heads, where width / 64 is not right.
        channels: what makes RGB weights of those for one channel ("mean": each of R, G and B gets a
            third) or for four and more ("first": the first three are taken).
        device: "auto", "cpu", "cuda" …
        precision: "auto", "fp32" or "bf16".
    Raises:
        WeightsError: nothing there, unknown or incomplete layout, unsafe file.
        DownloadError: the weights are not here and could not be fetched.
    """
    from dino.model.backbone import wrap

    loaded = load_model(source, key=key, arch=arch, num_heads=num_heads, channels=channels)
    return wrap(
        loaded.model,
        name=loaded.name,
        description=_with_notes(loaded),
        mean=loaded.mean,
        std=loaded.std,
        device=device,
        precision=precision,
        weights_sha256=loaded.weights_sha256,
        is_random=loaded.is_random,
        notes=loaded.notes,
        positions=loaded.positions,
    )


def _with_notes(loaded: LoadedModel) -> str:
    """End the description with what was assumed, so that it is read wherever the weights are described."""
    unsaid = [note for note in loaded.notes if note not in loaded.description]
    return " ".join((loaded.description, *unsaid))


def load_model(
    source: Loadable,
    *,
    key: str = "teacher",
    arch: str | None = None,
    num_heads: int | None = None,
    channels: Channels | None = None,
) -> LoadedModel:
    """Load as `load` does, up to the timm model: float32, on the CPU, in eval mode."""
    if channels not in (None, "mean", "first"):
        raise WeightsError(f"channels={channels!r} is not known; expected mean or first")
    options: dict[str, Any] = {
        "key": key,
        "arch": arch,
        "num_heads": num_heads,
        "channels": channels,
    }
    if isinstance(source, Mapping):
        return model_of_tree(source, from_checkpoint(source), "state dict", **options)
    if isinstance(source, str):
        return _from_reference(resolve(source), source, options)
    if isinstance(source, os.PathLike):
        return model_of_file(Path(source).expanduser(), **options)
    from dino.weights.modules import model_of_module

    _refuse_options("a network", options)
    return model_of_module(source)


def _from_reference(named: Reference, text: str, options: dict[str, Any]) -> LoadedModel:
    """Open what a text names, fetching it where it is not here."""
    if named.kind == "zoo":
        return _from_zoo(ZOO[named.name], options)
    if named.kind == "timm":
        from dino.weights.pretrained import pretrained

        _refuse_options(text, options)
        return pretrained(named.name, say=_announce)
    if named.kind == "hub":
        return _from_hub(named, options)
    if named.kind == "url":
        return _from_url(named.name, options)
    if named.kind == "file":
        return model_of_file(Path(named.name), **options)
    raise WeightsError(f"{text!r} is no file and no name of weights known here; {nearest(text)}")


def _refuse_options(what: str, options: Mapping[str, Any]) -> None:
    """Refuse what is said of the architecture where the source itself knows it."""
    if options["arch"] is not None or options["num_heads"] is not None:
        raise WeightsError(f"{what} names its architecture; leave arch= and num_heads= out")
    if options["channels"] is not None:
        raise WeightsError(f"{what} takes RGB as it is; leave channels= out")


def _from_zoo(entry: ZooEntry, options: Mapping[str, Any]) -> LoadedModel:
    hints = Hints(
        name=entry.name,
        description=entry.description,
        mean=entry.mean,
        std=entry.std,
        arch_label=entry.arch,
    )
    chosen = {**options, "key": entry.key}
    if entry.origin == "random":
        hints = replace(hints, is_random=True)
        return model_of_tree(initial_tensors(entry), hints, entry.name, **chosen)
    if entry.repository is not None:
        from dino.weights.pretrained import pretrained_of_zoo

        _refuse_options(entry.name, options)
        fetch(entry.name, checkpoints_folder(), say=_announce)
        return pretrained_of_zoo(entry, say=_announce)
    try:
        path = fetch(entry.name, checkpoints_folder(), say=_announce).path
    except DownloadError as error:
        raise DownloadError(
            f"{error} (`python -m dino weights fetch default` tries other ways too)"
        ) from error
    assert path is not None
    raw = read(path)
    hints = replace(hints, num_heads=raw.hints.num_heads, grid=raw.hints.grid)
    return model_of_tree(raw.tree, hints, str(path), **chosen)


def _from_hub(named: Reference, options: Mapping[str, Any]) -> LoadedModel:
    """Open weights of the hub, by the folder of its cache that holds them and what describes them."""
    repository = Repository(named.name, named.revision, named.filename)
    try:
        path = fetch_repository(repository, say=_announce)
    except WeightsError as error:
        if named.is_sure:
            raise
        raise type(error)(
            f"there is no file or folder {repository}, and as a name on {hub_host()}: "
            f"{str(error).removeprefix(f'{repository}: ')}"
        ) from error
    is_whole = named.filename is None and path.name.endswith(_OF_A_FOLDER)
    loaded = _timm_s_own(path.parent, options) if is_whole else None
    if loaded is None:
        loaded = model_of_file(path.parent if is_whole else path, **options)
    return replace(
        loaded,
        name=named.name.rpartition("/")[2],
        description=f"{repository} of {hub_host()}: {loaded.description}",
    )


def _timm_s_own(folder: Path, options: Mapping[str, Any]) -> LoadedModel | None:
    """Have timm build what it has written itself, where nothing else is said of the architecture."""
    from dino.weights.pretrained import timm_of_folder

    said = any(options[name] is not None for name in ("arch", "num_heads", "channels"))
    return None if said else timm_of_folder(folder)


def _from_url(url: str, options: Mapping[str, Any]) -> LoadedModel:
    path = fetch_url(url, checkpoints_folder(), say=_announce)
    loaded = model_of_file(path, **options)
    # The file's name carries a hash of the address; the weights' own name, where they have one, is kept.
    plain = path.stem.rpartition("-")[0]
    return replace(loaded, name=plain) if loaded.name == path.stem else loaded


def _announce(line: str) -> None:
    """Print a line on stderr before the first byte: no download is silent."""
    print(line, file=sys.stderr, flush=True)
