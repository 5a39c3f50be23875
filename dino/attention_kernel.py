"""softmax(q·kᵀ/√d)·v without an N×N map, by the kernel that is quicker on this machine.

In float32 and on GPUs torch's fused kernel is. In bfloat16 on a CPU it depends on the units: without
AMX plain products over slices of query rows were (ViT-S/8, 480 px: 43 ms a block against 114 fused),
with AMX the fused kernel (75 ms against 226 on one core). So one small attention of either is timed.
"""

import functools
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

# Query rows of a slice.
CHUNK_ROWS = 128
# Slices must gain this much: near 1 a machine would choose now this and now that, and round otherwise.
_WORTHWHILE_GAIN = 1.3
_TRIED = (1, 6, 640, 64)  # ViT-S at about 400 px


def self_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Queries (not yet scaled), keys and values [B,A,N,d] → [B,A,N,d]."""
    if in_slices(q):
        return sliced_attention(q * q.shape[-1] ** -0.5, k, v)
    return F.scaled_dot_product_attention(q, k, v)


def in_slices(x: Tensor) -> bool:
    """Whether attention of such a tensor is quicker in slices than fused."""
    slow = x.dtype == torch.bfloat16 and x.device.type == "cpu"
    return slow and _gain_of_slices() >= _WORTHWHILE_GAIN


def sliced_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled q, k and v [B,A,N,d] as plain products over slices of query rows: [B,A,N,d]."""
    keys = k.transpose(-2, -1)
    out = torch.empty_like(v)
    for start in range(0, q.shape[2], CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        out[:, :, rows] = (q[:, :, rows] @ keys).softmax(dim=-1) @ v
    return out


@functools.cache
def _gain_of_slices() -> float:
    """How many times faster this CPU computes bfloat16 attention in slices than fused."""
    q = torch.ones(_TRIED, dtype=torch.bfloat16)
    ways: tuple[Callable[..., Tensor], ...] = (F.scaled_dot_product_attention, sliced_attention)
    best = [float("inf"), float("inf")]
    # In turns, and the best of many: whatever else the machine does must not tip the choice.
    for _ in range(8):
        for number, way in enumerate(ways):
            start = time.perf_counter()
            way(q, q, q)
            best[number] = min(best[number], time.perf_counter() - start)
    return best[0] / best[1]
