"""Find out how many heads a ViT has: the tensors of most do not show it, and a wrong number is silent.

What the tensors show goes first, then what stands beside them, then the name of the architecture; else
heads of 64 are assumed, and a note says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dino.errors import WeightsError
from dino.weights.hints import Hints
from dino.weights.layouts import Canonical

if TYPE_CHECKING:
    from torch import Tensor

_HEAD_DIM = 64
# Published ViTs of these widths (so400m, H, g, G) have 16 heads, though 64 divides the width.
_OTHER_HEAD_DIM = frozenset({1152, 1280, 1408, 1664})
# Heads by what projects call an architecture, and by its width. Sources: their model definitions.
_KNOWN = {
    ("tiny", 192): 3,
    ("small", 384): 6,
    ("base", 768): 12,
    ("large", 1024): 16,
    ("huge", 1280): 16,
    ("giant", 1408): 16,
    ("giant2", 1536): 24,
    ("giant", 1536): 24,
    ("so400m", 1152): 16,
    ("7b", 4096): 32,
}
_MOCO = {("small", 384): 12, ("base", 768): 12}
_MOCO_WORDS = frozenset({"base_encoder", "momentum_encoder"})

_MOCO_WIDTH = 384


def choose_heads(
    canonical: Canonical, hints: Hints, num_heads: int | None
) -> tuple[int | None, tuple[str, ...]]:
    """Choose the number of heads.

    Args:
        num_heads: what the caller says, which wins over what is written beside the weights.
    Returns:
        The number, None where nothing says it (`check_heads` then assumes or refuses), and notes.
    Raises:
        WeightsError: the caller's number contradicts what the tensors show.
    """
    shown = shown_heads(canonical)
    recorded = hints.num_heads or _named_heads(canonical, hints)
    if num_heads is not None:
        if shown is not None and num_heads != shown:
            raise WeightsError(
                f"num_heads={num_heads}, but the tensors show {shown} heads; leave it out"
            )
        if recorded is not None and recorded != num_heads:
            return num_heads, (
                f"{num_heads} heads are taken, as asked for; what stands beside the weights says "
                f"{recorded}.",
            )
        return num_heads, ()
    return shown or recorded, ()


def shown_heads(canonical: Canonical) -> int | None:
    """Read the number of heads off the tensors, for the kinds of network that show it."""
    tensors = canonical.tensors
    width = _width(tensors)
    for name in (
        "blocks.0.attn.relative_position_bias_table",
        "rel_pos_bias.relative_position_bias_table",
    ):
        if name in tensors and tensors[name].ndim == 2:
            return int(tensors[name].shape[1])
    per_head = None
    if canonical.periods is not None and canonical.periods.ndim == 1:
        per_head = 4 * len(canonical.periods)
    elif "blocks.0.attn.q_norm.weight" in tensors:
        per_head = int(tensors["blocks.0.attn.q_norm.weight"].shape[0])
        per_head = None if per_head == width else per_head  # normed over the whole width
    return width // per_head if per_head and width % per_head == 0 else None


def check_heads(width: int, num_heads: int | None) -> int:
    """Check a number of heads against the width, or assume heads of 64.

    Raises:
        WeightsError: it does not divide the width, or 64 is not what published networks have.
    """
    if num_heads is None:
        if width % _HEAD_DIM or width in _OTHER_HEAD_DIM:
            raise WeightsError(
                f"the number of heads does not show in weights of width {width}; pass "
                "num_heads= (--num-heads), or arch= (--arch) with a timm name"
            )
        return width // _HEAD_DIM
    if num_heads < 1 or width % num_heads:
        raise WeightsError(f"num_heads={num_heads} does not divide the width {width}")
    return num_heads


def assumed_note(heads: int, width: int) -> str:
    """Say that the number of heads was assumed."""
    # The best known network of a usual width and other heads; with the wrong ones every map is wrong.
    known = " (MoCo v3's ViT-S has 12)" if width == _MOCO_WIDTH else ""
    return (
        f"The number of heads is not recorded; {heads} heads of {width // heads} are assumed, pass "
        f"--num-heads where that is wrong{known}."
    )


def _named_heads(canonical: Canonical, hints: Hints) -> int | None:
    """Read the number off the name of the architecture, if that name has this width."""
    width = _width(canonical.tensors)
    label = hints.arch_label or hints.arch
    if label is None:
        return None
    size = next(
        (word for word in label.lower().replace("-", "_").split("_") if (word, width) in _KNOWN),
        None,
    )
    if size is None:
        return None
    if _MOCO_WORDS & set(canonical.words) and hints.arch is None:
        return _MOCO.get((size, width), _KNOWN[size, width])
    return _KNOWN[size, width]


def _width(tensors: Mapping[str, Tensor]) -> int:
    projection = tensors.get("patch_embed.proj.weight")
    return int(projection.shape[0]) if projection is not None else 0
