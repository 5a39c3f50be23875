"""The settings of a run, in one frozen value that checks itself and goes to JSON and back."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any, get_args, get_origin, get_type_hints

from dino.errors import UserError
from dino.model.device import PRECISIONS
from dino.system.files import parse_json

CHOICES = {
    "method": ("dino", "supervised"),
    "optimizer": ("adamw", "sgd", "lars"),
    "targets": ("softmax", "sinkhorn"),
    "criterion": ("cross-entropy", "mse"),
    "initial_positions": ("random", "sincos"),
    "precision": PRECISIONS,
}
GROUPS = ("Network", "Crops", "Head", "Teacher", "Optimisation", "Ablations", "Run")


def _setting(default: Any, group: str, help: str) -> Any:
    """Declare a field with the group and the sentence that forms and help show it with."""
    return field(default=default, metadata={"group": group, "help": help})


_network = partial(_setting, group="Network")
_crops = partial(_setting, group="Crops")
_head = partial(_setting, group="Head")
_teacher = partial(_setting, group="Teacher")
_optim = partial(_setting, group="Optimisation")
_ablation = partial(_setting, group="Ablations")
_run = partial(_setting, group="Run")


@dataclass(frozen=True)
class TrainConfig:
    """The recipe. Defaults are the paper's ViT-S/16 of 100 epochs ("vanilla").

    Sizes in px, scales as shares of a photo's area, lengths in epochs. Every field carries its
    `group` (one of `GROUPS`) and `help` as metadata.
    Source: Caron et al. 2021; defaults of facebookresearch/dino @ 7c446df.
    """

    method: str = _network("dino", help="dino (no labels), or supervised (labels from sub-folders)")
    arch: str = _network(
        "vit_small", help="vit_tiny, vit_small, vit_base, or a timm name (resnet50)"
    )
    patch_size: int = _network(16, help="Side of a patch in px")
    init: str | None = _network(
        None, help="Weights to start from: a name, an address or a path; none: random"
    )
    init_heads: int | None = _network(
        None, help="Heads of the weights to start from; none: as they say"
    )
    init_arch: str | None = _network(
        None, help="timm architecture of the weights to start from; none: as tensors show"
    )
    init_channels: str | None = _network(
        None, help="RGB out of weights for other channels: mean or first; none: not needed"
    )
    init_head: str | None = _network(
        None, help="Head to start from: a checkpoint of a run; none: fresh"
    )
    train_blocks: int | None = _network(
        None, help="Last blocks that train; none: all, and the patches"
    )
    layer_decay: float = _network(1.0, help="Learning rate of a block over that of the next one")
    drop_path: float = _network(0.1, help="Stochastic depth of the student's last block")
    initial_positions: str = _network("random", help="Start of the position embedding")

    global_size: int = _crops(224, help="Side of the two global crops in px")
    local_size: int = _crops(96, help="Side of the local crops in px")
    num_locals: int = _crops(8, help="Local crops a photo")
    global_scale: tuple[float, float] = _crops((0.4, 1.0), help="Global crops' share of the area")
    local_scale: tuple[float, float] = _crops((0.05, 0.4), help="Local crops' share of the area")
    blur_radius: tuple[float, float] = _crops(
        (0.1, 2.0), help="Standard deviation of the blur in px"
    )

    out_dim: int = _head(65_536, help="Prototypes K")
    hidden_dim: int = _head(2048, help="Width of the head's hidden layers")
    bottleneck_dim: int = _head(256, help="Width before the prototypes")
    use_bn: bool = _head(False, help="Batch norm in the head")
    norm_last_layer: bool = _head(True, help="Keep the prototypes' gain at 1")
    freeze_last_layer: int = _head(1, help="Epochs in which the prototypes do not move")

    student_temp: float = _teacher(0.1, help="Temperature of the student")
    warmup_teacher_temp: float = _teacher(0.04, help="Teacher temperature at the start")
    teacher_temp: float = _teacher(0.04, help="Teacher temperature after its warm-up")
    warmup_teacher_temp_epochs: int = _teacher(0, help="Epochs of that warm-up")
    center_momentum: float = _teacher(0.9, help="Share of the old centre kept at each step")
    momentum: float = _teacher(
        0.996, help="Share of the old teacher kept at each step, at the start"
    )
    momentum_end: float = _teacher(1.0, help="The same at the end")

    epochs: int = _optim(100, help="Times every photo is seen")
    batch_size: int = _optim(64, help="Photos a step, over all processes")
    optimizer: str = _optim("adamw", help="adamw; sgd and lars for convnets")
    base_lr: float = _optim(
        0.0005, help="Learning rate for a batch of 256; used: base_lr · batch / 256"
    )
    head_lr: float | None = _optim(None, help="The same for the head; none: as the backbone")
    min_lr: float = _optim(1e-6, help="Learning rate at the end")
    warmup_epochs: float = _optim(10, help="Epochs in which the rate rises from 0")
    weight_decay: float = _optim(0.04, help="Weight decay at the start")
    weight_decay_end: float = _optim(0.4, help="Weight decay at the end")
    clip_grad: float | None = _optim(
        3.0, help="Largest gradient norm of one parameter; none: no limit"
    )

    targets: str = _ablation("softmax", help="softmax of the centred teacher, or Sinkhorn–Knopp")
    criterion: str = _ablation("cross-entropy", help="Comparison of the two distributions")
    centering: bool = _ablation(True, help="Subtract the centre")
    sharpening: bool = _ablation(True, help="Divide the teacher by its temperature")
    momentum_teacher: bool = _ablation(True, help="Teacher by momentum; off: a copy of the student")
    predictor: bool = _ablation(False, help="An MLP after the student's head, as in BYOL")

    seed: int = _run(0, help="Of crops, order and initial weights")
    precision: str = _run("auto", help="auto measures what is fast here")
    max_steps: int | None = _run(None, help="Stop after this many steps; none: at the end")
    log_every: int = _run(10, help="Steps between two lines of metrics")
    save_every: int = _run(200, help="Steps between two checkpoints")
    keep: int = _run(2, help="Newest checkpoints kept")
    keep_every: int = _run(0, help="Epochs between checkpoints kept for good; 0: none")
    probe_every: int = _run(1, help="Epochs between k-NN and filmstrip; 0: never")
    probe_size: int = _run(224, help="Centre crop of photos for k-NN and masks in px")
    film_size: int = _run(224, help="Centre crop of the filmstrip's photos in px")

    def __post_init__(self) -> None:
        for name in ("global_scale", "local_scale", "blur_radius"):  # JSON has lists
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise UserError(f"{name} is {getattr(self, name)!r}; expected one of {choices}")
        self._check_types()
        self._check_ranges()

    @property
    def num_views(self) -> int:
        """Count the crops the student sees."""
        return 2 + self.num_locals

    @property
    def lr(self) -> float:
        """Compute the peak learning rate, by the linear rule."""
        return self.base_lr * self.batch_size / 256

    def changes(self) -> dict[str, Any]:
        """Collect the settings that are not the paper's, by name."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) != f.default}

    def to_json(self) -> str:
        """Write the config as JSON, one field a line."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "TrainConfig":
        """Read what `to_json` wrote.

        Raises:
            UserError: not JSON, or fields that do not exist.
        """
        try:
            values = parse_json(text)
        except ValueError as error:
            raise UserError(f"the config is not JSON ({error}); restore config.json") from error
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """Make `TrainConfig(**values)`, with unknown fields named in one sentence."""
        if not isinstance(values, dict):
            raise UserError(f"the config is {values!r:.40}; expected an object of settings")
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UserError(
                f"unknown settings {', '.join(unknown)}; known: {', '.join(sorted(known))}"
            )
        return cls(**values)

    def _check_types(self) -> None:
        """Check types, since JSON and command lines bring text where numbers belong."""
        for name, expected in _TYPES.items():
            value = getattr(self, name)
            if (isinstance(value, bool) and bool not in expected) or not isinstance(
                value, expected
            ):
                names = " or ".join("none" if t is type(None) else t.__name__ for t in expected)
                raise UserError(f"{name} is {value!r}; expected {names}")
            if isinstance(value, tuple) and (
                len(value) != 2 or not all(isinstance(v, int | float) for v in value)
            ):
                raise UserError(f"{name} is {value!r}; expected two numbers")
            numbers = value if isinstance(value, tuple) else (value,)
            if any(isinstance(v, float) and not math.isfinite(v) for v in numbers):
                raise UserError(f"{name} is {value!r}; expected a finite number")
            if any(isinstance(v, int) and abs(v) >= 2**63 for v in numbers):
                raise UserError(f"{name} is {value!r}; expected a number below 2^63")

    def _check_ranges(self) -> None:
        for names, (holds, expected) in _RANGES.items():
            self._expect(names, holds, expected)
        whole = f"a multiple of the patch, {self.patch_size} px"
        sizes = "global_size local_size" if self.num_locals else "global_size"
        self._expect(sizes, lambda v: v >= self.patch_size and v % self.patch_size == 0, whole)
        if self.warmup_epochs > self.epochs:
            raise UserError(
                f"warmup_epochs {self.warmup_epochs} is longer than epochs {self.epochs}; lower it"
            )

    def _expect(self, names: str, holds: Callable[[Any], bool], expected: str) -> None:
        for name in names.split():
            if not holds(getattr(self, name)):
                raise UserError(f"{name} is {getattr(self, name)}; expected {expected}")


def _types() -> dict[str, tuple[type, ...]]:
    """Collect the types each field takes; a whole number does where a fraction is expected."""
    found = {}
    for name, hint in get_type_hints(TrainConfig).items():
        options = [get_origin(part) or part for part in get_args(hint) or (hint,)]
        if get_origin(hint) is tuple:
            options = [tuple]
        found[name] = tuple(options) + ((int,) if float in options else ())
    return found


_TYPES = _types()
# What the values of some fields must hold, and how an error says so.
_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "patch_size out_dim hidden_dim bottleneck_dim epochs batch_size "
    "log_every save_every keep probe_size film_size": (lambda v: v >= 1, "at least 1"),
    "warmup_epochs warmup_teacher_temp_epochs freeze_last_layer num_locals keep_every "
    "probe_every weight_decay weight_decay_end min_lr seed": (lambda v: v >= 0, "0 or more"),
    "momentum momentum_end center_momentum": (lambda v: 0 <= v <= 1, "0 to 1"),
    "student_temp warmup_teacher_temp teacher_temp base_lr": (lambda v: v > 0, "more than 0"),
    "head_lr clip_grad max_steps train_blocks": (
        lambda v: v is None or v > 0,
        "more than 0, or none",
    ),
    "layer_decay": (lambda v: 0 < v <= 1, "more than 0, up to 1"),
    "drop_path": (lambda v: 0 <= v < 1, "0 to below 1"),
    "global_scale local_scale": (
        lambda v: 0 < v[0] <= v[1] <= 1,
        "a range of shares in (0, 1]",
    ),
    "blur_radius": (lambda v: 0 < v[0] <= v[1], "a range of px above 0"),
}
