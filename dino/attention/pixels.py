"""Attention at the photo's own pixels: grids moved by a part of a patch, and the photo's edges.

    maps = attention_map(backbone, rgb, shifts=2)      # float32 [A, H, W]
    dino.mass_mask(torch.from_numpy(maps), 0.8)        # masks as sharp as the photo

A network gives one value a patch. Seen through a grid that lies elsewhere it gives others: `shifts`² of
them, half a patch (or less) apart, make a finer map of the same network at the same size. What lies between
is interpolated along the photo's edges.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from dino.attention.photo import PhotoAttention, photo_attention, prepare
from dino.errors import UserError
from dino.media.geometry import Geometry
from dino.media.upsampling import UPSAMPLINGS, to_pixels
from dino.model.backbone import Backbone
from dino.model.queries import Query

# At most so many grids along each side: sixteen forwards for one picture.
MAX_SHIFTS = 4


def attention_map(
    backbone: Backbone,
    rgb: np.ndarray,
    *,
    size: int = 480,
    shifts: int = 1,
    upsample: str = "guided",
    layer: int = -1,
    query: Query | None = None,
    fit: str = "floor",
) -> np.ndarray:
    """Compute the attention of each head at the photo's pixels.

    Args:
        rgb: uint8 [H,W,3].
        size, fit: as in `dino.preprocess`.
        shifts: grids along each side, 1 to 4; each map takes shifts² forwards.
        upsample: "guided" by the photo's edges, "bicubic", or "nearest" for whole patches.
        layer: block number; negative counts from the end.
        query: as in `Backbone.attention`; None: `Backbone.default_query`. With `shifts` a patch
            (row, column) is one of the grid that is not moved, and each other grid's at the same place.
    Returns:
        float32 [A,H,W]: a pixel has the attention of the patch it lies in, or what is interpolated
        between patches, never less than 0.
    Raises:
        UserError: a setting out of range, a network without attention, a photo too large.
    """
    if upsample not in UPSAMPLINGS:
        raise UserError(f"upsample is {upsample!r}; expected one of {', '.join(UPSAMPLINGS)}")
    maps, geometry = fine_attention(
        backbone, rgb, size=size, shifts=shifts, layer=layer, query=query, fit=fit
    )
    return to_pixels(maps, geometry, rgb, how=upsample)


def fine_attention(
    backbone: Backbone,
    rgb: np.ndarray,
    *,
    size: int,
    shifts: int = 1,
    layer: int = -1,
    query: Query | None = None,
    fit: str = "floor",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[np.ndarray, Geometry]:
    """Compute the attention of each head on a grid `shifts` times as fine as the network's.

    Args:
        progress: called with the forwards done and in all.
    Returns:
        maps float32 [A, h·shifts, w·shifts], and the geometry of that grid.
    Raises:
        UserError: as `attention_map`.
    """
    asked = backbone.default_query if query is None else query
    fine = attend_finely(
        backbone,
        rgb,
        size=size,
        shifts=shifts,
        layers=(layer,),
        queries=(asked,),
        fit=fit,
        progress=progress,
    )
    return fine.heads, fine.geometry


def attend_finely(
    backbone: Backbone,
    rgb: np.ndarray,
    *,
    size: int,
    shifts: int,
    layers: Sequence[int] = (-1,),
    queries: Sequence[Query] | None = None,
    logits: bool = False,
    fit: str = "floor",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PhotoAttention:
    """Read attention as `dino.attention.photo.attend` does, on a grid `shifts` times as fine.

    Args:
        layers, queries, logits: as in `Backbone.attention`; all come from the same forwards.
        progress: called with the forwards done and in all.
    Returns:
        Rows whose `weights` and `logits` are [L,Q,A,h·shifts,w·shifts], each cell a share as large as a
        patch's; what is no patch is of the grid that lies as the network's own, or nearest to it.
    Raises:
        UserError: as `attention_map`.
    """
    backbone.check_attention()
    asked = (backbone.default_query,) if queries is None else tuple(queries)
    image, geometry = prepare(backbone, rgb, size, fit)
    cells: list[PhotoAttention] = []
    for number, moved in enumerate(moved_images(image, shifts, backbone.patch_size), start=1):
        maps = backbone.attention(moved, layers=tuple(layers), queries=asked, logits=logits)
        cells.append(photo_attention(backbone, maps, geometry))
        progress(number, shifts**2)
    middle = cells[(shifts - 1) // 2 * (shifts + 1)]
    return replace(
        middle,
        weights=interleave([cell.weights for cell in cells]),
        logits=None if not logits else interleave([cell.logits for cell in cells]),
        geometry=geometry.finer(shifts),
        shifts=shifts,
    )


def moved_images(image: Tensor, shifts: int, patch_size: int) -> Iterator[Tensor]:
    """Move an image [1,3,H,W] so that patches lie in each of `shifts`² places, row by row.

    Raises:
        UserError: shifts out of range.
    """
    if not 1 <= shifts <= MAX_SHIFTS:
        raise UserError(f"shifts is {shifts}; expected a whole number from 1 to {MAX_SHIFTS}")
    for down in range(shifts):
        for across in range(shifts):
            offsets = [_offset(part, shifts, patch_size) for part in (down, across)]
            yield _moved(image, offsets)


def interleave(grids: Sequence[np.ndarray | None]) -> np.ndarray:
    """Put the values [..., h, w] of images of `moved_images` side by side: [..., h·shifts, w·shifts]."""
    parts = [grid for grid in grids if grid is not None]
    shifts = math.isqrt(len(parts))
    *rest, rows, columns = parts[0].shape
    fine = np.empty((*rest, rows * shifts, columns * shifts), parts[0].dtype)
    for number, part in enumerate(parts):
        down, across = divmod(number, shifts)
        fine[..., down::shifts, across::shifts] = part
    return fine


def _offset(part: int, shifts: int, patch_size: int) -> int:
    """Find how far, in px, the middle of a patch's `part`-th cell lies from the patch's own."""
    return round(((part + 0.5) / shifts - 0.5) * patch_size)


def _moved(image: Tensor, offsets: list[int]) -> Tensor:
    """Move what the grid sees of an image [1,3,H,W] by (down, across) px; beyond the edge its pixels go on."""
    if not any(offsets):
        return image
    height, width = image.shape[-2:]
    margin = max(map(abs, offsets))
    wide = F.pad(image, (margin, margin, margin, margin), mode="replicate")
    top, left = margin + offsets[0], margin + offsets[1]
    return wide[..., top : top + height, left : left + width]
