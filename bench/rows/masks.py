"""Row 17: masks of bfloat16 beside those of float32, real weights and photos."""

import time

import numpy as np
import torch

import dino
from bench.machine import has_bf16_units
from bench.outcome import NotMeasuredError, Outcome, Settings
from bench.timing import Times
from dino.media.images import find_images, read

_MASS, _SIZE = 0.6, 448
_TINY_PHOTOS, _TINY_SIZE = 3, 112


def agreement(settings: Settings) -> Outcome:
    """Compute the IoU of each head's mask at 60 % of mass, bf16 with fp32, over all photos of `caltech-masks`."""
    if settings.shared is None:
        raise NotMeasuredError("the reference material beside the project (../shared) is absent")
    weights = settings.shared / "weights" / "vits14_dinov2_saliency.fp16.safetensors"
    photos = find_images(settings.shared / "data" / "caltech-masks" / "images")
    size = _SIZE
    if settings.tiny:
        photos, size = photos[:_TINY_PHOTOS], _TINY_SIZE
    networks = {
        precision: dino.load(weights, device="cpu", precision=precision)
        for precision in ("fp32", "bf16")
    }
    taken: dict[str, list[float]] = {precision: [] for precision in networks}
    scores: list[float] = []
    for photo in photos:
        image, _ = dino.preprocess(read(photo), size=size, patch_size=14)
        masks = {}
        for precision, backbone in networks.items():
            start = time.perf_counter()
            maps = backbone.attention(image).weights[0, 0, 0]
            taken[precision].append(time.perf_counter() - start)
            masks[precision] = dino.mass_mask(maps, _MASS).numpy()
        pairs = zip(masks["fp32"], masks["bf16"], strict=True)
        scores += [dino.jaccard(a, b) for a, b in pairs]
    outcome = Outcome({"mean IoU": float(np.mean(scores)), "worst IoU": float(np.min(scores))})
    outcome.timed({f"{p}, a photo": Times(tuple(seconds)) for p, seconds in taken.items()})
    outcome.notes.append(
        f"{len(photos)} photos, {len(scores)} masks; worst {np.min(scores):.3f}, 5th percentile "
        f"{np.quantile(scores, 0.05):.3f}."
    )
    if not has_bf16_units(torch.device("cpu")):
        outcome.notes.append(
            "This CPU has no bf16 units: the agreement holds, its time says nothing."
        )
    return outcome
