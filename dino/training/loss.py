"""The DINO loss: cross-entropy between the teacher's centred, sharpened views and the student's.

The teacher sees the global crops, the student all of them; a pair of equal views is left out. One
log-softmax a student view serves both teacher views, since the two targets can be added first.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from dino.system.distributed import is_joined, mean_over_processes


class DINOLoss(nn.Module):
    """Loss and centre.

    Args:
        out_dim: prototypes K.
        num_views: crops the student sees, global ones first.
        teacher_temps: teacher temperature of each epoch; later epochs keep the last.
        student_temp: temperature of the student.
        center_momentum: share of the old centre that stays at each call.
        num_global: crops the teacher sees.
        centering: subtract the centre, or not (the paper's ablation: the batch collapses to one).
        sharpening: divide the teacher by its temperature, or by 1 (the ablation: it goes uniform).
        targets: "softmax" of the centred teacher, or "sinkhorn" (SwAV's, which needs no centre).
        criterion: "cross-entropy", or "mse" between the two distributions.
    Source: Caron et al. 2021, section 3.1, equations 1 to 4.
    """

    center: Tensor

    def __init__(
        self,
        out_dim: int,
        num_views: int,
        teacher_temps: Iterable[float],
        *,
        student_temp: float = 0.1,
        center_momentum: float = 0.9,
        num_global: int = 2,
        centering: bool = True,
        sharpening: bool = True,
        targets: str = "softmax",
        criterion: str = "cross-entropy",
    ) -> None:
        super().__init__()
        self.num_views, self.num_global = num_views, num_global
        self.teacher_temps = tuple(float(value) for value in teacher_temps)
        self.student_temp, self.center_momentum = student_temp, center_momentum
        self.centering, self.sharpening = centering, sharpening
        self.targets, self.criterion = targets, criterion
        self.register_buffer("center", torch.zeros(1, out_dim))

    def forward(self, student: Tensor, teacher: Tensor, epoch: int) -> Tensor:
        """Compute the loss, and then move the centre.

        Args:
            student: [num_views · B, K] logits, view by view.
            teacher: [num_global · B, K] logits.
            epoch: from 0; chooses the teacher temperature.
        Returns:
            Scalar, the mean over pairs and images.
        """
        targets = self.teacher_probabilities(teacher, epoch)
        total = self.compare(student, targets)
        self.update_center(teacher)
        return total

    def compare(self, student: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of student logits [num_views · B, K] against targets [num_global · B, K]."""
        q = targets.unflatten(0, (self.num_global, -1))
        views = student.float().unflatten(0, (self.num_views, -1))
        total = views.new_zeros(())
        for index, view in enumerate(views):
            others = [q[g] for g in range(self.num_global) if g != index]
            total = total + self._compare(view / self.student_temp, others)
        return total / (self.num_global * self.num_views - self.num_global)

    @torch.no_grad()
    def teacher_probabilities(self, teacher: Tensor, epoch: int) -> Tensor:
        """Compute targets [num_global · B, K] of teacher logits: centred and sharpened, or by Sinkhorn–Knopp."""
        temperature = self.temperature(epoch) if self.sharpening else 1.0
        if self.targets == "sinkhorn":
            views = teacher.float().unflatten(0, (self.num_global, -1))
            return torch.cat([sinkhorn(view / temperature) for view in views])
        center = self.center if self.centering else 0.0
        return F.softmax((teacher.float() - center) / temperature, dim=-1)

    def temperature(self, epoch: int) -> float:
        """Look up the teacher temperature of an epoch."""
        return self.teacher_temps[min(epoch, len(self.teacher_temps) - 1)]

    @torch.no_grad()
    def update_center(self, teacher: Tensor) -> None:
        """Move the centre towards the mean of the teacher logits over all images and processes."""
        mean = mean_over_processes(teacher.float().mean(dim=0, keepdim=True))
        moved = (self.center * self.center_momentum).add_(mean, alpha=1 - self.center_momentum)
        # A broken step leaves no trace.
        self.center.copy_(torch.where(mean.isfinite(), moved, self.center))

    def _compare(self, view: Tensor, targets: list[Tensor]) -> Tensor:
        """Add up over `targets` the mean loss of one student view [B,K] (logits over temperature)."""
        if self.criterion == "mse":
            p = F.softmax(view, dim=-1)
            return torch.stack([(p - q).square().sum(dim=-1).mean() for q in targets]).sum()
        return -(torch.stack(targets).sum(0) * F.log_softmax(view, dim=-1)).sum(dim=-1).mean()


@torch.no_grad()
def sinkhorn(logits: Tensor, *, iterations: int = 3) -> Tensor:
    """Apply Sinkhorn–Knopp: [B,K] logits → rows that sum to 1, columns used equally over the batch.

    Over several processes the batch is all of them. Source: Caron et al. 2020 (SwAV), section 3.1.
    """
    peak = logits.max()
    if is_joined():
        dist.all_reduce(peak, dist.ReduceOp.MAX)
    q = (logits - peak).clamp_min(-80).exp()  # so that no row is all zeros
    for _ in range(iterations):
        columns = q.sum(dim=0, keepdim=True)
        if is_joined():
            dist.all_reduce(columns)
        q = q / columns.clamp_min(torch.finfo(q.dtype).tiny)
        q = q / q.sum(dim=1, keepdim=True).clamp_min(torch.finfo(q.dtype).tiny)
    return q
