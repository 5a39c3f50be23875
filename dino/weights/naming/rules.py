"""Say what a foreign layout is: how it is found, and how its keys become timm's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dino.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

Rules = tuple[tuple[str, str], ...]

# Heads, decoders and losses, which many projects keep in a backbone's own namespace.
HEADS = (
    r"(\w*heads?|head_dist|fc|classifier|pre_logits|pooler|attn_pool|lm_head|dpr_head)\.|"
    r"(\w*decoder\w*|predictor|projectors?|prototypes|local_cls_norm)\.|decoder_pos_embed$|"
    r"(mask_token|masked_embed|pos_embed_window)$"
)


@dataclass(frozen=True)
class Layout:
    """How one project names the tensors of a backbone.

    Fields:
        family: short name used inside this package.
        words: what a user reads.
        patches: keys of the patch embedding, one of which every complete backbone has.
        also: a key that has to stand beside it, where the first is a common name.
        anchors: other keys only this layout has, by which a damaged file is still recognised.
        rules: (pattern, replacement) pairs, tried in order at the start of a key.
        dropped: pattern of keys that are no part of the backbone, matched before renaming.
        beside: pattern of keys beside the backbone that belong to another part, such as a text tower.
        shape: changes tensors in place after renaming (names alone do not tell everything).
        check: refuses keys of networks that are named alike but compute something else.
        norm_eps, act, mean, std: what this project uses where the file does not say; None: timm's.
        assumed_act: a sentence where `act` is a guess.
    """

    family: str
    words: str
    patches: tuple[str, ...]
    also: str | None = None
    anchors: tuple[str, ...] = ()
    rules: Rules = ()
    dropped: str = HEADS
    beside: str | None = None
    shape: Callable[[dict[str, Tensor], dict[str, str]], None] | None = None
    check: Callable[[Iterable[str]], None] | None = None
    norm_eps: float | None = None
    act: str | None = None
    assumed_act: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


def rename(name: str, rules: Rules) -> str:
    """Apply every rule in turn to the start of a key."""
    for pattern, replacement in rules:
        anchored = pattern if pattern.startswith("^") else f"^{pattern}"
        name = re.sub(anchored, replacement, name)
    return name


def rename_all(state: Mapping[str, Any], rules: Rules) -> tuple[dict[str, Any], dict[str, str]]:
    """Rename every key.

    Returns:
        The renamed dict, and for each new name the old one.
    Raises:
        WeightsError: two keys stand for one tensor.
    """
    origin: dict[str, str] = {}
    renamed: dict[str, Any] = {}
    for name, value in state.items():
        new = rename(name, rules)
        if new in renamed:
            raise WeightsError(
                f"{origin[new]!r} and {name!r} both stand for {new!r}; keep one of them"
            )
        origin[new], renamed[new] = name, value
    return renamed, origin


def join(
    tensors: dict[str, Tensor], origin: dict[str, str], parts: tuple[str, ...], whole: str
) -> None:
    """Stack tensors whose names differ in `parts` (in this order) into `whole`, in place.

    An incomplete set is left as it is, for the check of completeness to name.
    """
    import torch

    first = f".{parts[0]}."
    for name in [name for name in tensors if first in name]:
        names = [name.replace(first, f".{part}.") for part in parts]
        if all(part in tensors for part in names):
            joined = name.replace(first, f".{whole}.")
            origin[joined] = origin[name]
            tensors[joined] = torch.cat([tensors.pop(part) for part in names])


def move(tensors: dict[str, Tensor], origin: dict[str, str], old: str, new: str) -> None:
    """Give a tensor another name, in place; nothing where there is none."""
    if old in tensors:
        tensors[new] = tensors.pop(old)
        origin[new] = origin.pop(old, old)
