"""Measure what tells heads apart: how far they look, and how well they find an object.

    mean_distance(backbone, stream, layer=0)[0]        # [A] px: local heads are near, global ones far
    agreement(weights, mask, geometry, mass=0.6)       # Jaccard and share of attention, a head each

`dino.attention.mass.entropy` is the third figure: how widely a head spreads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dino.attention.mass import mass_mask
from dino.errors import UserError
from dino.media.geometry import Geometry
from dino.media.regions import jaccard
from dino.model import forward
from dino.model.backbone import Backbone
from dino.model.stream import Stream


@dataclass(frozen=True)
class Agreement:
    """How well each head finds an object: `jaccard` [A] of its mask, and `inside` [A], the share of
    its attention over patches that lies on the object."""

    jaccard: tuple[float, ...]
    inside: tuple[float, ...]


def mean_distance(backbone: Backbone, stream: Stream, *, layer: int = -1) -> Tensor:
    """Measure the mean attention distance of each head of a block, [B,A] in px of the network's input.

    The distance between the middles of two patches, weighted by attention (over the patches, summing
    to 1) and averaged over all patches as queries.

    Raises:
        UserError: a layer out of range.
    Source: Dosovitskiy et al. 2021, "An Image is Worth 16×16 Words", Fig. 7 and appendix D.7.
    """
    index = backbone.layer_index(layer)
    prefix, (height, width) = backbone.num_prefix, stream.grid
    x = stream.states[index]
    total = torch.zeros(len(x), backbone.num_heads, dtype=torch.float64, device=x.device)
    queries, places = range(prefix, prefix + height * width), backbone.places(stream.grid)
    with torch.no_grad():
        for chunk, rows in forward.attention_slices(backbone.module, index, x, queries, places):
            patches = torch.tensor(chunk, device=x.device) - prefix
            far = _distances(patches, stream.grid)[None, :, None]  # [1,C,1,N]
            total += _weighted(rows[..., prefix:], far).sum(dim=1)
    return (total / (height * width) * backbone.patch_size).float()


def query_distance(weights: Tensor, query: tuple[int, int], *, patch_size: int) -> Tensor:
    """Measure how far one patch looks, weighted by attention, in px of the network's input.

    Args:
        weights: attention of that patch over the patches [..., h, w]; need not sum to 1.
        query: its (row, column).
    Returns:
        [...] float32.
    """
    grid = (weights.shape[-2], weights.shape[-1])
    place = torch.tensor([query[0] * grid[1] + query[1]], device=weights.device)
    far = _distances(place, grid)[0]
    return (_weighted(weights.flatten(-2), far) * patch_size).float()


def agreement(
    weights: np.ndarray, mask: np.ndarray, geometry: Geometry, *, mass: float
) -> Agreement:
    """Compare each head with a mask of the photo.

    Args:
        weights: [A,h,w] attention over the patches.
        mask: bool [H,W], the photo's size.
        mass: share of a head's attention its mask keeps, in (0, 1].
    Raises:
        UserError: a mask of another size, an empty one, or a mass outside its range.
    Source: Caron et al. 2021, section 4.2.2: the best head against the reference.
    """
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != geometry.original:
        raise UserError(
            f"the mask has shape {mask.shape}, expected the photo's {geometry.original}; resize it first"
        )
    if not mask.any():
        raise UserError("the mask is empty; heads can agree only with a mask of something")
    kept = mass_mask(torch.from_numpy(weights), mass).numpy()
    scores = tuple(jaccard(geometry.to_photo(head), mask) for head in kept)
    share = geometry.to_grid(mask)
    totals = np.maximum(weights.sum(axis=(1, 2), dtype=np.float64), np.finfo(np.float64).tiny)
    inside = (weights * share).sum(axis=(1, 2)) / totals
    return Agreement(scores, tuple(inside.tolist()))


def ranked(values: Sequence[float], *, descending: bool) -> list[int]:
    """Put heads in order of a figure; equal ones by their number."""
    return sorted(range(len(values)), key=lambda head: values[head], reverse=descending)


def _distances(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """Measure distances in patches from some patches [C] (row by row) to all: float64 [C,N]."""
    every = torch.arange(grid[0] * grid[1], device=patches.device)
    rows = (patches // grid[1])[:, None] - every // grid[1]
    columns = (patches % grid[1])[:, None] - every % grid[1]
    return torch.hypot(rows.double(), columns.double())


def _weighted(rows: Tensor, far: Tensor) -> Tensor:
    """Average `far` [..., N], weighted by attention [..., N]; float64."""
    rows = rows.double()
    tiny = torch.finfo(torch.float64).tiny
    return (rows * far).sum(dim=-1) / rows.sum(dim=-1).clamp_min(tiny)
