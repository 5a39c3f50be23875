"""Row 17: masks of bfloat16 beside those of float32, real weights and photos."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import dino
from bench.machine import cpu_precisions
from bench.outcome import NotMeasuredError, Outcome, Settings
from bench.timing import Times
from dino.media.images import find_images, read
from dino.model.backbone import Backbone

_MASS, _SIZE = 0.6, 448
_TINY_PHOTOS, _TINY_SIZE = 3, 112


def agreement(settings: Settings) -> Outcome:
    """Compute the IoU of each head's mask at 60 % of mass, bf16 with fp32, over all photos of `caltech-masks`."""
    if settings.shared is None:
        raise NotMeasuredError("the reference material beside the project (../shared) is absent")
    photos, size = outlined_photos(settings.shared), _SIZE
    if settings.tiny:
        photos, size = photos[:_TINY_PHOTOS], _TINY_SIZE
    networks = {
        precision: load_saliency(settings.shared, precision) for precision in ("fp32", "bf16")
    }
    scores, taken = compare_masks(networks, photos, size)
    outcome = Outcome({"mean IoU": float(np.mean(scores)), "worst IoU": float(np.min(scores))})
    outcome.timed({f"{p}, a photo": Times(tuple(seconds)) for p, seconds in taken.items()})
    outcome.notes.append(
        f"{len(photos)} photos, {len(scores)} masks; worst {np.min(scores):.3f}, 5th percentile "
        f"{np.quantile(scores, 0.05):.3f}."
    )
    if "bf16" not in cpu_precisions():
        outcome.notes.append(
            "This CPU has no bf16 units: the agreement holds, its time says nothing."
        )
    return outcome


def load_saliency(shared: Path, precision: str) -> Backbone:
    """Load the real weights of the reference material, on the CPU."""
    weights = shared / "weights" / "vits14_dinov2_saliency.fp16.safetensors"
    return dino.load(weights, device="cpu", precision=precision)


def outlined_photos(shared: Path) -> list[Path]:
    """Find the photos of the reference material that masks are compared on."""
    return find_images(shared / "data" / "caltech-masks" / "images")


def compare_masks(
    networks: Mapping[str, Backbone], photos: Sequence[Path], size: int
) -> tuple[list[float], dict[str, list[float]]]:
    """Compute the IoU of two networks' masks at 60 % of mass, a head and photo each; and what each network's
    attention took of each photo, in seconds."""
    taken: dict[str, list[float]] = {name: [] for name in networks}
    scores: list[float] = []
    for photo in photos:
        image, _ = dino.preprocess(read(photo), size=size, patch_size=14)
        masks = []
        for name, backbone in networks.items():
            start = time.perf_counter()
            maps = backbone.attention(image).weights[0, 0, 0]
            taken[name].append(time.perf_counter() - start)
            masks.append(dino.mass_mask(maps, _MASS).numpy())
        scores += [dino.jaccard(a, b) for a, b in zip(*masks, strict=True)]
    return scores, taken
