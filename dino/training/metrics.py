"""Numbers of a training step, and the two ways in which a run can collapse.

Uniform collapse: every output is flat, so the entropy of single outputs is at ln K. One-dimensional
collapse: every image gives the same output, so the entropy of the *batch-mean* output goes to 0, or it
is that of the single outputs, since the mean of equal outputs is each of them. The entropy of single
outputs is low in healthy, sharp runs too, so it alone proves nothing.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from dino.system.distributed import mean_over_processes
from dino.system.words import bits
from dino.training.loss import DINOLoss
from dino.training.step import StepResult

# Shares of ln K beyond which a run is called collapsed.
_UNIFORM, _CONSTANT = 0.995, 0.02
# A share of ln K below which what differs between outputs is rounding.
_ALIKE = 1e-4


@torch.no_grad()
def measure(result: StepResult, loss: DINOLoss) -> dict[str, float]:
    """Compute the numbers of one step; this reads from the device, so it belongs to logging steps only.

    Returns:
        loss; teacher_entropy (mean of single outputs) and batch_mean_entropy, in nats; kl of student
        and teacher (not where the criterion is no cross-entropy); center_norm; feature_std (of
        L2-normalised features, per dimension, times √D: 1 is isotropic, 0 constant); grad_norm (of all
        gradients together).
    """
    q = result.targets
    assert q is not None
    entropy = mean_over_processes(_entropy(q).mean())
    value = mean_over_processes(result.loss)
    values = {
        "loss": value,
        "teacher_entropy": entropy,
        "batch_mean_entropy": _entropy(mean_over_processes(q.mean(dim=0))),
        **({"kl": value - entropy} if loss.criterion == "cross-entropy" else {}),
        "center_norm": loss.center.norm(),
        **_spread_and_norm(result),
    }
    return {name: float(value) for name, value in values.items()}


@torch.no_grad()
def measure_supervised(result: StepResult) -> dict[str, float]:
    """Compute `loss`, `feature_std` and `grad_norm` of a step with labels, as in `measure`."""
    values = {"loss": mean_over_processes(result.loss), **_spread_and_norm(result)}
    return {name: float(value) for name, value in values.items()}


def _spread_and_norm(result: StepResult) -> dict[str, Tensor]:
    features = F.normalize(result.features.float(), dim=-1)
    spread = mean_over_processes(features.std(dim=0).mean())
    return {
        "feature_std": spread * math.sqrt(features.shape[1]),
        "grad_norm": result.grad_norms.norm(),
    }


def collapse(values: dict[str, float], out_dim: int) -> str | None:
    """Name in a sentence a collapse and the usual remedies, or return None."""
    most = math.log2(out_dim)
    together, single = bits(values["batch_mean_entropy"]), bits(values["teacher_entropy"])
    if single >= _UNIFORM * most:
        return (
            f"uniform collapse: the teacher's outputs are flat (entropy {single:.2f} of log₂ K = "
            f"{most:.2f} bits); lower the learning rate or the teacher temperature, raise the momentum, "
            "or use fewer prototypes"
        )
    if together <= _CONSTANT * most or together - single <= _ALIKE * most:
        return (
            "one-dimensional collapse: all images get the same output (entropy of the batch mean "
            f"{together:.3f} bits, of single outputs {single:.3f}); check that centring is on, raise the "
            "teacher temperature, or lower the learning rate"
        )
    return None


def _entropy(q: Tensor) -> Tensor:
    return -torch.xlogy(q, q).sum(dim=-1)
