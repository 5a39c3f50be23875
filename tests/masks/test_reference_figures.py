"""Figures measured elsewhere, reproduced through this code: `pytest -m slow`."""

import numpy as np
import pytest
import torch

import dino
from dino.evaluation.mask_data import open_masks
from dino.evaluation.segmentation import attention_jaccard

# Best head per object, images stretched to 280×280 (bicubic), masks enlarged to the photo.
EXPECTED_J = {0.6: 0.458, 0.8: 0.606}
EXPECTED_ALL_FOREGROUND = 0.279


@pytest.mark.slow
def test_jaccard_of_thresholded_attention_on_caltech_masks(shared, record_property):
    backbone = dino.load(
        shared / "weights" / "vits14_dinov2_saliency.fp16.safetensors", precision="fp32"
    )
    data = open_masks(shared / "data" / "caltech-masks")
    found = attention_jaccard(backbone, data, size=280, resample="bicubic")
    assert found.num_photos == found.num_objects == 523
    for mass, expected in EXPECTED_J.items():
        measured = found.at(mass).best_head
        record_property(f"J at {mass:.0%}", measured)
        print(f"J at {mass:.0%} of mass, oracle best head: {measured:.4f} (expected {expected})")
        assert measured == pytest.approx(expected, abs=0.005)
    assert found.all_foreground == pytest.approx(EXPECTED_ALL_FOREGROUND, abs=0.002)


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
    assert np.mean(scores) > 0.975
