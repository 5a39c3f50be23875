"""What fits: an estimate of a forward's memory and work, made before anything is allocated."""

import math
import os
from pathlib import Path

import torch

from dino.backbone import Backbone
from dino.errors import TooLargeError
from dino.precision import dtype_of

# Patches in one picture: 1,024 px at patch 8, or 2,048 px at patch 16. Work grows with the square;
# past this a picture takes minutes on a CPU, which is an accident rather than a wish.
MAX_PATCHES = 16_384
# Values held at once for each token and channel at the peak of a block: the stream, its
# normalised copy, q, k, v, the attention's output, the MLP's hidden layer before and after GELU.
_VALUES_PER_TOKEN_CHANNEL = 16
# Of the memory that is free now, the share one forward may take.
_USABLE_SHARE = 0.7


def forward_bytes(backbone: Backbone, grid: tuple[int, int], batch: int = 1) -> int:
    """Estimated peak memory of one forward in bytes, weights excluded."""
    tokens = grid[0] * grid[1] + 1 + backbone.num_registers
    per_value = torch.finfo(dtype_of(backbone.precision)).bits // 8
    activations = tokens * backbone.embed_dim * _VALUES_PER_TOKEN_CHANNEL * per_value
    pixels = grid[0] * grid[1] * backbone.patch_size**2 * 3 * 4 * 2
    return batch * (activations + pixels)


def forward_gflop(backbone: Backbone, grid: tuple[int, int]) -> float:
    """Multiply-adds of one ViT forward ×2, in 10⁹ (MLP ratio 4; other networks are not counted)."""
    tokens = grid[0] * grid[1] + 1 + backbone.num_registers
    dim = backbone.embed_dim
    embedding = 2 * grid[0] * grid[1] * dim * 3 * backbone.patch_size**2
    return (embedding + backbone.depth * (24 * tokens * dim**2 + 4 * tokens**2 * dim)) / 1e9


def free_bytes(device: torch.device) -> int:
    """Memory that can be allocated now on `device`, in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_fits(backbone: Backbone, grid: tuple[int, int], *, size: int, batch: int = 1) -> None:
    """Refuse a forward that is too large, with the numbers and the largest size that fits.

    Args:
        grid: (h, w) in patches of one picture.
        size: the size in px the user asked for, which the message scales down.
    Raises:
        TooLargeError: more than `MAX_PATCHES` patches a picture, or more memory than is free.
    """
    patches = grid[0] * grid[1]
    needed, usable = (
        forward_bytes(backbone, grid, batch),
        _USABLE_SHARE * free_bytes(backbone.device),
    )
    if patches <= MAX_PATCHES and needed <= usable:
        return
    shrink = math.sqrt(min(MAX_PATCHES / patches, usable / needed, 1.0))
    fitting = int(size * shrink) // backbone.patch_size * backbone.patch_size
    limit = (
        f"{patches:,} patches, and the limit is {MAX_PATCHES:,}"
        if patches > MAX_PATCHES
        else f"{patches:,} patches, about {needed / 1e9:.1f} GB, and {usable / 1e9:.1f} GB are free"
    )
    pictures = f"{batch} pictures of size" if batch > 1 else "size"
    remedy = (
        f"choose {fitting} px or less" if fitting >= backbone.patch_size else "use a smaller batch"
    )
    raise TooLargeError(
        f"{pictures} {size} px at patch {backbone.patch_size} means {limit}; {remedy}"
    )
