"""Make crops, backbone, head, loss, optimizer and schedules from a config."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dino.errors import UserError
from dino.media.crops import MultiCrop
from dino.system.schedules import cosine_schedule, teacher_temperatures
from dino.system.words import counted
from dino.training.config import TrainConfig
from dino.training.groups import parameter_groups
from dino.training.head import DINOHead
from dino.training.loss import DINOLoss
from dino.training.network import Network
from dino.training.runs.exports import read_head
from dino.training.step import StepValues
from dino.weights.architecture import LoadedModel
from dino.weights.hints import Triple
from dino.weights.initial import initial_values
from dino.weights.zoo import IMAGENET_MEAN, IMAGENET_STD

# Width, depth and heads of the ViTs known by name; any patch size goes with each.
ARCHITECTURES = {"vit_tiny": (192, 12, 3), "vit_small": (384, 12, 6), "vit_base": (768, 12, 12)}


@dataclass(frozen=True)
class Schedules:
    """Every schedule by step, and the steps of an epoch."""

    lr: np.ndarray
    weight_decay: np.ndarray
    momentum: np.ndarray
    steps_per_epoch: int

    @property
    def total(self) -> int:
        return len(self.lr)

    def at(self, step: int) -> StepValues:
        """Take the values of one step."""
        return StepValues(
            lr=float(self.lr[step]),
            weight_decay=float(self.weight_decay[step]),
            momentum=float(self.momentum[step]),
            epoch=step // self.steps_per_epoch,
        )


def build_schedules(config: TrainConfig, num_photos: int) -> Schedules:
    """Compute the schedules of a run over `num_photos` photos.

    Raises:
        UserError: fewer photos than one batch.
    """
    steps = num_photos // config.batch_size
    if not steps:
        raise UserError(
            f"{counted(num_photos, 'photo')} cannot fill one batch of {config.batch_size}; choose a "
            "smaller batch"
        )
    momenta = (config.momentum, config.momentum_end) if config.momentum_teacher else (0.0, 0.0)
    return Schedules(
        lr=cosine_schedule(config.lr, config.min_lr, config.epochs, steps, config.warmup_epochs),
        weight_decay=cosine_schedule(
            config.weight_decay, config.weight_decay_end, config.epochs, steps
        ),
        momentum=cosine_schedule(*momenta, config.epochs, steps),
        steps_per_epoch=steps,
    )


def build_crops(config: TrainConfig) -> MultiCrop:
    """Choose the views of a config: the recipe's, or one global crop for supervised training."""
    supervised = config.method == "supervised"
    return MultiCrop(
        config.global_size,
        config.local_size,
        0 if supervised else config.num_locals,
        config.global_scale,
        config.local_scale,
        blur_radius=config.blur_radius,
        one_global=supervised,
    )


def input_scale(config: TrainConfig) -> tuple[Triple, Triple]:
    """Find mean and std of the input per RGB channel (0..1): those of the weights to start from."""
    if config.init is None:
        return IMAGENET_MEAN, IMAGENET_STD
    loaded = load_init(config)
    return loaded.mean, loaded.std


def load_init(config: TrainConfig) -> LoadedModel:
    """Load the weights to start from, as the settings say they are to be read."""
    from dino.weights import load_model

    assert config.init is not None
    channels: Any = config.init_channels  # `load_model` checks which
    return load_model(
        config.init, arch=config.init_arch, num_heads=config.init_heads, channels=channels
    )


def build_head(config: TrainConfig, in_dim: int, *, predictor: bool) -> DINOHead:
    """Make a fresh head on features of width `in_dim`."""
    return DINOHead(
        in_dim,
        config.out_dim,
        hidden_dim=config.hidden_dim,
        bottleneck_dim=config.bottleneck_dim,
        use_bn=config.use_bn,
        norm_last_layer=config.norm_last_layer,
        predictor=predictor,
    )


def load_initial_head(config: TrainConfig, head: DINOHead, loss: DINOLoss) -> None:
    """Load head and centre from `init_head`, if that is set.

    Raises:
        UserError: no head in that file, or one of other sizes.
    """
    if config.init_head is None:
        return
    state = read_head(Path(config.init_head))
    try:
        loss.load_state_dict({"center": state.pop("center")})
        missing, unknown = head.load_state_dict(state, strict=False)
        absent = [name for name in missing if not name.startswith("predictor.")]
        if absent or unknown:
            raise KeyError(f"{', '.join([*absent, *unknown][:3])} missing or unknown")
    except (KeyError, RuntimeError) as error:
        raise UserError(
            f"the head in {config.init_head} does not fit these settings "
            f"({str(error).splitlines()[-1].strip()}); use the settings of the run it comes from"
        ) from error


