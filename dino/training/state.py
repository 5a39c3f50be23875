"""The parts of a run that training changes, made from its config and restored from a checkpoint."""

from dataclasses import dataclass
from typing import Any

import torch

from dino.errors import UserError
from dino.media.preprocessing import channel_tensor
from dino.model.device import choose_device, dtype_of
from dino.model.families import family_of
from dino.system.distributed import World
from dino.training.build import Schedules, build_schedules
from dino.training.config import TrainConfig
from dino.training.data import Photos
from dino.training.methods import Method, build_method
from dino.training.runs import checkpoint
from dino.training.step import StepOptions


@dataclass
class Training:
    """Networks, optimizer and position of a run."""

    config: TrainConfig
    method: Method
    schedules: Schedules
    device: torch.device
    world: World
    options: StepOptions
    scale: tuple[torch.Tensor, torch.Tensor]
    broken: torch.Tensor
    step: int = 0

    @property
    def end(self) -> int:
        """Find the step the run ends at."""
        return min(self.schedules.total, self.config.max_steps or self.schedules.total)

    def snapshot(self) -> checkpoint.Checkpoint:
        """Collect everything a resume needs."""
        states = {name: module.state_dict() for name, module in self.method.modules.items()}
        mean, std = map(list, self.method.scale)
        return checkpoint.Checkpoint(
            **states,
            optimizer=self.method.optimizer.state_dict(),
            step=self.step,
            config=self.config,
            rng=checkpoint.random_state(),
            preprocessing={
                "mean": mean,
                "std": std,
                **_heads_and_grid(self.method.result.backbone),
            },
        )

    def restore(self, saved: checkpoint.Checkpoint) -> None:
        """Restore the state of a snapshot.

        Raises:
            UserError: a checkpoint of other sizes than the config's.
        """
        try:
            for name, module in self.method.modules.items():
                module.load_state_dict(getattr(saved, name))
            self.method.optimizer.load_state_dict(dict(saved.optimizer))
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(
                f"the checkpoint of step {saved.step} does not fit config.json "
                f"({str(error).strip().splitlines()[-1].strip()}); restore the settings of the run"
            ) from error
        self.step = saved.step
        if self.world.size == 1:
            checkpoint.restore_random_state(saved.rng)
        else:  # one state was saved, and each process needs its own
            torch.manual_seed(self.config.seed + 1 + self.world.rank + saved.step)


def _heads_and_grid(backbone: Any) -> dict[str, Any]:
    """Read off a ViT what its tensors do not always show: heads, rows and columns of its positions, and
    timm's name for its architecture where it was made by name."""
    family = family_of(backbone)
    if family is None or family.trained is None:
        return {}
    shown: dict[str, Any] = {"num_heads": family.num_heads, "grid": list(family.trained)}
    named = getattr(backbone, "pretrained_cfg", None) or {}
    if named.get("architecture"):
        shown["arch"] = named["architecture"]
    return shown


def prepare(
    config: TrainConfig, photos: Photos, *, world: World, device: str, precision: str
) -> Training:
    """Make networks, loss, optimizer and schedules of a run, on their device; `precision` fp32 or bf16.

    Raises:
        UserError: a batch that the processes cannot share evenly, or settings that cannot work.
    """
    chosen = choose_device(device)
    if world.size > 1 and chosen.type == "cuda":
        chosen = torch.device("cuda", world.local_rank)
    if config.batch_size % world.size:
        raise UserError(
            f"a batch of {config.batch_size} cannot be shared by {world.size} processes evenly; choose "
            "a multiple"
        )
    num_classes = len(photos.classes)
    method = build_method(
        config, device=chosen, world=world, num_classes=num_classes, precision=precision
    )
    mean, std = (channel_tensor(v, device=chosen) for v in method.scale)
    return Training(
        config=config,
        method=method,
        schedules=build_schedules(config, len(photos)),
        device=chosen,
        world=world,
        options=StepOptions(
            clip_grad=config.clip_grad,
            freeze_last_layer=config.freeze_last_layer,
            autocast=None if precision == "fp32" else dtype_of(precision),
        ),
        scale=(mean, std),
        broken=torch.zeros((), device=chosen),
    )
