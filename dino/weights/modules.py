"""Open a network that somebody has in memory: a timm model, copied and never changed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from dino.errors import WeightsError
from dino.weights.architecture import LoadedModel
from dino.weights.hints import triple
from dino.weights.saving import digest
from dino.weights.zoo import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from torch import nn


def model_of_module(given: Any) -> LoadedModel:
    """Take a copy of a timm model: float32, on the CPU, in eval mode, without its classifier.

    What wraps it (DataParallel, torch.compile) is taken off. Its own forward is the truth, also for how
    its position embedding goes to other sizes.

    Raises:
        WeightsError: no timm model; for another network's tensors its state dict can be given.
    """
    model = _unwrapped(given)
    _check_timm(model)
    try:
        copied: Any = copy.deepcopy(model).float().cpu().eval()
    # Results of a computation cannot be copied, tensors without values (of torch's meta device) not moved.
    except (RuntimeError, NotImplementedError) as error:
        raise WeightsError(
            f"this {type(model).__name__} cannot be copied ({error}); give its state_dict() instead"
        ) from error
    if getattr(copied, "num_classes", 0) and hasattr(copied, "reset_classifier"):
        copied.reset_classifier(0)
    cfg = config_of(copied)
    name = ".".join(str(cfg[part]) for part in ("architecture", "tag") if cfg.get(part))
    kind = type(copied).__name__
    mean, std = triple(cfg.get("mean")), triple(cfg.get("std"))
    return LoadedModel(
        model=copied,
        name=name or kind,
        description=f"{name or kind}, given as a network; whether and how it was trained is not recorded.",
        mean=mean or IMAGENET_MEAN,
        std=std or IMAGENET_STD,
        weights_sha256=digest(copied.state_dict()),
        layout=f"timm model in memory ({kind})",
        notes=()
        if mean and std
        else ("The network does not say its mean and std; ImageNet's are assumed.",),
        positions="timm",
    )


def _unwrapped(given: Any) -> Any:
    """Take off DataParallel and torch.compile."""
    for _ in range(4):
        inner = getattr(given, "_orig_mod", None)
        if inner is None and type(given).__name__ in ("DataParallel", "DistributedDataParallel"):
            inner = given.module
        if inner is None:
            break
        given = inner
    return given


def _check_timm(model: nn.Module) -> None:
    """Refuse anything that is not built by timm, or a class that goes on from one of timm's.

    Raises:
        WeightsError: with what was got, and the way to open its tensors.
    """
    from torch import nn

    if not isinstance(model, nn.Module):
        raise WeightsError(
            f"got a {type(model).__name__}; expected a name, an address, a path, a state dict or a timm "
            "model"
        )
    of_timm = any(kind.__module__.partition(".")[0] == "timm" for kind in type(model).__mro__)
    if not (of_timm and hasattr(model, "forward_features")):
        kind = type(model)
        raise WeightsError(
            f"this network is a {kind.__module__}.{kind.__qualname__}, not a timm model with "
            "forward_features; give its state_dict(), with arch= or num_heads= where they do not show"
        )


def config_of(model: Any) -> dict[str, Any]:
    """Read what timm keeps beside a model, a dict or an object of its own."""
    cfg = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    if hasattr(cfg, "to_dict"):
        cfg = cfg.to_dict()
    return dict(cfg) if isinstance(cfg, dict) else {}
