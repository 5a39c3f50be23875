"""Attention in slices is attention, and a machine takes the way that was quicker on it."""

import pytest
import torch
from torch.nn import functional as F

from dino import attention_kernel
from dino.attention_kernel import CHUNK_ROWS, in_slices, self_attention, sliced_attention


def queries_keys_values(dtype, tokens=CHUNK_ROWS + 5):
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(2, 3, tokens, 16, generator=generator).to(dtype) for _ in range(3))


def test_slices_are_the_whole():
    q, k, v = queries_keys_values(torch.float32)
    expected = F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(sliced_attention(q / 4, k, v), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("gain", "sliced"), [(3.0, True), (1.1, False), (0.3, False)])
def test_bfloat16_takes_slices_only_where_they_were_quicker(monkeypatch, gain, sliced):
    monkeypatch.setattr(attention_kernel, "_gain_of_slices", lambda: gain)
    q, k, v = queries_keys_values(torch.bfloat16)
    assert in_slices(q) is sliced
    expected = F.scaled_dot_product_attention(q.float(), k.float(), v.float())
    torch.testing.assert_close(self_attention(q, k, v).float(), expected, atol=0.03, rtol=0.03)
    same = sliced_attention(q / 4, k, v) if sliced else F.scaled_dot_product_attention(q, k, v)
    assert torch.equal(self_attention(q, k, v), same)


def test_float32_is_never_timed(monkeypatch):
    monkeypatch.setattr(attention_kernel, "_gain_of_slices", lambda: pytest.fail("was timed"))
    assert not in_slices(torch.zeros(1, 1, 4, 4))


def test_the_gain_is_measured_once():
    attention_kernel._gain_of_slices.cache_clear()
    assert attention_kernel._gain_of_slices() > 0
    attention_kernel._gain_of_slices()
    assert attention_kernel._gain_of_slices.cache_info().misses == 1
