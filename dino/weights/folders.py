"""Find the weights in a folder: one file, or the shards of an index; say which kind it is where none fit.

found = find_weights(folder)      # found.files, found.home (where config.json lies), found.name
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dino.errors import WeightsError
from dino.weights.configs import read_json_object

# In this order; an index names the shards of the file it is called after.
STANDARD_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
_INDEX = ".index.json"
_SHARD = re.compile(r"(.+)-\d{5}-of-(\d{5})(\.\w+)")
_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".ckpt", ".onnx")
# What trainers write beside weights.
_BESIDE = re.compile(r"(optimizer|scheduler|scaler|training_args|rng_state.*|random_states.*)\.\w+")
_ADAPTER_ALONE = (
    "a PEFT adapter alone, without the network it changes; merge it (merge_and_unload() of PEFT) and save "
    "the result"
)
_OTHERS = (
    (
        ("model_index.json", "diffusion_pytorch_model*"),
        "weights of an image generator (diffusers), which have no backbone that is read here; give "
        "those of a ViT, ResNet-50 or XCiT",
    ),
    (
        ("adapter_model.*",),
        _ADAPTER_ALONE,
    ),
    (
        ("*.distcp",),
        "a distributed checkpoint of torch; make one file of it with torch.distributed.checkpoint."
        "format_utils.dcp_to_torch_save",
    ),
    (
        ("tf_model*.h5", "flax_model*.msgpack", "saved_model.pb"),
        "weights for TensorFlow or Flax; give those for PyTorch (model.safetensors), or save them so "
        "with from_tf=True or from_flax=True of transformers",
    ),
)


@dataclass(frozen=True)
class FoundWeights:
    """The files of one network: `home` is the folder of its config.json, `what` says what was taken."""

    files: tuple[Path, ...]
    home: Path
    what: str
    name: str | None = None
    weight_map: Mapping[str, str] | None = None


def find_weights(folder: Path) -> FoundWeights:
    """Find the weights in a folder of Hugging Face, of the hub's cache, or with one file in it.

    Raises:
        WeightsError: there are none, several that it could be, or those of another kind.
    """
    home, name = _of_hub_cache(folder)
    for standard in STANDARD_FILES:
        path = home / standard
        if path.is_file():
            found = _of_index(path) if standard.endswith(_INDEX) else _single(path)
            return FoundWeights(found.files, home, found.what, name, found.weight_map)
    _refuse_others(home)
    files = [
        path
        for path in sorted(home.iterdir())
        if path.suffix in _SUFFIXES and path.is_file() and not _BESIDE.fullmatch(path.name)
    ]
    if not files and (home / "adapter_config.json").is_file():
        raise WeightsError(f"{folder}: {_ADAPTER_ALONE}")
    if len(files) == 1:
        return FoundWeights((files[0],), home, f"folder, of which {files[0].name} was taken,", name)
    if files:
        raise WeightsError(
            f"{folder}: has several files of weights ({_listed([f.name for f in files])}) and none is "
            "model.safetensors or pytorch_model.bin; give one of them"
        )
    raise WeightsError(
        f"{folder}: a folder without weights; expected model.safetensors or pytorch_model.bin "
        "with config.json in it"
    )


def find_beside(path: Path) -> FoundWeights | None:
    """Find what belongs to a file that was given by itself: its shards, its config.json; None if nothing.

    Raises:
        WeightsError: it is one shard of several.
    """
    if path.name.endswith(_INDEX):
        return _of_index(path)
    if path.name in STANDARD_FILES:
        return FoundWeights((path,), path.parent, "", _hub_name(path.parent))
    shard = _SHARD.fullmatch(path.name)
    if shard and (path.parent / f"{shard[1]}{shard[3]}{_INDEX}").is_file():
        raise WeightsError(
            f"{path}: one of {int(shard[2])} shards; give the folder, or {shard[1]}{shard[3]}{_INDEX}"
        )
    return None


def _single(path: Path) -> FoundWeights:
    return FoundWeights((path,), path.parent, "folder with")


def _of_index(path: Path) -> FoundWeights:
    """Read which shards an index names; all have to lie beside it."""
    weight_map = read_json_object(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{path}: names no shards (weight_map); download it again")
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if Path(name).name != name or "\\" in name or name in (".", ".."):
            raise WeightsError(
                f"{path}: names a file outside its folder ({name!r}), which is not followed; correct "
                "the weight_map"
            )
        if not (path.parent / name).is_file():
            raise WeightsError(
                f"{path.parent}: its index names {name}, which is not there ({len(names)} shards in "
                "all); download it too"
            )
    what = f"folder with {len(names)} shards of"
    files = tuple(path.parent / name for name in names)
    return FoundWeights(files, path.parent, what, _hub_name(path.parent), weight_map)


def _of_hub_cache(folder: Path) -> tuple[Path, str | None]:
    """Give the snapshot of a folder of the hub's cache, and the network's name there."""
    folder = folder.parent if folder.name == "snapshots" else folder
    models = sorted(path for path in folder.glob("models--*") if path.is_dir())
    if len(models) == 1:
        folder = models[0]
    elif models:
        raise WeightsError(
            f"{folder}: the hub's cache of several networks "
            f"({_listed([_repo_name(path.name) for path in models])}); give the folder of one of them"
        )
    snapshots = folder / "snapshots"
    if not folder.name.startswith("models--") or not snapshots.is_dir():
        return folder, _hub_name(folder)
    reference = folder / "refs" / "main"
    revision = reference.read_text(errors="replace").strip() if reference.is_file() else ""
    if re.fullmatch(r"\w+", revision) and (snapshots / revision).is_dir():
        return snapshots / revision, _repo_name(folder.name)
    revisions = sorted(path for path in snapshots.iterdir() if path.is_dir())
    if len(revisions) == 1:
        return revisions[0], _repo_name(folder.name)
    raise WeightsError(
        f"{folder}: has {len(revisions)} snapshots ({_listed([p.name for p in revisions])}) and no "
        "refs/main that names one; give the folder of one of them"
    )


def _hub_name(home: Path) -> str | None:
    """Name a network by its folder in the hub's cache; None where it lies elsewhere."""
    repo = home.resolve().parent.parent.name
    is_snapshot = home.resolve().parent.name == "snapshots" and repo.startswith("models--")
    return _repo_name(repo) if is_snapshot else None


def _repo_name(folder_name: str) -> str:
    return folder_name.removeprefix("models--").replace("--", "/", 1)


def _refuse_others(folder: Path) -> None:
    for patterns, what in _OTHERS:
        if any(next(folder.glob(pattern), None) is not None for pattern in patterns):
            raise WeightsError(f"{folder}: {what}")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more
