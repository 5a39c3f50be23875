"""The DINO method: multi-crop views, momentum teacher, centring and sharpening.

from dino.training import TrainConfig, fit
fit(TrainConfig(arch="vit_tiny", global_size=96, local_size=48), "photos/", "checkpoints/runs/mine")
"""

from typing import TYPE_CHECKING

from dino.system.faces import lazy_names

if TYPE_CHECKING:
    from dino.system.schedules import cosine_schedule
    from dino.training.config import TrainConfig
    from dino.training.head import DINOHead
    from dino.training.loop import fit
    from dino.training.loss import DINOLoss
    from dino.training.step import train_step

_HOME = {
    "TrainConfig": "dino.training.config",
    "fit": "dino.training.loop",
    "cosine_schedule": "dino.system.schedules",
    "DINOHead": "dino.training.head",
    "DINOLoss": "dino.training.loss",
    "train_step": "dino.training.step",
}

__all__ = ["DINOHead", "DINOLoss", "TrainConfig", "cosine_schedule", "fit", "train_step"]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
