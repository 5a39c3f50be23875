"""Head, loss and schedules against the original implementation's arrays, and by hand."""

import numpy as np
import pytest
import torch
from helpers.training_cases import golden_state
from torch.func import functional_call
from torch.nn import functional as F

from dino.errors import UserError
from dino.system.schedules import cosine_schedule, teacher_temperatures
from dino.training.head import DINOHead, WeightNormLinear
from dino.training.loss import DINOLoss, sinkhorn


@pytest.mark.parametrize("kind", ["plain", "free", "bn"])
def test_the_head_equals_the_original(golden, kind):
    arrays = golden("head")
    head = DINOHead(
        48,
        128,
        hidden_dim=64,
        bottleneck_dim=32,
        use_bn=kind == "bn",
        norm_last_layer=kind != "free",
    ).eval()
    head.load_state_dict(golden_state(arrays, f"{kind}/state/"))
    with torch.no_grad():
        y = head(torch.from_numpy(arrays[f"{kind}/x"]))
    np.testing.assert_allclose(y, arrays[f"{kind}/y"], atol=1e-5)
    assert head.last_layer.weight_g.requires_grad == (kind == "free")


def prototypes(dtype=torch.float64, frozen_gain=False):
    generator = torch.Generator().manual_seed(3)
    layer = WeightNormLinear(7, 11, frozen_gain=frozen_gain).to(dtype)
    with torch.no_grad():
        layer.weight_g.copy_(torch.rand(11, 1, generator=generator) + 0.5)
        layer.weight_v.copy_(torch.randn(11, 7, generator=generator))
    return layer, torch.randn(5, 7, generator=generator).to(dtype).requires_grad_()


def test_prototypes_and_their_gradients_are_those_of_normalised_weights():
    layer, x = prototypes()
    weights = layer.weight_g * F.normalize(layer.weight_v, dim=1)
    above = torch.randn(5, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    wanted = [x, layer.weight_v, layer.weight_g]
    expected = torch.autograd.grad(F.linear(x, weights), wanted, above)
    y = layer(x)
    torch.testing.assert_close(y, F.linear(x, weights), atol=1e-12, rtol=0)
    for found, right in zip(torch.autograd.grad(y, wanted, above), expected, strict=True):
        torch.testing.assert_close(found, right, atol=1e-12, rtol=0)


def test_prototypes_gradients_by_finite_differences():
    layer, x = prototypes()

    def forward(x, v, gain):
        return functional_call(layer, {"weight_v": v, "weight_g": gain}, (x,))

    v, gain = (p.detach().requires_grad_() for p in (layer.weight_v, layer.weight_g))
    assert torch.autograd.gradcheck(forward, (x, v, gain))


def test_a_frozen_gain_has_no_gradient_and_frozen_weights_cost_none():
    layer, x = prototypes(frozen_gain=True)
    layer.weight_v.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight_g.grad is None
    assert layer.weight_v.grad is None
    assert x.grad is not None


def test_prototypes_under_autocast_multiply_low_and_scale_exactly():
    layer, x = prototypes(torch.float32)
    exact = layer(x).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.detach(), exact, atol=0.03, rtol=0.03)
    assert not torch.equal(y, exact)
    y.sum().backward()
    assert (layer.weight_v.grad.dtype, x.grad.dtype) == (torch.float32, torch.float32)
    # A row of `weight_v` is scaled away, so that its gradient is at right angles to it.
    along = (layer.weight_v.grad * layer.weight_v).sum(dim=1)
    torch.testing.assert_close(along, torch.zeros(11), atol=0.05, rtol=0)


def test_loss_and_centre_equal_the_original_call_by_call(golden):
    arrays = golden("loss")
    temps = teacher_temperatures(0.04, 0.07, 3, 6)
    np.testing.assert_allclose(temps, arrays["temps"], atol=1e-12)
    loss = DINOLoss(64, 2 + 3, temps)
    for epoch in range(6):
        student, teacher = (
            torch.from_numpy(arrays[f"{epoch}/{n}"]) for n in ("student", "teacher")
        )
        value = loss(student, teacher, epoch)
        assert float(value) == pytest.approx(float(arrays[f"{epoch}/loss"]), abs=1e-5)
        np.testing.assert_allclose(loss.center, arrays[f"{epoch}/center"], atol=1e-5)


