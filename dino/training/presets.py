"""Settings that belong together: the paper's two recipes, and one for small sets on small machines."""

from dataclasses import asdict, replace
from typing import Any

from dino.training.config import TrainConfig

PRESETS = {
    "vanilla": TrainConfig(),
    "boosted": TrainConfig(
        epochs=300,
        teacher_temp=0.07,
        warmup_teacher_temp_epochs=30,
        norm_last_layer=False,
    ),
    "supervised": TrainConfig(
        method="supervised", base_lr=0.001, weight_decay=0.05, weight_decay_end=0.05
    ),
    "small": TrainConfig(
        arch="vit_tiny",
        global_size=96,
        local_size=48,
        num_locals=4,
        out_dim=1024,
        hidden_dim=512,
        use_bn=True,
        targets="sinkhorn",
        base_lr=0.001,
        epochs=100,
    ),
}
# Below this many steps a momentum of 0.996 (a memory of 250 steps) would be most of the run.
_STEPS_PER_MEMORY = 20


def preset_config(name: str, *, num_photos: int, **settings: Any) -> TrainConfig:
    """A preset with single settings changed; momentum fitted to the run's length for "small".

    The teacher's memory is 1/(1 − momentum) steps; "small" keeps it at a twentieth of the run at
    most, and never above the paper's 250 steps.
    """
    config = TrainConfig.from_dict({**asdict(PRESETS[name]), **settings})
    if name != "small" or "momentum" in settings:
        return config
    steps = max(config.epochs * (num_photos // config.batch_size), 1)
    memory = min(max(steps / _STEPS_PER_MEMORY, 10), 250)
    return replace(config, momentum=round(1 - 1 / memory, 5))
