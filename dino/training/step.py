"""One optimisation step, as the paper's Algorithm 1: loss, clip, step, momentum teacher, centre.

Nothing here reads a value back from the device; metrics are read where they are logged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from dino.training.loss import DINOLoss
from dino.training.network import Network


class NonFiniteLossError(ArithmeticError):
    """Loss or gradients are infinite or not a number; raised before any parameter has changed."""


@dataclass(frozen=True)
class StepResult:
    """What a step leaves on the device, for the metrics.

    `loss` scalar, `grad_norms` [P] before clipping, `targets` [2 · B, K] of the teacher (None with
    labels), the backbone's `features` [V · B, D] (the teacher's, if there is one), and `finite`, a
    scalar that says whether the step was taken.
    """

    loss: Tensor
    grad_norms: Tensor
    targets: Tensor | None
    features: Tensor
    finite: Tensor


@dataclass(frozen=True)
class StepValues:
    """The schedules' values of one step."""

    lr: float
    weight_decay: float
    momentum: float
    epoch: int


@dataclass(frozen=True)
class StepOptions:
    """How a step is done.

    `clip_grad` is the largest norm of a single parameter's gradient (None leaves gradients alone),
    `freeze_last_layer` the epochs in which the head's last layer does not move, `autocast` the dtype
    of mixed precision (None for plain float32).
    """

    clip_grad: float | None = 3.0
    freeze_last_layer: int = 1
    autocast: torch.dtype | None = None


def train_step(
    student: nn.Module,
    teacher: Network,
    loss: DINOLoss,
    optimizer: torch.optim.Optimizer,
    crops: Sequence[Tensor],
    *,
    values: StepValues,
    options: StepOptions = StepOptions(),
) -> StepResult:
    """Take one step on one batch; student, teacher, centre and optimizer change in place.

    Args:
        student: a `Network`, maybe inside DistributedDataParallel.
        crops: global crops first, each [B,3,H,W] and normalised.
    Raises:
        NonFiniteLossError: where reading it costs nothing; elsewhere the step is skipped on the
            device, see `descend`.
    Source: Caron et al. 2021, Algorithm 1; recipe of facebookresearch/dino.
    """
    with autocast_on(crops[0], options.autocast):
        with torch.no_grad():
            teacher_out, features = teacher(crops[: loss.num_global])
        targets = loss.teacher_probabilities(teacher_out, values.epoch)
        student_out, _ = student(crops)
        value = loss.compare(student_out, targets)
        loss.update_center(teacher_out)
    norms, finite = descend(student, value, optimizer, values=values, options=options)
    update_teacher(student, teacher, values.momentum)
    return StepResult(value.detach(), norms, targets, features, finite)


def supervised_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    crops: Sequence[Tensor],
    labels: Tensor,
    *,
    values: StepValues,
    options: StepOptions = StepOptions(),
) -> StepResult:
    """Take one step of cross-entropy with the labels [B] on the first crop [B,3,H,W], for comparison."""
    with autocast_on(crops[0], options.autocast):
        logits, features = model(crops[:1])
        value = F.cross_entropy(logits.float(), labels)
    norms, finite = descend(model, value, optimizer, values=values, options=options)
    return StepResult(value.detach(), norms, None, features.detach(), finite)


def autocast_on(tensor: Tensor, dtype: torch.dtype | None) -> torch.autocast:
    """Use mixed precision on a tensor's device, or none."""
    return torch.autocast(tensor.device.type, dtype=dtype, enabled=dtype is not None)


def descend(
    network: nn.Module,
    loss: Tensor,
    optimizer: torch.optim.Optimizer,
    *,
    values: StepValues,
    options: StepOptions,
) -> tuple[Tensor, Tensor]:
    """Go backward, clip, and take one optimizer step.

    Loss or gradients that are not finite change no parameter. On a CPU that raises; a GPU, which
    reading would stop, has its fused optimizer skip. Gradients are summed over processes before
    they are looked at, so that all of them decide alike.

    Returns:
        The gradients' norms [P] before clipping, and whether all was finite.
    """
    for group in optimizer.param_groups:
        group["lr"] = values.lr * group["lr_scale"]
        if group["decayed"]:
            group["weight_decay"] = values.weight_decay
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norms = clip_gradients(network, options.clip_grad)
    if values.epoch < options.freeze_last_layer:
        for parameter in last_layer_parameters(network):
            parameter.grad = None
    finite = torch.isfinite(norms).all()
    if not isinstance(network, DistributedDataParallel):
        finite = finite & torch.isfinite(loss.detach())
    if loss.device.type == "cuda" and can_skip(optimizer):
        skip_unless(optimizer, finite)
    elif not finite:
        raise NonFiniteLossError
    optimizer.step()
    return norms, finite


def can_skip(optimizer: torch.optim.Optimizer) -> bool:
    """Tell whether an optimizer takes the order to skip a step on the device: fused ones do."""
    return bool(optimizer.defaults.get("fused"))


def skip_unless(optimizer: Any, finite: Tensor) -> None:
    """Have a fused optimizer skip its next step, on the device, unless `finite`."""
    optimizer.grad_scale = None
    optimizer.found_inf = (~finite).float()


def last_layer_parameters(network: nn.Module) -> list[nn.Parameter]:
    """List the parameters of a DINO head's last layer, also of a network inside DistributedDataParallel."""
    head: Any = unwrapped(network).head
    return list(head.last_layer.parameters()) if hasattr(head, "last_layer") else []


def unwrapped(network: nn.Module) -> Any:
    """Return the network inside DistributedDataParallel, or itself."""
    return getattr(network, "module", network)


@torch.no_grad()
def clip_gradients(network: nn.Module, limit: float | None) -> Tensor:
    """Scale each parameter's own gradient to a norm of at most `limit`; give the norms before, [P]."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    norms = torch.stack(list(torch._foreach_norm(gradients)))
    if limit is not None:
        scales = (limit / (norms + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(gradients, list(scales.unbind()))
    return norms


@torch.no_grad()
def update_teacher(student: nn.Module, teacher: nn.Module, momentum: float) -> None:
    """Set teacher ← momentum · teacher + (1 − momentum) · student, for all the teacher has."""
    theirs = dict(unwrapped(student).named_parameters())
    names, ours = zip(*teacher.named_parameters(), strict=True)
    torch._foreach_mul_(list(ours), momentum)
    torch._foreach_add_(list(ours), [theirs[name] for name in names], alpha=1 - momentum)
