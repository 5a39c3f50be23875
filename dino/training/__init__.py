"""The DINO method: multi-crop views, momentum teacher, centring and sharpening.

from dino.training import TrainConfig, fit
fit(TrainConfig(arch="vit_tiny", global_size=96, local_size=48), "photos/", "checkpoints/runs/mine")
"""

from dino.system.schedules import cosine_schedule
from dino.training.config import TrainConfig
from dino.training.head import DINOHead
from dino.training.loop import fit
from dino.training.loss import DINOLoss
from dino.training.step import train_step

__all__ = ["DINOHead", "DINOLoss", "TrainConfig", "cosine_schedule", "fit", "train_step"]
