"""Interpolate position embeddings to another grid than the trained one, as the originals do it.

timm interpolates to a size with anti-aliasing; DINO and DINOv2 interpolate by a scale factor without
it. The difference reaches 0.10 in the embedding and visibly moves attention maps, so this follows
the originals (facebookresearch/dino `interpolate_pos_encoding`, facebookresearch/dinov2 the same with
`interpolate_offset` 0.1; its register models use offset 0.0 and anti-aliasing).
"""

import torch
from torch import Tensor

# Added to the target grid so that the rounded output size of `scale_factor` is never one short.
SCALE_OFFSET = 0.1


def interpolate_positions(
    pos_embed: Tensor,
    grid: tuple[int, int],
    *,
    trained: tuple[int, int],
    num_class: int,
    antialias: bool,
) -> Tensor:
    """Resample the patch part of a position embedding to `grid`.

    Args:
        pos_embed: [1, num_class + rows·columns, D], the first `num_class` rows of class tokens.
        grid: wanted (h, w) in patches.
        trained: (rows, columns) of the embedding; square in every published network.
        num_class: leading rows that carry no position and pass unchanged.
        antialias: the register variant of DINOv2 (to the size, anti-aliased); otherwise the scale
            factor variant of DINO and DINOv2.
    Returns:
        [1, num_class + h·w, D] in float32.
    """
    prefix, patches = pos_embed[:, :num_class].float(), pos_embed[:, num_class:].float()
    assert patches.shape[1] == trained[0] * trained[1], (patches.shape, trained)
    if grid == tuple(trained):
        return torch.cat([prefix, patches], dim=1)
    square = patches.unflatten(1, tuple(trained)).permute(0, 3, 1, 2)
    if antialias:
        resampled = torch.nn.functional.interpolate(
            square, size=grid, mode="bicubic", antialias=True, align_corners=False
        )
    else:
        scale = tuple((n + SCALE_OFFSET) / old for n, old in zip(grid, trained, strict=True))
        resampled = torch.nn.functional.interpolate(
            square, scale_factor=scale, mode="bicubic", align_corners=False
        )
    assert resampled.shape[-2:] == grid, (resampled.shape, grid)
    return torch.cat([prefix, resampled.flatten(2).transpose(1, 2)], dim=1)
