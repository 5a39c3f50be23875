"""Estimate a forward's memory and work before anything is allocated, and refuse what does not fit."""

import math
from pathlib import Path

import torch

from dino.errors import TooLargeError
from dino.media.preprocessing import plan
from dino.model.backbone import Backbone

# Patches in one picture: 1,024 px at patch 8, or 2,048 px at patch 16. Work grows with the square;
# past this a picture takes minutes on a CPU, which is an accident rather than a wish.
MAX_PATCHES = 16_384
# Values held at once for each token and channel at the peak of a block: the stream, its
# normalised copy, q, k, v and copies of them, the attention's output; or the MLP's hidden layer, in some
# networks before and after its activation.
_VALUES_PER_TOKEN_CHANNEL = 16
# Of the memory that is free now, the share one forward may take.
USABLE_SHARE = 0.7
# In bfloat16 too: the sums between blocks, and the first of them, are float32.
_BYTES_PER_VALUE = 4


def forward_bytes(backbone: Backbone, grid: tuple[int, int], batch: int = 1) -> int:
    """Estimate the peak memory of one forward in bytes, weights excluded."""
    tokens = grid[0] * grid[1] + 1 + backbone.num_registers
    activations = tokens * backbone.embed_dim * _VALUES_PER_TOKEN_CHANNEL * _BYTES_PER_VALUE
    pixels = grid[0] * grid[1] * backbone.patch_size**2 * 3 * 4 * 2
    return batch * (activations + pixels)


def free_bytes(device: torch.device) -> int:
    """Measure what can be allocated now on `device`, in bytes: of the machine, or of its container."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    known = [value for value in (_free_of_machine(), _free_of_container()) if value is not None]
    return min(known, default=2**33)  # where a system tells neither, take it to be a small one


def _free_of_machine() -> int | None:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        import psutil
    except ImportError:  # Linux does without it
        return None
    return int(psutil.virtual_memory().available)


def _free_of_container() -> int | None:
    """Read what a control group still allows (version 2, else 1); None without a limit."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            most, now = Path(limit).read_text().strip(), Path(used).read_text().strip()
        except OSError:
            continue
        return None if most == "max" else max(int(most) - int(now), 0)
    return None


def check_fits(
    backbone: Backbone, original: tuple[int, int], *, size: int, fit: str = "floor", batch: int = 1
) -> None:
    """Refuse a forward that is too large, with the numbers and the largest size that fits.

    Args:
        original: (H, W) of the photo in px.
        size, fit: as in `dino.preprocess`.
    Raises:
        TooLargeError: more than `MAX_PATCHES` patches a picture, or more memory than is free.
    """
    usable = USABLE_SHARE * free_bytes(backbone.device)

    def measure(side: int) -> tuple[int, int]:
        grid = plan(original, size=side, patch_size=backbone.patch_size, fit=fit).grid
        return grid[0] * grid[1], forward_bytes(backbone, grid, batch)

    def fits(side: int) -> bool:
        patches, needed = measure(side)
        return patches <= MAX_PATCHES and needed <= usable

    if fits(size):
        return
    patches, needed = measure(size)
    limit = (
        f"{patches:,} patches, and the limit is {MAX_PATCHES:,}"
        if patches > MAX_PATCHES
        else f"{patches:,} patches, about {needed / 1e6:,.0f} MB, and {usable / 1e6:,.0f} MB are free"
    )
    shrink = math.sqrt(min(MAX_PATCHES / patches, usable / needed, 1.0))
    patch = backbone.patch_size
    fitting = (int(size * shrink) // patch + 2) * patch
    while fitting >= patch and not fits(fitting):
        fitting -= patch
    remedy = f"choose {fitting} px or less" if fitting >= patch else "free some memory first"
    pictures = f"{batch} pictures of size" if batch > 1 else "size"
    raise TooLargeError(f"{pictures} {size} px at patch {patch} means {limit}; {remedy}")
