"""DINO in seconds: a two-layer network learns from tiny drawn pictures, by the engine's own step.

    for point in Trainee(Demonstration(centering=False)).points():  # ends in one-dimensional collapse
        print(point.step, point.values["batch_mean_entropy"])

It is there to be watched, not used: 12×12 px, 16 prototypes, one core, a few seconds. The loss, the
step, the metrics and the verdict are those of real runs.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dino.errors import UserError
from dino.features.knn import leave_one_out_accuracy
from dino.training.groups import parameter_groups
from dino.training.head import DINOHead
from dino.training.loss import DINOLoss
from dino.training.metrics import collapse, measure
from dino.training.network import Network
from dino.training.step import StepOptions, StepValues, train_step

KINDS = ("horizontal bar", "vertical bar", "diagonal", "disc")
OUT_DIM = 16
SIDE_PX = 12
_BATCH = 64
_WIDTH = 48
_LR = 2e-3
_NEIGHBOURS = 5
# Pictures of each kind that k-NN classifies at the end.
_NUM_CLASSIFIED = 40


@dataclass(frozen=True)
class Demonstration:
    """Settings of a demonstration: what is switched on, and for how long.

    `centering` and `sharpening` as in `DINOLoss`; `momentum` of the teacher, in [0, 1); `seed` of the
    weights and of every picture.
    """

    centering: bool = True
    sharpening: bool = True
    momentum: float = 0.98
    teacher_temp: float = 0.04
    steps: int = 400
    every: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.every < 1:
            raise UserError(
                f"got {self.steps} steps, one in {self.every} shown; expected at least 1 of each"
            )
        if not 0 <= self.momentum < 1 or self.seed < 0:
            raise UserError(
                f"got momentum {self.momentum} and seed {self.seed}; expected a momentum in [0, 1) "
                "and a seed of 0 or more"
            )


@dataclass(frozen=True)
class Point:
    """Numbers of a step: `values` as `metrics.measure` gives them, entropies in nats."""

    step: int
    values: dict[str, float]

    @property
    def verdict(self) -> str | None:
        """Give the sentence of the engine on a collapse, or None."""
        return collapse(self.values, OUT_DIM)


@dataclass(frozen=True)
class Outcome:
    """The end of a demonstration: its curve, k-NN accuracy in percent before and after (chance is
    25), and the number of pictures classified for it (`asked`)."""

    points: tuple[Point, ...]
    knn_before: float
    knn_after: float
    asked: int


class Trainee:
    """A student, its teacher and the loss, taken through `settings.steps` steps by `points`."""

    def __init__(self, settings: Demonstration) -> None:
        self.settings = settings
        self._random = torch.Generator().manual_seed(settings.seed)
        with torch.random.fork_rng(devices=[]):  # the layers draw from the global generator
            torch.manual_seed(settings.seed)
            self.student = _network()
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.loss = DINOLoss(
            OUT_DIM,
            2,
            [settings.teacher_temp],
            centering=settings.centering,
            sharpening=settings.sharpening,
        )
        self._optimizer = torch.optim.AdamW(parameter_groups(self.student), lr=_LR)

    def points(self) -> Iterator[Point]:
        """Train, and yield every `settings.every` steps and at the end what a run would write down."""
        settings = self.settings
        values = StepValues(lr=_LR, weight_decay=0.0, momentum=settings.momentum, epoch=0)
        options = StepOptions(clip_grad=3.0, freeze_last_layer=0)
        for step in range(settings.steps):
            pictures, _ = draw_pictures(_BATCH, self._random)
            crops = [disturb(pictures, self._random) for _ in range(2)]
            result = train_step(
                self.student,
                self.teacher,
                self.loss,
                self._optimizer,
                crops,
                values=values,
                options=options,
            )
            if step % settings.every == 0 or step == settings.steps - 1:
                yield Point(step, measure(result, self.loss))

    @torch.no_grad()
    def knn(self) -> float:
        """Measure leave-one-out k-NN accuracy of the teacher's features on fresh pictures, in percent."""
        fresh = torch.Generator().manual_seed(self.settings.seed + 1)
        pictures, kinds = draw_pictures(_NUM_CLASSIFIED * len(KINDS), fresh)
        _, features = self.teacher([disturb(pictures, fresh)])
        return leave_one_out_accuracy(features, kinds, k=_NEIGHBOURS).top1


def conclude(trainee: Trainee) -> Iterator[Point | Outcome]:
    """Yield the points as they come, and last the outcome with k-NN before and after."""
    before = trainee.knn()
    points = []
    for point in trainee.points():
        points.append(point)
        yield point
    yield Outcome(tuple(points), before, trainee.knn(), _NUM_CLASSIFIED * len(KINDS))


def draw_pictures(count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw pictures [count,1,12,12] in 0..1 and their kinds [count], numbers of `KINDS` in turn."""
    y, x = torch.meshgrid(torch.arange(SIDE_PX), torch.arange(SIDE_PX), indexing="ij")
    kinds = torch.arange(count) % len(KINDS)
    place = torch.rand(count, 2, 1, 1, generator=random) * 6 + 2.5
    top, left = y - place[:, 0], x - place[:, 1]
    far = torch.stack(
        [top.abs(), left.abs(), (top - left).abs() / math.sqrt(2), top.hypot(left) - 2.0]
    )
    chosen = far[kinds, torch.arange(count)]
    return (1.6 - chosen).clamp(0, 1)[:, None], kinds


def disturb(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Take a view of each picture [B,1,H,W]: moved by up to 1 px, of another contrast, with noise."""
    count = len(pictures)
    shifts = torch.randint(-1, 2, (count, 2), generator=random).tolist()
    moved = torch.stack(
        [torch.roll(p, (dy, dx), (-2, -1)) for p, (dy, dx) in zip(pictures, shifts, strict=True)]
    )
    contrast = 0.6 + 0.8 * torch.rand(count, 1, 1, 1, generator=random)
    return moved * contrast + 0.5 * torch.randn(moved.shape, generator=random) - 0.3


def _network() -> Network:
    backbone = nn.Sequential(
        nn.Flatten(),
        nn.Linear(SIDE_PX**2, _WIDTH),
        nn.GELU(),
        nn.Linear(_WIDTH, _WIDTH),
    )
    head = DINOHead(_WIDTH, OUT_DIM, hidden_dim=_WIDTH, bottleneck_dim=16, num_layers=2)
    return Network(backbone, head)
