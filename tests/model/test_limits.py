"""What is too large is refused before anything is allocated, with a size that does fit."""

import re
import time
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.vision_transformer import VisionTransformer

from dino.errors import TooLargeError
from dino.model import limits
from dino.model.backbone import wrap


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
    started = time.process_time()  # of this process alone, however busy the machine
    with pytest.raises(TooLargeError, match="1,048,576 patches") as caught:
        limits.check_fits(backbone, (3000, 3000), size=8192)
    assert time.process_time() - started < 0.1
    size = int(re.search(r"choose ([\d]+) px", str(caught.value)).group(1))
    assert size == 1024
    limits.check_fits(backbone, (3000, 3000), size=size)


@given(
    st.integers(40, 6000),
    st.integers(40, 6000),
    st.integers(64, 9000),
    st.sampled_from(["floor", "pad"]),
)
@settings(max_examples=150, deadline=None)
def test_the_size_that_is_named_always_fits(height, width, size, fit):
    network = SimpleNamespace(
        patch_size=8, embed_dim=48, num_registers=0, precision="fp32", device=torch.device("cpu")
    )
    try:
        limits.check_fits(network, (height, width), size=size, fit=fit)
    except TooLargeError as error:
        named = int(re.search(r"choose (\d+) px", str(error)).group(1))
        assert named < size
        limits.check_fits(network, (height, width), size=named, fit=fit)


def test_too_little_memory_names_both_numbers(backbone, monkeypatch):
    monkeypatch.setattr(limits, "free_bytes", lambda device: 10_000_000)
    with pytest.raises(TooLargeError, match=r"about \d+ MB, and 7 MB are free; choose \d+ px"):
        limits.check_fits(backbone, (900, 900), size=800)


def test_a_batch_counts(backbone, monkeypatch):
    monkeypatch.setattr(limits, "free_bytes", lambda device: 100_000_000)
    limits.check_fits(backbone, (900, 900), size=400)
    with pytest.raises(TooLargeError, match="10000 pictures of size 400 px"):
        limits.check_fits(backbone, (900, 900), size=400, batch=10_000)


def test_free_memory_is_a_plausible_number():
    assert 10**8 < limits.free_bytes(torch.device("cpu")) < 10**14
