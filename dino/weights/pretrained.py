"""Open the pretrained weights that timm knows by name, as timm itself builds them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from dino.errors import DownloadError, WeightsError
from dino.system.files import parse_json
from dino.weights.architecture import LoadedModel
from dino.weights.hints import triple
from dino.weights.hub import Announce, Repository, fetch_repository, find, licence_words
from dino.weights.modules import config_of
from dino.weights.saving import digest
from dino.weights.zoo import IMAGENET_MEAN, IMAGENET_STD, ZooEntry


def pretrained(name: str, *, say: Announce) -> LoadedModel:
    """Load a pretrained timm model, from the hub's cache or over the network.

    Args:
        name: timm name, with or without its tag (`vit_small_patch16_224.dino`).
        say: called with one line before anything is fetched.
    Raises:
        WeightsError: timm has no such model, or no weights for it.
        DownloadError: not in the cache and the hub cannot be reached.
    """
    import timm

    cfg = _config(name)
    overlay = None
    if cfg.hf_hub_id:
        repository = Repository(cfg.hf_hub_id, filename=cfg.hf_hub_filename)
        try:
            path = fetch_repository(
                repository, say=say, what=_description(name, cfg), is_described=True
            )
        except DownloadError as error:
            raise DownloadError(f"timm:{name}: {error}") from error
        overlay = {"file": str(path)}
    try:
        model = timm.create_model(
            name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay
        ).eval()
    except (OSError, RuntimeError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DownloadError(f"timm:{name}: could not be fetched or loaded ({line})") from error
    return LoadedModel(
        model=model,
        name=name,
        description=_description(name, cfg),
        mean=tuple(cfg.mean or IMAGENET_MEAN),
        std=tuple(cfg.std or IMAGENET_STD),
        weights_sha256=digest(model.state_dict()),
        layout="timm, pretrained",
        positions="dino" if "dino" in name else "timm",
    )


def pretrained_repository(name: str) -> Repository | None:
    """Name the repository of the hub that has a timm model's weights, None where none has.

    Raises:
        WeightsError: timm has no such model, or no weights for it.
    """
    cfg = _config(name)
    return Repository(cfg.hf_hub_id, filename=cfg.hf_hub_filename) if cfg.hf_hub_id else None


def pretrained_of_zoo(entry: ZooEntry, *, say: Announce) -> LoadedModel:
    """Load an entry of the zoo whose weights timm keeps on the hub; it is described as the zoo does."""
    assert entry.repository is not None
    loaded = pretrained(entry.repository.removeprefix("timm/"), say=say)
    return replace(
        loaded, name=entry.name, description=entry.description, mean=entry.mean, std=entry.std
    )


def is_pretrained_here(name: str) -> bool:
    """Tell whether a timm model's weights are in the hub's cache."""
    repository = pretrained_repository(name)
    return repository is not None and find(repository) is not None


def timm_of_folder(folder: Path) -> LoadedModel | None:
    """Build what timm itself has written: a folder whose config.json names an architecture of timm's.

    Returns:
        None where it does not, or where timm's own reading of it fails: then tensors decide.
    """
    import timm

    try:
        config = parse_json((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    arch = config.get("architecture") if isinstance(config, dict) else None
    if not isinstance(arch, str) or not timm.is_model(arch):
        return None
    described = config.get("pretrained_cfg") or config
    size = described.get("input_size") if isinstance(described, dict) else None
    if isinstance(size, list) and size[:1] != [3]:
        return None  # timm would make RGB of it without a word
    try:
        model: Any = timm.create_model(
            f"local-dir:{folder}", pretrained=True, num_classes=config.get("num_classes", 0)
        )
        if model.num_classes:
            model.reset_classifier(0)
    except Exception:  # whatever a config.json of another's making leads to
        return None
    cfg = config_of(model)
    name = ".".join(str(cfg[part]) for part in ("architecture", "tag") if cfg.get(part))
    return LoadedModel(
        model=model.float().eval(),
        name=name,
        description=f"timm's {name} (licence: {licence_words(cfg.get('license'))}).",
        mean=triple(cfg.get("mean")) or IMAGENET_MEAN,
        std=triple(cfg.get("std")) or IMAGENET_STD,
        weights_sha256=digest(model.state_dict()),
        layout="timm, with its config.json",
        positions="dino" if "dino" in name else "timm",
    )


def _config(name: str) -> Any:
    import timm

    try:
        cfg = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:  # the architecture is known, the tag is not
        cfg = None
    if cfg is None or not cfg.has_weights:
        raise WeightsError(
            f"timm has no pretrained weights named {name!r}; see timm.list_pretrained()"
        )
    return cfg


def _description(name: str, cfg: Any) -> str:
    return f"timm's pretrained {name} (licence: {licence_words(cfg.license)})."