def test_schedules_equal_the_original(golden):
    arrays = golden("schedules")
    lr = cosine_schedule(0.0005 * 1024 / 256, 1e-6, 100, 50, warmup_epochs=10)
    np.testing.assert_allclose(lr, arrays["lr"], atol=1e-12)
    np.testing.assert_allclose(cosine_schedule(0.04, 0.4, 100, 50), arrays["wd"], atol=1e-12)
    np.testing.assert_allclose(cosine_schedule(0.996, 1, 100, 50), arrays["momentum"], atol=1e-12)
    short = cosine_schedule(1e-3, 1e-5, 7, 3, warmup_epochs=2)
    np.testing.assert_allclose(short, arrays["short"], atol=1e-12)


def test_a_schedule_refuses_a_warm_up_longer_than_the_run():
    with pytest.raises(UserError, match="no longer than the run"):
        cosine_schedule(1, 0, 3, 10, warmup_epochs=4)


def test_a_warm_up_may_be_a_part_of_an_epoch():
    half = cosine_schedule(1, 0, 3, 10, warmup_epochs=0.5)
    assert np.allclose(half[:5], [0, 0.25, 0.5, 0.75, 1])
    assert (len(half), half[5]) == (30, 1)


def test_the_loss_of_two_views_by_hand():
    """One image, two global views, K = 2: the pairs are (0, 1) and (1, 0) only."""
    loss = DINOLoss(2, 2, [1.0], student_temp=1.0)
    student = torch.tensor([[0.0, 0.0], [np.log(3.0), 0.0]])
    teacher = torch.tensor([[0.0, 0.0], [np.log(4.0), 0.0]])
    # Teacher view 0 (1/2, 1/2) against student view 1 (3/4, 1/4), and 1 (4/5, 1/5) against 0.
    expected = (-(0.5 * np.log(0.75) + 0.5 * np.log(0.25)) + np.log(2)) / 2
    assert float(loss(student, teacher, 0)) == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(loss.center, [[0.1 * np.log(4) / 2, 0]], atol=1e-7)


def test_a_uniform_output_costs_ln_k():
    loss = DINOLoss(64, 6, [0.04])
    assert float(loss(torch.zeros(6 * 3, 64), torch.zeros(2 * 3, 64), 0)) == pytest.approx(
        np.log(64)
    )


def test_without_centring_the_centre_is_not_used_and_without_sharpening_the_temperature_is_not():
    teacher = torch.randn(4, 8)
    plain = DINOLoss(8, 2, [0.04], centering=False)
    plain.center += 5 * torch.randn(1, 8)
    torch.testing.assert_close(
        plain.teacher_probabilities(teacher, 0), (teacher / 0.04).softmax(-1)
    )
    flat = DINOLoss(8, 2, [0.04], sharpening=False)
    torch.testing.assert_close(flat.teacher_probabilities(teacher, 0), teacher.softmax(-1))


def test_mean_squared_error_by_hand():
    loss = DINOLoss(2, 2, [1.0], student_temp=1.0, criterion="mse")
    student = torch.tensor([[0.0, 0.0], [np.log(3.0), 0.0]])
    teacher = torch.tensor([[0.0, 0.0], [np.log(4.0), 0.0]])
    expected = (2 * 0.25**2 + 2 * 0.3**2) / 2
    assert float(loss(student, teacher, 0)) == pytest.approx(expected, abs=1e-6)


def test_sinkhorn_uses_prototypes_equally():
    q = sinkhorn(torch.randn(32, 8), iterations=50)
    torch.testing.assert_close(q.sum(1), torch.ones(32))
    torch.testing.assert_close(q.sum(0), torch.full((8,), 4.0), atol=1e-3, rtol=1e-3)


def test_no_gradient_reaches_the_teacher():
    student = torch.randn(6, 8, requires_grad=True)
    teacher = torch.randn(4, 8, requires_grad=True)
    DINOLoss(8, 3, [0.04])(student, teacher, 0).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None
