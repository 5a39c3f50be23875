"""One optimisation step, as the paper's Algorithm 1: loss, clip, step, momentum teacher, centre.

Nothing here reads a value back from the device; metrics are read where they are logged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dino.training.loss import DINOLoss
from dino.training.network import Network


class NonFiniteLossError(ArithmeticError):
    """The loss is infinite or not a number; raised before anything is changed but the centre."""


@dataclass(frozen=True)
class StepResult:
    """What a step leaves on the device, for the metrics.

    `loss` scalar, `grad_norms` [P] before clipping, the teacher's logits `teacher` [2 · B, K] and
    its backbone's `features` [2 · B, D].
    """

    loss: Tensor
    grad_norms: Tensor
    teacher: Tensor
    features: Tensor


@dataclass(frozen=True)
class StepValues:
    """The schedules' values of one step."""

    lr: float
    weight_decay: float
    momentum: float
    epoch: int


def parameter_groups(network: nn.Module) -> list[dict[str, object]]:
    """Two groups for the optimizer: parameters with decay, and biases and 1-D parameters without.

    CLS token and position embedding have decay, as in the original.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim > 1]
    free = [p for p in trained if p.ndim <= 1]
    return [
        {"params": decayed, "decayed": True},
        {"params": free, "decayed": False, "weight_decay": 0.0},
    ]


def train_step(
    student: Network,
    teacher: Network,
    loss: DINOLoss,
    optimizer: torch.optim.Optimizer,
    crops: Sequence[Tensor],
    *,
    values: StepValues,
    clip_grad: float | None = 3.0,
    freeze_last_layer: int = 1,
    autocast: torch.dtype | None = None,
) -> StepResult:
    """One step on one batch; student, teacher, centre and optimizer change in place.

    Args:
        crops: global crops first, each [B,3,H,W] and normalised.
        clip_grad: largest norm of a single parameter's gradient; None leaves gradients alone.
        freeze_last_layer: epochs in which the head's last layer does not move.
        autocast: dtype of mixed precision on the crops' device, None for plain float32.
    Source: Caron et al. 2021, Algorithm 1; recipe of facebookresearch/dino.
    """
    for group in optimizer.param_groups:
        group["lr"] = values.lr
        if group["decayed"]:
            group["weight_decay"] = values.weight_decay
    device = crops[0].device.type
    with torch.autocast(device, dtype=autocast, enabled=autocast is not None):
        with torch.no_grad():
            teacher_out, features = teacher(crops[: loss.num_global])
        student_out, _ = student(crops)
        value = loss(student_out, teacher_out, values.epoch)
    if device == "cpu" and not torch.isfinite(value):  # elsewhere reading it would stop the device
        raise NonFiniteLossError
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    norms = clip_gradients(student, clip_grad)
    if values.epoch < freeze_last_layer:
        for parameter in last_layer(student).parameters():
            parameter.grad = None
    optimizer.step()
    update_teacher(student, teacher, values.momentum)
    return StepResult(value.detach(), norms, teacher_out, features)


def last_layer(network: nn.Module) -> nn.Module:
    """The head's last layer, also of a network inside DistributedDataParallel."""
    inner: Any = getattr(network, "module", network)
    return inner.head.last_layer


@torch.no_grad()
def clip_gradients(network: nn.Module, limit: float | None) -> Tensor:
    """Scale each parameter's own gradient to a norm of at most `limit`; the norms before, [P]."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    norms = torch.stack(list(torch._foreach_norm(gradients)))
    if limit is not None:
        scales = (limit / (norms + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(gradients, list(scales.unbind()))
    return norms


@torch.no_grad()
def update_teacher(student: nn.Module, teacher: nn.Module, momentum: float) -> None:
    """teacher ← momentum · teacher + (1 − momentum) · student, parameter by parameter."""
    inner = getattr(student, "module", student)
    ours: list[Tensor] = list(teacher.parameters())
    theirs: list[Tensor] = list(inner.parameters())
    torch._foreach_mul_(ours, momentum)
    torch._foreach_add_(ours, theirs, alpha=1 - momentum)
