"""Bring DINOv3 and BEiT to the form in which timm's Eva and Beit keep them: biases apart, no masks.

Sources: facebookresearch/dinov3 (LinearKMaskedBias, RopePositionEmbedding), microsoft/unilm, transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dino.errors import WeightsError
from dino.weights.naming.rules import join, move

if TYPE_CHECKING:
    from torch import Tensor


def dinov3_tensors(tensors: dict[str, Tensor], origin: dict[str, str]) -> Tensor | None:
    """Change the tensors of a DINOv3 in place.

    Returns:
        Periods of its rotary positions, [head dimension / 4], None where the file has none.
    Raises:
        WeightsError: a bias of the keys that is not zero, or a norm of its own for the CLS token.
    """
    import torch

    periods = tensors.pop("rope_embed.periods", None)
    _split_biases(tensors, origin)
    for name in [name for name in tensors if name.endswith((".ls1.gamma", ".ls2.gamma"))]:
        gamma = name.replace(".ls1.gamma", ".gamma_1").replace(".ls2.gamma", ".gamma_2")
        move(tensors, origin, name, gamma)
    for part in ("weight", "bias"):
        own = tensors.pop(f"cls_norm.{part}", None)
        if own is not None and not torch.equal(own, tensors.get(f"norm.{part}", own)):
            raise WeightsError(
                "this DINOv3 has a norm of its own for the CLS token (cls_norm), which timm's network "
                "has not; it cannot be opened exactly, so it is not opened"
            )
    return periods


def beit_tensors(tensors: dict[str, Tensor], origin: dict[str, str]) -> None:
    """Change the tensors of a BEiT in place: weights of query, key and value joined, biases apart."""
    _split_biases(tensors, origin)


def eva_tensors(tensors: dict[str, Tensor], origin: dict[str, str]) -> None:
    """Name the biases of an EVA-02 as timm does where query, key and value are apart, in place."""
    for part in ("q", "v"):
        for name in [name for name in tensors if name.endswith(f".attn.{part}_bias")]:
            if name.replace(f"{part}_bias", f"{part}_proj.weight") in tensors:
                move(tensors, origin, name, name.replace(f"{part}_bias", f"{part}_proj.bias"))


def _split_biases(tensors: dict[str, Tensor], origin: dict[str, str]) -> None:
    """Keep biases of query and value apart, join the weights, refuse a bias of the keys."""
    import torch

    for name in [name for name in tensors if name.endswith(".attn.qkv.bias")]:
        bias, mask = tensors.pop(name), tensors.pop(f"{name}_mask", None)
        if mask is not None:
            bias = torch.where(mask.isnan() | (mask == 0), torch.zeros_like(bias), bias * mask)
        query, key, value = bias.chunk(3)
        _refuse_key_bias(key, origin.get(name, name))
        base = name.removesuffix("qkv.bias")
        for part, values in (("q_bias", query), ("v_bias", value)):
            tensors[base + part] = values.contiguous()
            origin[base + part] = origin.get(name, name)
    for name in [name for name in tensors if name.endswith(".attn.key.bias")]:
        _refuse_key_bias(tensors.pop(name), origin.get(name, name))
    for part, new in (("query.bias", "q_bias"), ("value.bias", "v_bias")):
        for name in [name for name in tensors if name.endswith(f".attn.{part}")]:
            move(tensors, origin, name, name.replace(part, new))
    join(tensors, origin, ("query", "key", "value"), "qkv")


def _refuse_key_bias(bias: Tensor, name: str) -> None:
    if bias.any():
        raise WeightsError(
            f"{name!r} has a bias of the keys that is not zero, which this kind of network has not; "
            "give the complete, unchanged weights"
        )
