"""Merge low-rank adapters (LoRA, as PEFT writes them) into the weights they stand beside.

W + B·A·scale, where scale is alpha / r, or alpha / √r of rsLoRA. The tensors show r but not alpha, and
another alpha is another network, so without a record of it nothing is merged.
Source: Hu et al. 2021, "LoRA"; the key names of huggingface/peft.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from dino.errors import WeightsError

_PART = re.compile(r"^(.*)\.lora_(A|B)\.(?:([^.]+)\.)?weight$")
_MARKS = ("lora_", ".base_layer.", ".modules_to_save.", ".original_module.")


def merge_lora(state: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the one adapter of a state dict, if it has one.

    Args:
        state: keys of the backbone; adapters as `X.lora_A.NAME.weight` beside `X.base_layer.weight`
            or `X.weight`.
        config: adapter_config.json, with `lora_alpha` and perhaps `use_rslora`, `alpha_pattern`.
    Returns:
        The state dict without adapters.
    Raises:
        WeightsError: two adapters, a kind that is not known, no base weights, or no scale recorded.
    """
    if not any(mark in name for name in state for mark in _MARKS):
        return dict(state)
    plain: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    adapters = set()
    for name, value in state.items():
        found = _PART.match(name)
        if found:
            parts.setdefault(found[1], {})[found[2]] = value
            adapters.add(found[3])
        elif "lora_" in name:
            raise WeightsError(
                f"{name!r} belongs to a kind of LoRA that is not known here (DoRA, or biases); merge "
                "it with merge_and_unload() and save the result"
            )
        elif ".original_module." not in name:
            own = name.replace(".base_layer.", ".")
            plain[re.sub(r"\.modules_to_save\.[^.]+\.", ".", own)] = value
    if len(adapters) > 1:
        raise WeightsError(
            f"{len(adapters)} LoRA adapters ({', '.join(sorted(map(str, adapters)))}); merge the one "
            "that is meant with merge_and_unload() and save the result"
        )
    for base, pair in parts.items():
        if f"{base}.weight" not in plain or set(pair) != {"A", "B"}:
            raise WeightsError(
                f"the LoRA adapter of {base!r} stands without its base weights; load the base network, "
                "merge with merge_and_unload() and save the result"
            )
        plain[f"{base}.weight"] = _merged(plain[f"{base}.weight"], pair, base, config)
    return plain


def _merged(weight: Any, pair: Mapping[str, Any], base: str, config: Mapping[str, Any]) -> Any:
    """Add B·A·scale to one weight, in float64 so that no rounding is added."""
    import torch

    down, up = torch.as_tensor(pair["A"]).double(), torch.as_tensor(pair["B"]).double()
    if down.ndim != 2 or up.ndim != 2 or torch.as_tensor(weight).ndim != 2:
        raise WeightsError(
            f"the LoRA adapter of {base!r} is not one of a linear layer; merge it with "
            "merge_and_unload() and save the result"
        )
    scale = _scale(base, down.shape[0], config)
    change = up @ down * scale
    if config.get("fan_in_fan_out"):
        change = change.T
    whole = torch.as_tensor(weight)
    if change.shape != whole.shape:
        raise WeightsError(
            f"the LoRA adapter of {base!r} has shape {tuple(change.shape)}, expected "
            f"{tuple(whole.shape)}"
        )
    return (whole.double() + change).float()


def _scale(base: str, rank: int, config: Mapping[str, Any]) -> float:
    """Read alpha / r (or alpha / √r) of one layer.

    Raises:
        WeightsError: not recorded.
    """
    alpha = config.get("lora_alpha")
    pattern = config.get("alpha_pattern")
    if isinstance(pattern, Mapping):
        for key, value in pattern.items():
            if base == key or re.search(rf"(^|\.){key}$", base):
                alpha = value
    if config.get("use_dora") or not isinstance(alpha, int | float):
        raise WeightsError(
            "LoRA adapters whose scale is not recorded (lora_alpha): give the folder with its "
            "adapter_config.json, or merge with merge_and_unload() and save the result"
        )
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)
