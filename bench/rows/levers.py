"""A training step with everything, and the same with one lever undone at a time: what each is worth."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.outcome import Settings
from bench.rows.training import config_of
from bench.timing import in_turns
from bench.training import own_step, random_crops
from dino.model import forward
from dino.model.device import choose_precision
from dino.training import network, step
from dino.training.config import TrainConfig
from dino.training.loss import DINOLoss

_BATCH_ON_GPU = 64


@dataclass(frozen=True)
class Lever:
    """A part that makes a step quick: `undone` says what stands in its place, `patch` puts it there
    while a step runs, `change` once."""

    name: str
    undone: str
    patch: Callable[[], Any] = contextlib.nullcontext
    change: Callable[[Any], None] = lambda method: None


def levers(settings: Settings) -> dict[str, Any]:
    """Time a step with everything and without each lever, in turns, on the run's device."""
    device = settings.device
    batch = _BATCH_ON_GPU if device.type == "cuda" else 8
    config = config_of(settings, batch)
    ways = dict(variants(config, device))
    taken = in_turns(ways, settings.repeats, device=device)
    whole = taken[WITH_ALL.name].median
    undone = {lever.name: lever.undone for lever in (WITH_ALL, *LEVERS)}
    return {
        "what": f"{config.arch}/{config.patch_size}, 2×{config.global_size} + "
        f"{config.num_locals}×{config.local_size} px, batch {config.batch_size}, {device.type}, "
        f"{choose_precision('auto', device)}",
        "rows": [
            {
                "way": name,
                "undone": undone[name],
                "median": times.median,
                "spread": times.spread,
                "slower": times.median / whole,
            }
            for name, times in taken.items()
        ],
    }


def variants(
    config: TrainConfig, device: torch.device, precision: str = "auto"
) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Yield the name of each lever that is undone, and a step without it, which gives its loss."""
    crops = random_crops(config, device)
    chosen = choose_precision(precision, device)
    for lever in (WITH_ALL, *LEVERS):
        if lever is BFLOAT16 and chosen == "fp32":
            continue
        if lever is ATTENTION and device.type == "cpu" and chosen != "fp32":
            continue  # there the product multiplies attention out: it is the quicker way
        low = "fp32" if lever is BFLOAT16 else chosen
        yield lever.name, _step(config, device, crops, low, lever)


def _step(
    config: TrainConfig,
    device: torch.device,
    crops: list[Tensor],
    precision: str,
    lever: Lever,
) -> Callable[[], Tensor]:
    torch.manual_seed(0)
    take = own_step(config, crops, device=device, precision=precision, change=lever.change)

    def run() -> Tensor:
        with lever.patch():
            return take()

    return run


def _whole_maps(method: Any) -> None:
    for part in ("student", "teacher"):
        network.prefer_plain_attention(method.modules[part])


def _loop_optimizer(method: Any) -> None:
    groups = [
        {**group, "foreach": False, "fused": False} for group in method.optimizer.param_groups
    ]
    method.optimizer = torch.optim.AdamW(groups, foreach=False, fused=False)


def _embed_whole(backbone: Any, images: Tensor) -> Tensor:
    patch = backbone.patch_embed.patch_size[0]
    grid = (images.shape[-2] // patch, images.shape[-1] // patch)
    x = forward.embed(backbone, images, grid, backbone.cls_token.dtype)
    for block in backbone.blocks:
        x = block(x)
    return backbone.norm(x)[:, 0]


def _compare_pairs(self: DINOLoss, student: Tensor, targets: Tensor) -> Tensor:
    """Take a log-softmax for each pair of views, as the sum of the paper is written."""
    teachers = targets.chunk(self.num_global)
    views = (student.float() / self.student_temp).chunk(self.num_views)
    total, pairs = student.new_zeros((), dtype=torch.float32), 0
    for i, target in enumerate(teachers):
        for j, view in enumerate(views):
            if i != j:
                total = total - (target * F.log_softmax(view, dim=-1)).sum(dim=-1).mean()
                pairs += 1
    return total / pairs


@torch.no_grad()
def _clip_one_by_one(model: nn.Module, limit: float | None) -> Tensor:
    """Clip with a norm and a host read for each parameter."""
    norms = []
    for parameter in model.parameters():
        if parameter.grad is None:
            continue
        norms.append(parameter.grad.norm(2))
        if limit is not None and (scale := limit / (norms[-1].item() + 1e-6)) < 1:
            parameter.grad.mul_(scale)
    return torch.stack(norms)


@torch.no_grad()
def _follow_one_by_one(student: nn.Module, teacher: nn.Module, momentum: float) -> None:
    theirs = dict(step.unwrapped(student).named_parameters())
    for name, ours in teacher.named_parameters():
        ours.mul_(momentum).add_((1 - momentum) * theirs[name])


def _loops() -> Any:
    return mock.patch.multiple(
        step, clip_gradients=_clip_one_by_one, update_teacher=_follow_one_by_one
    )


WITH_ALL = Lever("everything", "")
BFLOAT16 = Lever("bfloat16", "float32")
ATTENTION = Lever("attention without its map", "N×N maps kept for backward", change=_whole_maps)
LEVERS = (
    BFLOAT16,
    ATTENTION,
    Lever(
        "last block for CLS alone",
        "the whole last block",
        patch=lambda: mock.patch.object(network, "embed_images", _embed_whole),
    ),
    Lever(
        "one log-softmax a view",
        "one a pair of views",
        patch=lambda: mock.patch.object(DINOLoss, "compare", _compare_pairs),
    ),
    Lever(
        "fused AdamW", "parameter by parameter; on a GPU a host read too", change=_loop_optimizer
    ),
    Lever(
        "clipping and teacher in one call each",
        "parameter by parameter, a host read each",
        patch=_loops,
    ),
)
