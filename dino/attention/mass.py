"""Make masks of attention, and measure how widely a head spreads.

The paper keeps, per head, the fewest patches that hold a share of the attention over patches
(60 % in its Fig. 4).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dino.errors import UserError

COMBINATIONS = ("union", "mean")
# The share the paper draws in its Figure 4.
DEFAULT_MASS = 0.6


def check_mass(mass: float) -> None:
    """Raise a `UserError` unless `mass` is a share in (0, 1]."""
    if not 0 < mass <= 1:
        raise UserError(f"mass is {mass}; expected a share above 0 and up to 1, such as 0.6")


def check_heads(heads: Sequence[int], num_heads: int) -> None:
    """Raise a `UserError` unless there is a head and all of them exist."""
    wrong = [str(head) for head in heads if not 0 <= head < num_heads]
    if wrong or not heads:
        asked = f"head {', '.join(wrong)} does not exist" if wrong else "no head was chosen"
        raise UserError(f"{asked}; there are {num_heads}, numbered 0 to {num_heads - 1}")


def mass_mask(weights: Tensor, mass: float) -> Tensor:
    """Keep the fewest patches that hold `mass` of each head's attention.

    Args:
        weights: attention over patches [..., h, w], non-negative; need not sum to 1.
        mass: share of the patch attention to keep, in (0, 1].
    Returns:
        Boolean mask [..., h, w]; nothing is kept where all weights are 0.
    Raises:
        UserError: `mass` outside (0, 1], or weights that are negative or not finite.
    Source: Caron et al. 2021, Fig. 4.
    """
    check_mass(mass)
    flat = torch.as_tensor(weights).double().flatten(-2)
    if not torch.isfinite(flat).all() or (flat < 0).any():
        raise UserError("attention weights must be finite and non-negative")
    ordered, index = flat.sort(dim=-1, descending=True, stable=True)
    held_before = ordered.cumsum(dim=-1) - ordered
    # A hair below the share, so that sums that reach it exactly are not missed by rounding.
    keep = held_before < mass * (1 - 1e-12) * ordered.sum(dim=-1, keepdim=True)
    return torch.zeros_like(keep).scatter(-1, index, keep).unflatten(-1, weights.shape[-2:])


def attention_mask(
    weights: Tensor, mass: float, *, heads: Sequence[int] | None = None, combine: str = "union"
) -> Tensor:
    """Make one mask [h, w] out of several heads.

    Args:
        weights: [A, h, w] attention of each head over the patches.
        mass: share to keep, in (0, 1].
        heads: which heads take part; all by default.
        combine: "union" keeps what any head's mask keeps; "mean" thresholds the heads' mean.
    Raises:
        UserError: no head, a head out of range, or an unknown combination.
    """
    chosen = list(range(len(weights))) if heads is None else list(heads)
    check_heads(chosen, len(weights))
    if combine not in COMBINATIONS:
        raise UserError(f"combine is {combine!r}; expected one of {COMBINATIONS}")
    if combine == "mean":
        return mass_mask(weights[chosen].mean(dim=0), mass)
    return mass_mask(weights[chosen], mass).any(dim=0)


def entropy(weights: Tensor) -> Tensor:
    """Compute the entropy in bits of each head's attention over the patches, [..., h, w] → [...].

    log2(h·w) is attention spread evenly, 0 all of it on one patch.
    """
    share = weights.double().flatten(-2)
    share = share / share.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(share.dtype).tiny)
    return -torch.xlogy(share, share).sum(dim=-1) / np.log(2)
