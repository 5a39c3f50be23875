"""What the tests of video segmentation share: a small DAVIS folder, and a network that sees colours."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dino.media.label_maps import indexed_png
from dino.model.backbone import Tokens

COLORS = np.array([(90, 90, 90), (230, 40, 40), (40, 60, 230)], dtype=np.uint8)
SHAPE = (64, 128)  # which the network sees at its own size


def scene(number: int) -> np.ndarray:
    """Draw the labels of frame `number`: a 24×24 px square that moves 8 px to the right a frame, and one of
    16×16 px that stays."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[8:32, 8 * number : 8 * number + 24] = 1
    labels[40:56, 64:80] = 2
    return labels


def colored(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a frame of labels in their colours, with noise, so that no two patches tie."""
    noise = rng.normal(0, 4, (*labels.shape, 3))
    return np.clip(COLORS[labels] + noise, 0, 255).astype(np.uint8)


def write_davis(root: Path, *, year: int = 2017) -> Path:
    """Write a DAVIS folder of two sequences of six frames in which the squares are coloured; both are alike but
    for noise."""
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        frames, masks = (root / kind / "480p" / name for kind in ("JPEGImages", "Annotations"))
        frames.mkdir(parents=True)
        masks.mkdir(parents=True)
        for number in range(6):
            labels = scene(number)
            picture = Image.fromarray(colored(labels, rng))
            picture.save(frames / f"{number:05}.jpg", quality=95)
            if year == 2017:
                (masks / f"{number:05}.png").write_bytes(indexed_png(labels))
            else:
                Image.fromarray((labels == 1).astype(np.uint8) * 255).save(
                    masks / f"{number:05}.png"
                )
    return root


@dataclass(frozen=True)
class ColorBackbone:
    """Stands for a `Backbone` whose patch tokens are the patches' mean colours."""

    patch_size: int = 8
    embed_dim: int = 3
    num_registers: int = 0
    precision: str = "fp32"
    device: torch.device = torch.device("cpu")  # noqa: RUF009
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def tokens(self, images: torch.Tensor) -> Tokens:
        means = torch.nn.functional.avg_pool2d(images, self.patch_size)
        patches = means.flatten(2).transpose(1, 2)
        empty = patches[:, :0]
        return Tokens(patches.mean(dim=1), empty, patches, (means.shape[2], means.shape[3]))