def build_loss(config: TrainConfig) -> DINOLoss:
    """Make the loss with its teacher temperatures."""
    temps = teacher_temperatures(
        config.warmup_teacher_temp,
        config.teacher_temp,
        config.warmup_teacher_temp_epochs,
        config.epochs,
    )
    return DINOLoss(
        config.out_dim,
        config.num_views,
        temps,
        student_temp=config.student_temp,
        center_momentum=config.center_momentum,
        centering=config.centering,
        sharpening=config.sharpening,
        targets=config.targets,
        criterion=config.criterion,
    )


def build_optimizer(config: TrainConfig, student: Network) -> torch.optim.Optimizer:
    """Make AdamW, SGD with momentum, or timm's LARS over decayed and undecayed parameters."""
    head_scale = (config.head_lr or config.base_lr) / config.base_lr
    groups = parameter_groups(student, layer_decay=config.layer_decay, head_scale=head_scale)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, fused=True)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=0.9, fused=True)
    from timm.optim.lars import Lars

    return Lars(groups, lr=0.0, momentum=0.9)


def build_backbone(config: TrainConfig, *, drop_path: float) -> Any:
    """Make the named ViT with the recipe's initial weights, or load the weights to start from."""
    if config.init is not None:
        model: Any = load_init(config).model
        _check_patch(model, config, config.init)
        set_drop_path(model, drop_path)
        return model.train().requires_grad_(True)
    if config.arch in ARCHITECTURES:
        from timm.models.vision_transformer import VisionTransformer

        dim, depth, heads = ARCHITECTURES[config.arch]
        model = VisionTransformer(
            img_size=config.global_size,
            patch_size=config.patch_size,
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            num_classes=0,
            drop_path_rate=drop_path,
        )
        _set_initial_weights(model)
        if config.initial_positions == "sincos":
            _set_wave_positions(model)
        return model
    import timm

    if not timm.is_model(config.arch):
        known = ", ".join(ARCHITECTURES)
        raise UserError(f"arch is {config.arch!r}; expected {known}, or a name timm knows")
    model = timm.create_model(config.arch, num_classes=0, pretrained=False)
    set_drop_path(model, drop_path)
    _check_patch(model, config, config.arch)
    return model


def _check_patch(model: Any, config: TrainConfig, name: str) -> None:
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", (config.patch_size,))[0]
    if patch != config.patch_size:
        raise UserError(
            f"{name} has patches of {patch} px and the settings say {config.patch_size}; "
            f"set patch_size={patch}, and global_size and local_size to multiples of it"
        )


def set_drop_path(model: Any, rate: float) -> None:
    """Set the stochastic depth of a ViT, rising linearly from 0 to `rate` over its blocks."""
    from timm.layers import DropPath

    blocks = getattr(model, "blocks", [])
    for index, block in enumerate(blocks):
        share = rate * index / max(len(blocks) - 1, 1)
        for name in ("drop_path1", "drop_path2"):
            if hasattr(block, name):
                setattr(block, name, DropPath(share) if share > 0 else nn.Identity())


@torch.no_grad()
def _set_initial_weights(model: Any) -> None:
    """Draw the original's initial weights; the patch convolution has its own from PyTorch."""
    patch_size = model.patch_embed.patch_size[0]
    for name, parameter in model.named_parameters():
        if not name.startswith("patch_embed."):
            parameter.copy_(initial_values(name, parameter.shape, patch_size=patch_size))


@torch.no_grad()
def _set_wave_positions(model: Any) -> None:
    """Set the position embedding to sines and cosines of row and column, which training then changes.

    Neighbours are alike from the start; a random start has to learn that first. Amplitude such that
    the standard deviation is the random start's 0.02. Source: Chen et al. 2021 (MoCo v3), section 4.
    """
    rows, columns = model.patch_embed.grid_size
    width = model.pos_embed.shape[-1]
    rates = 1 / 10_000 ** (torch.arange(width // 4) / (width // 4))
    waves = [
        torch.outer(torch.arange(float(count)), rates).unsqueeze(1 - axis)
        for axis, count in enumerate((rows, columns))
    ]
    parts = [f(w).expand(rows, columns, -1) for w in waves for f in (torch.sin, torch.cos)]
    model.pos_embed.zero_()
    model.pos_embed[0, 1:, : width // 4 * 4] = torch.cat(parts, dim=-1).flatten(0, 1) * (
        0.02 * 2**0.5
    )
