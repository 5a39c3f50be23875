"""The projection head on top of a backbone, with the original's parameter names."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class WeightNormLinear(nn.Module):
    """Linear layer without bias whose rows are `weight_g` · v/‖v‖ (names as torch's old weight_norm)."""

    def __init__(self, in_dim: int, out_dim: int, *, frozen_gain: bool) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(out_dim, 1), requires_grad=not frozen_gain)
        self.weight_v = nn.Parameter(torch.empty(out_dim, in_dim))
        nn.init.kaiming_uniform_(self.weight_v, a=5**0.5)  # PyTorch's default of a linear layer

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return _NormedRows.apply(x, self.weight_v, self.weight_g)


class _NormedRows(torch.autograd.Function):
    """x [B,D], v [K,D], gain [K,1] → x·(gain · v/‖v‖)ᵀ [B,K], in the precision of v; products in that of x.

    The lengths scale the few outputs instead of the many weights, so that nothing as large as v is made
    but its gradient: written with `F.normalize`, torch made eleven such tensors, a sixth of a step on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, gain: Tensor) -> Tensor:
        low = v.to(x.dtype)
        lengths = torch.linalg.vector_norm(v, dim=1)
        products = F.linear(x, low)
        ctx.save_for_backward(x, v, low, gain, lengths, products)
        return products * (gain[:, 0] / lengths)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, v, low, gain, lengths, products = ctx.saved_tensors
        (above,) = outputs
        scales = gain[:, 0] / lengths
        below = torch.mul(above, scales, out=torch.empty_like(above, dtype=x.dtype))
        of_x = below @ low if ctx.needs_input_grad[0] else None
        of_scales = (above * products).sum(dim=0)
        of_v = None
        if ctx.needs_input_grad[1]:
            # On a CPU the conversion of a lower product costs more than it saves.
            exact = v.dtype if v.device.type == "cpu" else x.dtype
            of_v = (below.to(exact).T @ x.to(exact)).to(v.dtype)
            of_v.addcmul_(v, (-of_scales * scales / lengths.square())[:, None])
        of_gain = (of_scales / lengths)[:, None] if ctx.needs_input_grad[2] else None
        return of_x, of_v, of_gain


class DINOHead(nn.Module):
    """MLP → L2-normalised bottleneck → weight-normalised prototypes.

    Args:
        in_dim: width D of the backbone.
        out_dim: prototypes K.
        hidden_dim, bottleneck_dim: widths of the MLP and its end.
        num_layers: linear layers of the MLP, at least 1.
        use_bn: batch norm after each hidden layer.
        norm_last_layer: keep the prototypes' gain at 1, as the paper does for its long runs.
        predictor: an MLP of two layers between bottleneck and prototypes, for the paper's ablation
            (student only, as in BYOL).
    Shape: [B, in_dim] → [B, out_dim].
    Source: Caron et al. 2021, section 3.2 and appendix C.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        *,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        num_layers: int = 3,
        use_bn: bool = False,
        norm_last_layer: bool = True,
        predictor: bool = False,
    ) -> None:
        super().__init__()
        widths = [in_dim, *[hidden_dim] * (num_layers - 1), bottleneck_dim]
        layers: list[nn.Module] = []
        for index in range(num_layers):
            layers.append(nn.Linear(widths[index], widths[index + 1]))
            if index < num_layers - 1:
                layers += [nn.BatchNorm1d(hidden_dim)] if use_bn else []
                layers.append(nn.GELU())
        # The original's one-layer head is the linear layer itself, not a sequence of one.
        self.mlp = nn.Sequential(*layers) if num_layers > 1 else layers[0]
        self.predictor = _predictor(bottleneck_dim, hidden_dim) if predictor else None
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        self.last_layer = WeightNormLinear(bottleneck_dim, out_dim, frozen_gain=norm_last_layer)

    def forward(self, x: Tensor) -> Tensor:
        x = F.normalize(self.mlp(x), dim=-1)
        if self.predictor is not None:
            x = F.normalize(self.predictor(x), dim=-1)
        return self.last_layer(x)


def _predictor(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
