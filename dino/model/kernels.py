"""Compute softmax(q·kᵀ/√d)·v without an N×N map, by the kernel that is quicker on this machine.

In float32 and on GPUs torch's fused kernel is. In bfloat16 on a CPU it depends on the units: without
AMX plain products over slices of the map are (ViT-S/8, 480 px: 90 ms a block against 139 fused), with
AMX the fused kernel. So one small attention of either is timed.
"""

import functools
import platform
import threading
import time
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dino.model.device import measure_gain

# Entries of the N×N maps that are held at once: few enough for the caches (4 MB in bfloat16), and enough
# for products that keep the processor busy.
SLICE_ENTRIES = 2**21
# Rows of a slice that is no whole map are a multiple of this.
_ROWS = 64
# Far from both kinds of machine, so that all processes of one choose and round alike: without AMX slices
# were 1.4 times as fast, and beside six busy threads 1.1 to 1.4 times; with AMX 0.4 to 0.6 times.
_WORTHWHILE_GAIN = 0.9
_TRIED = (1, 6, 900, 64)  # ViT-S/16 at 480 px
# Keys from which on the fused float32 kernel gains by heads that lie whole in memory (5 % at 3,601)
# more than laying them so costs (up to 18 % below). The bfloat16 one lays them out itself.
_LONG = 2048
# A clock that counts in steps of more cannot tell the two apart (Windows': 16 ms).
_FINE_S = 1e-5
# Two threads that timed at once would disturb each other.
_MEASURING = threading.Lock()
# Differences of the trial, whose results lie between -2 and 2: two roundings of bfloat16.
_CLOSE = 2e-2


def self_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend with queries (not yet scaled), keys and values [B,A,N,d] → [B,A,N,d]."""
    if in_slices(q):
        return sliced_attention(q * q.shape[-1] ** -0.5, k, v)
    if _lies_whole(q, keys=k.shape[2]):
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    return F.scaled_dot_product_attention(q, k, v)


def in_slices(x: Tensor) -> bool:
    """Tell whether attention of such a tensor is quicker in slices; never where it has gradients."""
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or x.requires_grad:
        return False
    with _MEASURING:
        return _gain_of_slices() >= _WORTHWHILE_GAIN


def _lies_whole(q: Tensor, *, keys: int) -> bool:
    """Tell whether the fused kernel is to be given each head in one piece of memory."""
    if q.device.type == "cpu":
        return q.dtype == torch.float32 and keys > _LONG
    # Apple's kernel has misread strides in some versions of torch (pytorch issues 163597 and 181133), AMD's
    # in others (ROCm/pytorch issue 3230).
    return q.device.type != "cuda" or torch.version.hip is not None


def sliced_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend with scaled q, k and v [B,A,N,d] by plain products over slices of the N×N maps.

    A slice is as many whole maps as `SLICE_ENTRIES` lets in, or else some rows of one. Not differentiable.
    """
    heads, tokens = q.shape[0] * q.shape[1], k.shape[2]
    at_once, rows = _slice_of(heads, q.shape[2], tokens)
    # Head by head in memory: products over heads strided through it took up to 1.4 times as long.
    flat_q, flat_k, flat_v = (x.flatten(0, 1).contiguous() for x in (q, k, v))
    keys = flat_k.transpose(1, 2)
    out = torch.empty_like(flat_q)
    # Allocated once: blocks of this size would go back to the system after each slice.
    logits, weights = q.new_empty(2, at_once * rows * tokens)
    for head in range(0, heads, at_once):
        some = slice(head, head + at_once)
        for start in range(0, q.shape[2], rows):
            part = flat_q[some, start : start + rows]
            shape = (*part.shape[:2], tokens)
            held = shape[0] * shape[1] * tokens
            products = torch.bmm(part, keys[some], out=logits[:held].view(shape))
            softmax = torch.softmax(products, dim=-1, out=weights[:held].view(shape))
            torch.bmm(softmax, flat_v[some], out=out[some, start : start + rows])
    return out.unflatten(0, q.shape[:2])


def _slice_of(heads: int, queries: int, tokens: int) -> tuple[int, int]:
    """Count the heads, and query rows of each, that make a slice; the heads are shared out evenly."""
    if queries * tokens > SLICE_ENTRIES:
        return 1, min(max(SLICE_ENTRIES // tokens // _ROWS, 1) * _ROWS, queries)
    slices = max(-(-heads * queries * tokens // SLICE_ENTRIES), 1)
    return max(-(-heads // slices), 1), max(queries, 1)


@functools.cache
def _gain_of_slices() -> float:
    """Measure how many times faster this CPU computes bfloat16 attention in slices than fused."""
    q = torch.ones(_TRIED, dtype=torch.bfloat16)
    ways = [partial(way, q, q, q) for way in (F.scaled_dot_product_attention, sliced_attention)]
    # The processor time of this thread alone, which has the same share of either.
    coarse = time.get_clock_info("thread_time").resolution > _FINE_S
    clock = time.perf_counter if coarse else time.thread_time
    return measure_gain(*ways, repeats=8, worthwhile=_WORTHWHILE_GAIN, clock=clock)


def linear(layer: Any, x: Tensor) -> Tensor:
    """Compute `layer(x)`, x [..., D]; fused only for an `nn.Linear` on a CPU in bfloat16, without gradients."""
    if not _is_fused(layer, x):
        return layer(x)
    return _pointwise(x, layer.weight, layer.bias, "none", "")


def linear_gelu(layer: Any, x: Tensor, approximate: str) -> Tensor:
    """Compute GELU of `layer(x)` without holding what is before it; `approximate` as in `nn.GELU`."""
    if _is_fused(layer, x):
        return _pointwise(x, layer.weight, layer.bias, "gelu", approximate)
    out = layer(x)
    if is_bare(layer, nn.Linear):
        return torch.ops.aten.gelu_(out, approximate=approximate)
    return F.gelu(out, approximate=approximate)


def is_bare(module: Any, kind: type) -> bool:
    """Tell whether a module is exactly of a kind, without a hook on what goes in or comes out."""
    watched = module._forward_hooks or module._forward_pre_hooks
    return type(module) is kind and not watched


def _is_fused(layer: Any, x: Tensor) -> bool:
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or not x.numel():
        return False
    if not is_bare(layer, nn.Linear) or layer.weight.dtype != torch.bfloat16:
        return False
    read = (x, *layer.parameters(recurse=False))
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in read):
        return False
    return bool(torch.backends.mkldnn.enabled) and _works()


def _pointwise(x: Tensor, weight: Tensor, bias: Tensor | None, after: str, how: str) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, after, [], how)


@functools.cache
def _works() -> bool:
    """Tell whether torch has the operator, it is quick on this CPU, and it computes what is meant."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            return _tried()
    except (AttributeError, RuntimeError, TypeError):
        return False


def _tried() -> bool:
    generator = torch.Generator().manual_seed(0)
    exact = torch.randn(11, 32, generator=generator, device="cpu", dtype=torch.float32) / 4
    low = exact.to(torch.bfloat16)
    x, weight, bias = low[:5], low[5:10], low[10, :5]
    out = F.linear(x.float(), weight.float(), bias.float())
    expected = {"": out, **{how: F.gelu(out, approximate=how) for how in ("none", "tanh")}}
    return all(
        torch.allclose(
            _pointwise(x, weight, bias, "gelu" if how else "none", how).float(),
            true,
            atol=_CLOSE,
            rtol=_CLOSE,
        )
        for how, true in expected.items()
    )
