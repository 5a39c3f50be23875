"""Settings that belong together: the paper's recipes, and ones for small sets on small machines.

preset_config("finetune", num_photos=800, init="vits14_saliency")      # fitted to 800 photos
"""

from dataclasses import asdict
from typing import Any

from dino.training.config import TrainConfig

_BOOSTED = {
    "epochs": 300,
    "teacher_temp": 0.07,
    "warmup_teacher_temp_epochs": 30,
    "norm_last_layer": False,
}
# From scratch on some thousand photos; measured in docs/training.md.
_SMALL: dict[str, Any] = {
    "arch": "vit_tiny",
    "drop_path": 0.0,
    "initial_positions": "sincos",
    "global_size": 64,
    "local_size": 32,
    "num_locals": 4,
    "blur_radius": (0.1, 0.6),
    "out_dim": 1024,
    "hidden_dim": 512,
    "use_bn": True,
    "targets": "sinkhorn",
    "warmup_teacher_temp": 0.02,
    "teacher_temp": 0.02,
    "freeze_last_layer": 0,
    "base_lr": 0.002,
    "batch_size": 64,
    "log_every": 20,
}
# From good weights on some hundred or thousand photos; measured in docs/training.md.
_FINETUNE: dict[str, Any] = {
    "drop_path": 0.0,
    "num_locals": 4,
    "blur_radius": (0.1, 0.9),
    "out_dim": 1024,
    "hidden_dim": 2048,
    "freeze_last_layer": 0,
    "targets": "sinkhorn",
    "warmup_teacher_temp": 0.02,
    "teacher_temp": 0.02,
    "batch_size": 32,
    "base_lr": 4e-4,
    "head_lr": 4e-3,
    "weight_decay_end": 0.04,
}
_SUPERVISED: dict[str, Any] = {
    "method": "supervised",
    "num_locals": 0,
    "base_lr": 0.001,
    "weight_decay": 0.05,
    "weight_decay_end": 0.05,
}
PRESETS: dict[str, dict[str, Any]] = {
    "small": _SMALL,
    "finetune": _FINETUNE,
    "vanilla": {},
    "boosted": _BOOSTED,
    "supervised": _SUPERVISED,
}
# Presets whose length, batch and momentum follow the number of photos, and the steps they aim at.
_STEPS = {"small": 30_000, "finetune": 600}
_MAX_EPOCHS = {"small": 800, "finetune": 100}
# A teacher that remembers more than this share of the run never leaves its start.
_MEMORY_OF_RUN = {"small": 1 / 20, "finetune": 1 / 12}
_PROBES = 20


# What says how the weights to start from are read.
_OF_INIT = ("init", "init_heads", "init_arch", "init_channels")


def preset_config(name: str, *, num_photos: int, **settings: Any) -> TrainConfig:
    """Fit a preset, with single settings changed, to the photos and to `init`.

    For "small" and "finetune": the batch leaves four steps an epoch at least; epochs make up the
    steps the preset aims at; the warm-up is a twentieth of them (of "small" an epoch at least); the
    teacher's memory, 1/(1 − momentum) steps, is a twentieth of the run at most, of "finetune" a
    twelfth, and 10 to 250 steps; crops of "finetune" are whole patches of the weights it starts
    from. For every preset: at most about 20 probes.

    Raises:
        UserError: a setting out of range, or `init` that cannot be read.
    """
    values = {**PRESETS[name], **settings}
    if name == "finetune" and values.get("init") is not None:
        values = {**_sizes_for(values), **values}
    if name in _STEPS:
        values = {**values, **_fitted(name, values, settings, num_photos)}
    config = TrainConfig.from_dict(values)
    if "probe_every" in settings:
        return config
    return TrainConfig.from_dict(
        {**asdict(config), "probe_every": max(1, config.epochs // _PROBES)}
    )


def _fitted(
    name: str, values: dict[str, Any], settings: dict[str, Any], num_photos: int
) -> dict[str, Any]:
    """Choose batch, epochs, warm-up and momentum for a number of photos, where they were not given."""
    given = [settings.get("batch_size"), settings.get("epochs")]
    if any(value is not None and (not isinstance(value, int) or value < 1) for value in given):
        return {}  # the config itself will say what is wrong with it
    batch = settings.get("batch_size") or max(min(values["batch_size"], num_photos // 4), 2)
    per_epoch = max(num_photos // batch, 1)
    wanted = max(round(_STEPS[name] / per_epoch), 1)
    epochs = settings.get("epochs") or min(wanted, _MAX_EPOCHS[name])
    steps = epochs * per_epoch
    memory = min(max(steps * _MEMORY_OF_RUN[name], 10), 250)
    warmup = epochs / 20 if name == "finetune" else max(round(epochs / 20), 1)
    fitted = {
        "batch_size": batch,
        "epochs": epochs,
        "warmup_epochs": min(warmup, epochs),
        "momentum": round(1 - 1 / memory, 5),
    }
    return {key: value for key, value in fitted.items() if key not in settings}


def _sizes_for(values: dict[str, Any]) -> dict[str, Any]:
    """Take the patch of the weights to start from, and crops of about 96 and 42 px in whole patches."""
    patch = values.get("patch_size")
    if not isinstance(patch, int) or patch < 1:
        from dino.training.build import load_init

        named = {k: v for k, v in values.items() if k in _OF_INIT}
        embed: Any = getattr(load_init(TrainConfig.from_dict(named)).model, "patch_embed", None)
        found = getattr(embed, "patch_size", 16)
        patch = int(found[0] if isinstance(found, tuple | list) else found)
    return {
        "patch_size": patch,
        "global_size": max(round(96 / patch), 2) * patch,
        "local_size": max(round(42 / patch), 1) * patch,
    }
