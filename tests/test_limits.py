"""What is too large is refused before anything is allocated, with a size that does fit."""

import re
import time

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from dino import limits
from dino.backbone import wrap
from dino.errors import TooLargeError


@pytest.fixture(scope="module")
def backbone():
    model = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=0
    )
    return wrap(
        model,
        name="small",
        description="",
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        device="cpu",
        precision="fp32",
    )


def test_an_absurd_size_is_refused_at_once_and_the_size_named_fits(backbone):
    started = time.perf_counter()
    with pytest.raises(TooLargeError, match="1,048,576 patches") as caught:
        limits.check_fits(backbone, (1024, 1024), size=8192)
    assert time.perf_counter() - started < 0.1
    size = int(re.search(r"choose ([\d]+) px", str(caught.value)).group(1))
    assert size == 1024
    limits.check_fits(backbone, (size // 8, size // 8), size=size)


def test_too_little_memory_names_both_numbers(backbone, monkeypatch):
    monkeypatch.setattr(limits, "free_bytes", lambda device: 10_000_000)
    with pytest.raises(TooLargeError, match=r"about 0\.\d GB, and 0\.0 GB are free; choose \d+ px"):
        limits.check_fits(backbone, (100, 100), size=800)


def test_a_batch_counts(backbone, monkeypatch):
    monkeypatch.setattr(limits, "free_bytes", lambda device: 100_000_000)
    limits.check_fits(backbone, (50, 50), size=400)
    with pytest.raises(TooLargeError, match="10000 pictures of size 400 px"):
        limits.check_fits(backbone, (50, 50), size=400, batch=10_000)


def test_work_is_counted_as_published(backbone):
    vit_s16 = VisionTransformer(embed_dim=384, depth=12, num_heads=6, num_classes=0)
    wrapped = wrap(
        vit_s16, name="s16", description="", mean=(0.0,) * 3, std=(1.0,) * 3, device="cpu"
    )
    # 9.2 and 53.8 GFLOP are the counts of ViT-S/16 at 224 and 480 px.
    assert limits.forward_gflop(wrapped, (14, 14)) == pytest.approx(9.2, abs=0.05)
    assert limits.forward_gflop(wrapped, (30, 30)) == pytest.approx(53.8, abs=0.05)


def test_free_memory_is_a_plausible_number():
    assert 10**8 < limits.free_bytes(torch.device("cpu")) < 10**14
