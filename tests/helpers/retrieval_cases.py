"""Photos that differ enough for a small random network to tell them apart."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def pattern(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Draw a smooth colourful picture uint8 [height,width,3], another one for each number."""
    coarse = np.random.default_rng(number).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def save(rgb: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, quality=95)
    return path


def class_folder(root: Path, *, num_classes: int = 3, num_photos: int = 4) -> Path:
    """Write a sub-folder a class, whose photos are one pattern with a little noise."""
    for label in range(num_classes):
        for number in range(num_photos):
            noise = np.random.default_rng(100 * label + number).normal(0, 12, (48, 64, 3))
            rgb = np.clip(pattern(label) + noise, 0, 255).astype(np.uint8)
            save(rgb, root / f"class-{label}" / f"{label}-{number}.png")
    return root


def benchmark(root: Path) -> dict:
    """Write jpg/ with five photos and two queries, and the ground truth as the original names its parts.

    The box of query 0 is image 0; the rest of its photo is image 4, which is nothing to it.
    """
    for number, rgb in enumerate([*map(pattern, range(4)), pattern(40, width=256)]):
        save(rgb, root / "jpg" / f"image_{number}.png")
    both = pattern(40, width=256)
    both[:, 192:] = pattern(0)
    save(both, root / "jpg" / "query_a.png")
    save(pattern(1), root / "jpg" / "query_b.png")
    return {
        "imlist": [f"image_{number}" for number in range(5)],
        "qimlist": ["query_a", "query_b"],
        "gnd": [
            {"bbx": [192.0, 0.0, 256.0, 48.0], "easy": [0], "hard": [2], "junk": [3]},
            {"bbx": [0.0, 0.0, 64.0, 48.0], "easy": [1], "hard": [], "junk": []},
        ],
    }
