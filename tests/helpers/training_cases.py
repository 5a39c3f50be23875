"""The smallest run there is, and photos for it."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dino.training.config import TrainConfig

TINY = TrainConfig(
    arch="vit_tiny",
    patch_size=16,
    global_size=32,
    local_size=16,
    num_locals=2,
    out_dim=32,
    hidden_dim=16,
    bottleneck_dim=8,
    batch_size=4,
    epochs=2,
    warmup_epochs=0,
    log_every=1,
    precision="fp32",
)


def write_photos(root: Path, count: int, *, brighter: int = 0) -> Path:
    """Write `count` photos of noise, 50×40 px, in turns in the folders a and b; b's `brighter` by so much."""
    rng = np.random.default_rng(0)
    for index in range(count):
        path = root / "ab"[index % 2] / f"{index:02d}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256 - brighter, (40, 50, 3)) + brighter * (index % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return root


def golden_state(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, torch.Tensor]:
    """Take a state dict out of golden arrays, whose names begin with `prefix` there."""
    found = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    return {name: torch.from_numpy(value) for name, value in found.items()}
