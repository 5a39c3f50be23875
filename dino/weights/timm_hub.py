"""Load pretrained weights through timm and the Hugging Face hub, without long waits when offline."""

from __future__ import annotations

import os
import socket
from typing import Any

from dino.errors import DownloadError, WeightsError
from dino.weights.architecture import LoadedModel
from dino.weights.saving import digest
from dino.weights.zoo import IMAGENET_MEAN, IMAGENET_STD

_CONNECT_TIMEOUT_S = 3.0
_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def pretrained(name: str) -> LoadedModel:
    """Load a pretrained timm model, from the local hub cache or over the network.

    Args:
        name: timm name, with or without its tag (`vit_small_patch16_224.dino`).
    Raises:
        WeightsError: timm has no such model, or no weights for it.
        DownloadError: not in the cache and the hub cannot be reached.
    """
    import timm

    try:
        cfg = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:  # the architecture is known, the tag is not
        cfg = None
    if cfg is None or not cfg.has_weights:
        raise WeightsError(
            f"timm has no pretrained weights named {name!r}; see timm.list_pretrained()"
        )
    overlay = _cached_file(cfg)
    if overlay is None and not _hub_reachable():
        raise DownloadError(
            f"timm:{name}: the Hugging Face hub cannot be reached and the weights are not in its "
            "cache; connect and run again, or give a file"
        )
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
        description=f"timm's pretrained {name} (licence: {cfg.license or 'see its model card'}).",
        mean=tuple(cfg.mean or IMAGENET_MEAN),
        std=tuple(cfg.std or IMAGENET_STD),
        weights_sha256=digest(model.state_dict()),
        layout="timm, pretrained",
    )


def _cached_file(cfg: Any) -> dict[str, str] | None:
    """Find the overlay that makes timm take the file of an earlier download; None where there is none."""
    from huggingface_hub import try_to_load_from_cache

    if not cfg.hf_hub_id:
        return None
    for filename in ("model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(cfg.hf_hub_id, cfg.hf_hub_filename or filename)
        if isinstance(found, str):
            return {"file": found}
    return None


def _hub_reachable() -> bool:
    """Tell whether a connection opens at all; the hub's client would retry for most of a minute."""
    if any(os.environ.get(name) for name in _PROXIES):
        return True  # the proxy resolves names; let the client try
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    host, _, port = endpoint.split("//")[-1].split("/")[0].partition(":")
    try:
        default = 80 if endpoint.startswith("http:") else 443
        socket.create_connection((host, int(port or default)), _CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True
