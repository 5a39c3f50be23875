"""Figures measured elsewhere, reproduced through this code: `pytest -m slow`."""

import numpy as np
import pytest
import torch
from PIL import Image

import dino

# Best head per object, images stretched to 280×280 (bicubic), masks enlarged to the photo.
EXPECTED_J = {0.6: 0.458, 0.8: 0.606}
EXPECTED_ALL_FOREGROUND = 0.279


@pytest.mark.slow
def test_jaccard_of_thresholded_attention_on_caltech_masks(shared, record_property):
    backbone = dino.load(
        shared / "weights" / "vits14_dinov2_saliency.fp16.safetensors", precision="fp32"
    )
    folder = shared / "data" / "caltech-masks"
    best: dict[float, list[float]] = {mass: [] for mass in EXPECTED_J}
    foreground = []
    for path in sorted((folder / "images").iterdir()):
        rgb = dino.decode(path.read_bytes())
        reference = np.asarray(Image.open(folder / "masks" / f"{path.stem}.png")) > 127
        image, geometry = dino.preprocess(
            rgb, size=280, patch_size=14, fit="stretch", resample="bicubic",
            mean=backbone.mean, std=backbone.std,
        )  # fmt: skip
        maps = backbone.attention(image).weights[0, 0, 0]
        for mass, values in best.items():
            masks = geometry.to_photo(dino.mass_mask(maps, mass).numpy())
            values.append(max(dino.jaccard(mask, reference) for mask in masks))
        foreground.append(reference.mean())
    assert len(foreground) == 523
    for mass, expected in EXPECTED_J.items():
        measured = float(np.mean(best[mass]))
        record_property(f"J at {mass:.0%}", measured)
        print(f"J at {mass:.0%} of mass, oracle best head: {measured:.4f} (expected {expected})")
        assert measured == pytest.approx(expected, abs=0.005)
    assert np.mean(foreground) == pytest.approx(EXPECTED_ALL_FOREGROUND, abs=0.002)


def iou(left: torch.Tensor, right: torch.Tensor) -> float:
    return dino.jaccard(left.numpy(), right.numpy())


@pytest.mark.slow
def test_bfloat16_masks_stay_close_to_float32_masks(shared):
    path = shared / "weights" / "vits14_dinov2_saliency.fp16.safetensors"
    exact, fast = (dino.load(path, precision=p) for p in ("fp32", "bf16"))
    scores = []
    for photo in sorted((shared / "data" / "caltech-masks" / "images").iterdir())[::10]:
        image, _ = dino.preprocess(dino.decode(photo.read_bytes()), size=448, patch_size=14)
        left, right = (
            dino.mass_mask(b.attention(image).weights[0, 0, 0], 0.6) for b in (exact, fast)
        )
        scores += [iou(a, b) for a, b in zip(left, right, strict=True)]
    print(
        f"IoU of bf16 with fp32 masks at 60 %: mean {np.mean(scores):.4f}, worst {np.min(scores):.4f}"
    )
    assert np.mean(scores) > 0.97
