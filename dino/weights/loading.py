"""Open weights from anywhere: a zoo name, a timm name, a file, a folder or a state dict.

backbone = load("dino_vits16")
backbone = load("runs/pets/checkpoints/step-00000100.pt", key="teacher")
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dino.errors import DownloadError, WeightsError
from dino.system.folders import checkpoints_folder
from dino.weights.architecture import LoadedModel
from dino.weights.fetching import fetch
from dino.weights.files import read
from dino.weights.hints import Hints, from_checkpoint
from dino.weights.initial import initial_tensors
from dino.weights.opening import model_of_file, model_of_tree
from dino.weights.timm_hub import pretrained
from dino.weights.zoo import ZOO, ZooEntry

if TYPE_CHECKING:
    import torch

    from dino.model.backbone import Backbone

# A zoo or timm name, a path, or a state dict.
Loadable = str | Path | Mapping[str, Any]
_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".onnx", ".tar")


def load(
    source: Loadable,
    *,
    key: str = "teacher",
    arch: str | None = None,
    num_heads: int | None = None,
    device: str | torch.device = "auto",
    precision: str = "auto",
) -> Backbone:
    """Load a backbone, ready to look into.

    Args:
        source: zoo name, timm name (`timm:NAME`, or a name timm knows), path of a weights file or
            Hugging Face folder, or a state dict.
        key: "teacher" or "student" of a full checkpoint; a bare backbone ignores it.
        arch: timm architecture, where it should not be read off the tensors.
        num_heads: heads, where width / 64 is not right.
        device: "auto", "cpu", "cuda" …
        precision: "auto", "fp32" or "bf16".
    Raises:
        WeightsError: nothing there, unknown or incomplete layout, unsafe file.
        DownloadError: the weights are not here and could not be fetched.
    """
    from dino.model.backbone import wrap

    loaded = load_model(source, key=key, arch=arch, num_heads=num_heads)
    return wrap(
        loaded.model,
        name=loaded.name,
        description=loaded.description,
        mean=loaded.mean,
        std=loaded.std,
        device=device,
        precision=precision,
        weights_sha256=loaded.weights_sha256,
        is_random=loaded.is_random,
    )


def load_model(
    source: Loadable,
    *,
    key: str = "teacher",
    arch: str | None = None,
    num_heads: int | None = None,
) -> LoadedModel:
    """Load as `load` does, up to the timm model: float32, on the CPU, in eval mode."""
    if isinstance(source, Mapping):
        hints = from_checkpoint(source)
        return model_of_tree(source, hints, "state dict", key=key, arch=arch, num_heads=num_heads)
    if isinstance(source, str):
        if source in ZOO:
            return _from_zoo(ZOO[source], arch=arch, num_heads=num_heads)
        name = source.removeprefix("timm:")
        if name != source or _is_timm_name(source):
            if arch is not None or num_heads is not None:
                raise WeightsError(
                    f"{source} names its architecture; leave arch= and num_heads= out"
                )
            return pretrained(name)
    return model_of_file(Path(source), key=key, arch=arch, num_heads=num_heads)


def _is_timm_name(text: str) -> bool:
    """Tell whether `text` means a timm model; a file of that name goes first.

    Raises:
        WeightsError: neither a file nor any known name, with the nearest ones.
    """
    if len(text) > 255:
        raise WeightsError(f"{text[:40]}… is too long for a name of weights or a file")
    if Path(text).exists() or "/" in text or "\\" in text or text.endswith(_SUFFIXES):
        return False
    import timm

    if timm.is_model(text):
        return True
    near = difflib.get_close_matches(text, [*ZOO, *timm.list_models()], n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"zoo names: {', '.join(ZOO)}"
    raise WeightsError(f"{text!r} is no file and no name of weights known here; {hint}")


def _from_zoo(entry: ZooEntry, *, arch: str | None, num_heads: int | None) -> LoadedModel:
    hints = Hints(
        name=entry.name,
        description=entry.description,
        mean=entry.mean,
        std=entry.std,
        arch_label=entry.arch,
    )
    options: dict[str, Any] = {"key": entry.key, "arch": arch, "num_heads": num_heads}
    if entry.origin == "random":
        hints = replace(hints, is_random=True)
        return model_of_tree(initial_tensors(entry), hints, entry.name, **options)
    try:
        path = fetch(entry.name, checkpoints_folder(), say=_announce).path
    except DownloadError as error:
        raise DownloadError(
            f"{error} (`python -m dino weights fetch default` tries other ways too)"
        ) from error
    assert path is not None
    raw = read(path)
    hints = replace(hints, num_heads=raw.hints.num_heads, grid=raw.hints.grid)
    return model_of_tree(raw.tree, hints, str(path), **options)


def _announce(line: str) -> None:
    """Print a line on stderr before the first byte: no download is silent."""
    print(line, file=sys.stderr, flush=True)
