"""Fused or not, a linear layer is the linear layer."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dino.model import kernels
from dino.model.families import family_of
from dino.model.forward import _mlp, block, lower_products
from dino.model.kernels import linear, linear_gelu

IN, OUT = 48, 80


@pytest.fixture(params=[True, False], ids=["fused", "apart"])
def fused(request, monkeypatch):
    """Both ways on one machine; whether this one fuses is asked first."""
    kernels._works.cache_clear()
    if request.param and not kernels._works():
        pytest.skip("this torch or this processor does not fuse a linear layer in bfloat16")
    monkeypatch.setattr(kernels, "_works", lambda: request.param)
    return request.param


@pytest.fixture
def asked(fused, monkeypatch) -> list[tuple[str, str]]:
    """What the operator is asked to do after its products, call by call."""
    calls: list[tuple[str, str]] = []
    really = kernels._pointwise

    def pointwise(x, weight, bias, after, how):
        calls.append((after, how))
        return really(x, weight, bias, after, how)

    monkeypatch.setattr(kernels, "_pointwise", pointwise)
    return calls


def layer(dtype=torch.bfloat16, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(IN, OUT, bias=bias).requires_grad_(False).to(dtype)


def exactly(made: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    bias = None if made.bias is None else made.bias.double()
    return F.linear(x.double(), made.weight.double(), bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(IN,), (1, IN), (3, 1, IN), (2, 37, IN), (1, 901, IN), (0, IN)])
def test_products_bias_and_gelu_are_rounded_only(fused, shape, bias):
    made, x = layer(bias=bias), torch.randn(shape).to(torch.bfloat16)
    before, exact = x.clone(), exactly(made, x)
    close = {"atol": 0.02, "rtol": 0.01}  # results of up to 3: a rounding is 0.008
    torch.testing.assert_close(linear(made, x).double(), exact, **close)
    for how in ("none", "tanh"):
        out = linear_gelu(made, x, how)
        assert out.dtype == torch.bfloat16
        torch.testing.assert_close(out.double(), F.gelu(exact, approximate=how), **close)
    assert torch.equal(x, before)


def test_rows_may_lie_apart_in_memory(fused):
    made, x = layer(), torch.randn(2, 60, IN).to(torch.bfloat16)
    for strided in (x[:, ::2], x.transpose(0, 1), x.transpose(1, 2).contiguous().transpose(1, 2)):
        torch.testing.assert_close(
            linear(made, strided).double(), exactly(made, strided), atol=0.02, rtol=0.01
        )


def test_a_block_goes_through_the_operator(fused, asked):
    from timm.models.vision_transformer import VisionTransformer

    model = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=IN, depth=1, num_heads=2, num_classes=0
    )
    model.eval().requires_grad_(False)
    lower_products(model, torch.bfloat16)
    places = family_of(model).places(model, (2, 2))
    with torch.no_grad():
        block(model, 0, torch.randn(1, 5, IN), places)
    every = [("none", ""), ("none", ""), ("gelu", "none"), ("none", "")]
    assert asked == (every if fused else [])
    asked.clear()
    model.blocks[0].mlp.act = nn.GELU(approximate="tanh")
    with torch.no_grad():
        block(model, 0, torch.randn(1, 5, IN), places)
    assert ("gelu", "tanh") in asked or not fused


def test_a_hook_on_a_layer_sees_what_goes_through_it(fused, asked):
    for dtype in (torch.bfloat16, torch.float32):
        made, x, seen = layer(dtype), torch.randn(7, IN).to(dtype), []
        made.register_forward_hook(lambda *looked, seen=seen: seen.append(looked[2]))
        linear_gelu(made, x, "none")
        linear(made, x)
        assert len(seen) == 2
        assert torch.equal(seen[0], seen[1])  # before GELU, still
    assert asked == []


def test_an_mlp_that_is_looked_at_is_called():
    from timm.layers import Mlp

    for watched in ("", "act"):
        mlp, seen = Mlp(8, 16).eval(), []
        mlp.get_submodule(watched).register_forward_hook(
            lambda *looked, seen=seen: seen.append(looked[2])
        )
        _mlp(mlp, torch.randn(3, 8))
        assert len(seen) == 1


def test_float32_is_torchs_own_to_the_bit(fused):
    made, x = layer(torch.float32), torch.randn(7, IN)
    assert torch.equal(linear(made, x), made(x))
    assert torch.equal(linear_gelu(made, x, "none"), F.gelu(made(x)))


def test_gradients_flow(fused):
    made, x = layer(), torch.randn(7, IN).to(torch.bfloat16).requires_grad_()
    linear_gelu(made, x, "none").float().sum().backward()
    ours, x.grad = x.grad, None
    F.gelu(made(x)).float().sum().backward()
    torch.testing.assert_close(ours, x.grad)
    for trained in ("weight", "bias"):
        made.requires_grad_(False).get_parameter(trained).requires_grad_(True)
        assert linear(made, x.detach()).requires_grad
        with torch.no_grad():
            assert not linear(made, x.detach()).requires_grad


def test_a_layer_of_another_kind_is_called(fused):
    class Doubling(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    x = torch.randn(7, IN).to(torch.bfloat16)
    made = Doubling(IN, OUT).requires_grad_(False).to(torch.bfloat16)
    assert torch.equal(linear(made, x), made(x))


@pytest.mark.parametrize("around", [torch.autocast("cpu", torch.bfloat16), torch.inference_mode()])
def test_the_trial_does_not_depend_on_where_it_is_made(around):
    kernels._works.cache_clear()
    outside = kernels._works()
    kernels._works.cache_clear()
    with around:
        assert kernels._works() == outside


def test_what_is_switched_off_or_slow_is_not_used(fused, asked, monkeypatch):
    made, x = layer(), torch.randn(7, IN).to(torch.bfloat16)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    linear(made, x)
    assert asked == []
    monkeypatch.undo()
    monkeypatch.setattr(kernels.platform, "machine", lambda: "aarch64")
    kernels._works.cache_clear()
    assert not kernels._works()
    kernels._works.cache_clear()


def raising(*arguments):
    raise RuntimeError("mkldnn_linear: bf16 path needs other units")


def without_bias(x, weight, bias, after, how):
    out = F.linear(x, weight)
    return out if after == "none" else F.gelu(out, approximate=how)


@pytest.mark.parametrize("operator", [raising, without_bias])
def test_an_operator_that_fails_or_means_something_else_is_not_used(monkeypatch, operator):
    monkeypatch.setattr(kernels, "_pointwise", operator)
    kernels._works.cache_clear()
    try:
        made, x = layer(), torch.randn(7, IN).to(torch.bfloat16)
        assert torch.equal(linear(made, x), made(x))
        assert torch.equal(linear_gelu(made, x, "none"), F.gelu(made(x)))
    finally:
        kernels._works.cache_clear()
