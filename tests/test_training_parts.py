"""Head, loss and schedules against the original implementation's arrays, and by hand."""

import numpy as np
import pytest
import torch

from dino.errors import UserError
from dino.training.head import DINOHead
from dino.training.loss import DINOLoss, sinkhorn
from dino.training.schedules import cosine_schedule, teacher_temperatures


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
    prefix = f"{kind}/state/"
    state = {
        k.removeprefix(prefix): torch.from_numpy(v)
        for k, v in arrays.items()
        if k.startswith(prefix)
    }
    head.load_state_dict(state, strict=True)
    with torch.no_grad():
        y = head(torch.from_numpy(arrays[f"{kind}/x"]))
    np.testing.assert_allclose(y, arrays[f"{kind}/y"], atol=1e-5)
    assert head.last_layer.weight_g.requires_grad == (kind == "free")


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
