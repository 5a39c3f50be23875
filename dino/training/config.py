"""Everything a run is made of, in one frozen value that checks itself and goes to JSON and back."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from dino.errors import UserError

OPTIMIZERS = ("adamw", "sgd", "lars")
TARGETS = ("softmax", "sinkhorn")
CRITERIA = ("cross-entropy", "mse")


@dataclass(frozen=True)
class TrainConfig:
    """The recipe. Defaults are the paper's ViT-S/16 of 100 epochs ("vanilla").

    Sizes in px, scales as shares of a photo's area, lengths in epochs, `batch_size` over all
    processes, `drop_path` of networks built here (not of `init`), `base_lr` for a batch of 256 (the rate used is base_lr · batch_size / 256).
    Source: Caron et al. 2021; defaults of facebookresearch/dino @ 7c446df.
    """

    arch: str = "vit_small"
    patch_size: int = 16
    init: str | None = None
    drop_path: float = 0.1

    global_size: int = 224
    local_size: int = 96
    num_locals: int = 8
    global_scale: tuple[float, float] = (0.4, 1.0)
    local_scale: tuple[float, float] = (0.05, 0.4)

    out_dim: int = 65_536
    hidden_dim: int = 2048
    bottleneck_dim: int = 256
    use_bn: bool = False
    norm_last_layer: bool = True

    student_temp: float = 0.1
    warmup_teacher_temp: float = 0.04
    teacher_temp: float = 0.04
    warmup_teacher_temp_epochs: int = 0
    center_momentum: float = 0.9
    momentum: float = 0.996
    momentum_end: float = 1.0

    epochs: int = 100
    batch_size: int = 64
    optimizer: str = "adamw"
    base_lr: float = 0.0005
    min_lr: float = 1e-6
    warmup_epochs: int = 10
    weight_decay: float = 0.04
    weight_decay_end: float = 0.4
    clip_grad: float | None = 3.0
    freeze_last_layer: int = 1

    targets: str = "softmax"
    criterion: str = "cross-entropy"
    centering: bool = True
    sharpening: bool = True
    momentum_teacher: bool = True

    seed: int = 0
    precision: str = "auto"
    max_steps: int | None = None
    log_every: int = 10
    save_every: int = 200
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("global_scale", "local_scale"):  # JSON has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_choices()
        self._check_ranges()

    @property
    def num_views(self) -> int:
        """Crops the student sees."""
        return 2 + self.num_locals

    @property
    def lr(self) -> float:
        """Peak learning rate, by the linear rule."""
        return self.base_lr * self.batch_size / 256

    def to_json(self) -> str:
        """The config as JSON, one field a line."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "TrainConfig":
        """Read what `to_json` wrote.

        Raises:
            UserError: not JSON, or fields that do not exist.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise UserError(f"the config is not JSON ({error}); restore config.json") from error
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """As `TrainConfig(**values)`, with unknown fields named in one sentence."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UserError(
                f"unknown settings {', '.join(unknown)}; known: {', '.join(sorted(known))}"
            )
        return cls(**values)

    def _check_choices(self) -> None:
        for name, choices in (
            ("optimizer", OPTIMIZERS),
            ("targets", TARGETS),
            ("criterion", CRITERIA),
            ("precision", ("auto", "fp32", "bf16")),
        ):
            if getattr(self, name) not in choices:
                raise UserError(f"{name} is {getattr(self, name)!r}; expected one of {choices}")

    def _check_ranges(self) -> None:
        counts = ["patch_size", "out_dim", "hidden_dim", "bottleneck_dim", "epochs", "batch_size", "log_every", "save_every", "keep"]  # fmt: skip
        for name in counts:
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name in ("global_size", "local_size"):
            size = getattr(self, name)
            if size < self.patch_size or size % self.patch_size:
                raise UserError(
                    f"{name} is {size} px; expected a multiple of the patch, {self.patch_size} px"
                )
        for name in ("momentum", "momentum_end", "center_momentum"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}; expected 0 to 1")
        for name in ("student_temp", "warmup_teacher_temp", "teacher_temp", "base_lr"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name)}; expected more than 0")
        for name in (
            "warmup_epochs",
            "warmup_teacher_temp_epochs",
            "freeze_last_layer",
            "num_locals",
        ):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if self.warmup_epochs > self.epochs:
            raise UserError(
                f"warmup_epochs {self.warmup_epochs} is longer than epochs {self.epochs}"
            )
