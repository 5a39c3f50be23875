"""The two methods a run can train by: DINO, and a supervised twin for the paper's comparison.

Both offer the loop the same: modules to save, a step, the numbers to log, the backbone to measure.
"""

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dino.errors import UserError
from dino.system.distributed import World
from dino.system.words import counted
from dino.training import metrics
from dino.training.build import (
    build_backbone,
    build_head,
    build_loss,
    build_optimizer,
    input_scale,
    load_initial_head,
)
from dino.training.config import TrainConfig
from dino.training.groups import freeze_blocks
from dino.training.network import Network, prefer_plain_attention
from dino.training.step import (
    StepOptions,
    StepResult,
    StepValues,
    supervised_step,
    train_step,
    unwrapped,
)
from dino.weights.hints import Triple

# Mean and std of the input per RGB channel (0..1).
Scale = tuple[Triple, Triple]


class Method(Protocol):
    """What the loop needs of a method."""

    optimizer: torch.optim.Optimizer
    scale: Scale

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Give the modules that a checkpoint holds, by name."""
        ...

    @property
    def result(self) -> Network:
        """Give the network that a run is for: its backbone is exported, and measured on the way."""
        ...

    def step(
        self, crops: Sequence[Tensor], labels: Tensor, values: StepValues, options: StepOptions
    ) -> StepResult:
        """Take one step on normalised crops, each [B,3,H,W]."""
        ...

    def measure(self, result: StepResult, epoch: int) -> dict[str, float]:
        """Compute the numbers of a step, which are read from the device."""
        ...

    def problem(self, values: dict[str, float]) -> str | None:
        """Name in a sentence a collapse the numbers show, or return None."""
        ...


class DINO:
    """Student, momentum teacher and loss."""

    def __init__(self, config: TrainConfig, device: torch.device, world: World) -> None:
        torch.manual_seed(config.seed)
        self.scale = input_scale(config)
        backbone = build_backbone(config, drop_path=config.drop_path)
        head = build_head(config, backbone.num_features, predictor=config.predictor)
        student = Network(backbone, head)
        teacher = Network(
            build_backbone(config, drop_path=0.0),
            build_head(config, backbone.num_features, predictor=False),
        )
        self.loss = build_loss(config)
        load_initial_head(config, head, self.loss)
        start = student.state_dict()  # of which a predictor is the student's alone
        teacher.load_state_dict({name: start[name] for name in teacher.state_dict()})
        self.teacher = _placed(teacher.requires_grad_(False), device, world).train()
        self.loss.to(device)
        self.student = _trained(student, config, device, world)
        self.optimizer = build_optimizer(config, unwrapped(self.student))
        self._out_dim = config.out_dim

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"student": unwrapped(self.student), "teacher": self.teacher, "loss": self.loss}

    @property
    def result(self) -> Network:
        return self.teacher

    def step(
        self, crops: Sequence[Tensor], labels: Tensor, values: StepValues, options: StepOptions
    ) -> StepResult:
        return train_step(
            self.student,
            self.teacher,
            self.loss,
            self.optimizer,
            crops,
            values=values,
            options=options,
        )

    def measure(self, result: StepResult, epoch: int) -> dict[str, float]:
        temperature = {"teacher_temp": self.loss.temperature(epoch)}
        return {**metrics.measure(result, self.loss), **temperature}

    def problem(self, values: dict[str, float]) -> str | None:
        return metrics.collapse(values, self._out_dim)


class Supervised:
    """The same backbone with a linear classifier on its CLS token."""

    def __init__(
        self, config: TrainConfig, device: torch.device, world: World, num_classes: int
    ) -> None:
        if num_classes < 2:
            raise UserError(
                f"supervised training found {counted(num_classes, 'class', 'classes')}; put the photos of each class in "
                "a sub-folder of its own, two or more"
            )
        torch.manual_seed(config.seed)
        self.scale = input_scale(config)
        backbone = build_backbone(config, drop_path=config.drop_path)
        classifier = nn.Linear(backbone.num_features, num_classes)
        nn.init.trunc_normal_(classifier.weight, std=0.02)
        nn.init.zeros_(classifier.bias)
        self.model = _trained(Network(backbone, classifier), config, device, world)
        self.optimizer = build_optimizer(config, unwrapped(self.model))

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"student": unwrapped(self.model)}

    @property
    def result(self) -> Network:
        return unwrapped(self.model)

    def step(
        self, crops: Sequence[Tensor], labels: Tensor, values: StepValues, options: StepOptions
    ) -> StepResult:
        return supervised_step(
            self.model, self.optimizer, crops, labels, values=values, options=options
        )

    def measure(self, result: StepResult, epoch: int) -> dict[str, float]:
        return metrics.measure_supervised(result)

    def problem(self, values: dict[str, float]) -> str | None:
        return None


def build_method(
    config: TrainConfig,
    *,
    device: torch.device,
    world: World,
    num_classes: int = 0,
    precision: str = "fp32",
) -> Method:
    """Make the method a config names, on its device, to be trained in `precision` (fp32 or bf16).

    Raises:
        UserError: labels asked for and fewer than two classes, or a network that cannot be made.
    """
    method: Method
    if config.method == "supervised":
        method = Supervised(config, device, world, num_classes)
    else:
        method = DINO(config, device, world)
    if world.size > 1:  # each process drops other paths
        torch.manual_seed(config.seed + 1 + world.rank)
    if precision != "fp32" and device.type == "cpu":
        for module in method.modules.values():
            prefer_plain_attention(module)
    return method


def frozen_copy(method: Method) -> Any:
    """Copy the result's backbone as it is now, apart from the training: a timm model."""
    return copy.deepcopy(method.result.backbone).eval().requires_grad_(False)


def _trained(network: Network, config: TrainConfig, device: torch.device, world: World) -> Any:
    """Make a network ready to be trained: on its device, parts frozen, shared by the processes."""
    if config.train_blocks is not None:
        freeze_blocks(network.backbone, config.train_blocks)
    network = _placed(network, device, world).train()
    if world.size == 1:
        return network
    devices = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(network, device_ids=devices)


def _placed(network: Network, device: torch.device, world: World) -> Network:
    """Put a network on its device, its batch norm over all processes (torch has that on GPUs only)."""
    network.to(device)
    if world.size > 1 and device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return network
