"""A linear layer, its bias and GELU in one pass over memory, where torch can.

`nn.Linear` in bfloat16 on a CPU writes the bias first and adds products to it, and GELU passes over the
result once more. oneDNN, which multiplies either way, does all three at once if asked by the operator
that `torch.compile` uses: ViT-S/16 on a CPU with AMX, one photo of 224 px 37 → 31 ms, of 480 px 89 → 78.
That operator is not part of torch's public interface, so it is tried before it is used. In float32
MKL's products are quicker than oneDNN's on Intel processors, and on ARM the operator takes a slow way;
there nothing is fused.
"""

import functools
import platform
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Differences of the trial, whose results lie between -2 and 2: two roundings of bfloat16.
_CLOSE = 2e-2


def linear(layer: Any, x: Tensor) -> Tensor:
    """`layer(x)`, x [..., D]; fused only for an `nn.Linear` on a CPU in bfloat16, without gradients."""
    if not _is_fused(layer, x):
        return layer(x)
    return _pointwise(x, layer.weight, layer.bias, "none", "")


def linear_gelu(layer: Any, x: Tensor, approximate: str) -> Tensor:
    """GELU of `layer(x)`, without holding what is before it; `approximate` as in `nn.GELU`."""
    if _is_fused(layer, x):
        return _pointwise(x, layer.weight, layer.bias, "gelu", approximate)
    out = layer(x)
    if is_bare(layer, nn.Linear):
        return torch.ops.aten.gelu_(out, approximate=approximate)
    return F.gelu(out, approximate=approximate)


def is_bare(module: Any, kind: type) -> bool:
    """Whether a module is exactly of a kind and nobody's hook looks at what goes in or comes out."""
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
    """Whether this torch has the operator, this CPU is one it is quick on, and it computes what is meant."""
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
