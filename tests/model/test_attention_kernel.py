"""Attention in slices is attention, and a machine takes the way that was quicker on it."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from dino.model import kernels
from dino.model.kernels import in_slices, self_attention, sliced_attention

TOKENS = 133


def queries_keys_values(dtype):
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(2, 3, TOKENS, 16, generator=generator).to(dtype) for _ in range(3))


# All six maps at once, two by two (of six), one by one, and rows of one: 128 and the 5 left over, 64 at
# the least.
@pytest.mark.parametrize("entries", [10**6, 2 * TOKENS**2, TOKENS**2, 128 * TOKENS, 1])
def test_slices_are_the_whole(monkeypatch, entries):
    monkeypatch.setattr(kernels, "SLICE_ENTRIES", entries)
    q, k, v = queries_keys_values(torch.float32)
    expected = F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(sliced_attention(q / 4, k, v), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "batch", [1, 2]
)  # of one photo, heads are slices of its tensor; of two, copies
def test_slices_need_not_lie_side_by_side_in_memory(monkeypatch, dtype, batch):
    monkeypatch.setattr(kernels, "SLICE_ENTRIES", 64 * TOKENS)
    q, k, v = (x[:batch] for x in queries_keys_values(dtype))
    expected = sliced_attention(q, k, v)
    strided = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v))
    torch.testing.assert_close(sliced_attention(*strided), expected)
    exact = F.scaled_dot_product_attention(4 * q.float(), k.float(), v.float())
    close = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(expected.float(), exact, atol=close, rtol=close)


@pytest.mark.parametrize("long", [TOKENS - 1, TOKENS])
def test_many_keys_are_laid_out_whole_and_nothing_else_changes(monkeypatch, long):
    monkeypatch.setattr(kernels, "_LONG", long)
    seen = []

    def attention(q, k, v):
        seen.append(all(x.is_contiguous() for x in (q, k, v)))
        return F.scaled_dot_product_attention(q, k, v)

    q, k, v = (
        x.transpose(1, 2).contiguous().transpose(1, 2) for x in queries_keys_values(torch.float32)
    )
    expected = F.scaled_dot_product_attention(q, k, v)
    functional = SimpleNamespace(scaled_dot_product_attention=attention)
    monkeypatch.setattr(kernels, "F", functional)
    torch.testing.assert_close(self_attention(q, k, v), expected)
    assert seen == [long < TOKENS]


@pytest.mark.parametrize("shape", [(0, 3, 5, 4), (1, 0, 5, 4), (1, 3, 0, 4)])
def test_nothing_gives_nothing(shape):
    empty = torch.zeros(shape, dtype=torch.bfloat16)
    assert sliced_attention(empty, empty, empty).shape == shape


@pytest.mark.parametrize(
    ("heads", "queries", "tokens", "expected"),
    [
        (6, 100, 100, (6, 100)),  # all of them
        (6, 500, 500, (3, 500)),  # 1.5 million entries: two slices
        (7, 500, 500, (4, 500)),  # 1.75 million: two slices, of four and three heads
        (6, 1200, 1200, (1, 832)),  # a map by itself is too large: 833 rows, whole 64s
        (6, 1, 2_000_000, (1, 1)),
        (6, 200, 2_000_000, (1, 64)),
    ],
)
def test_a_slice_holds_what_it_may(monkeypatch, heads, queries, tokens, expected):
    monkeypatch.setattr(kernels, "SLICE_ENTRIES", 1_000_000)
    assert kernels._slice_of(heads, queries, tokens) == expected


def test_what_has_gradients_is_not_sliced(monkeypatch):
    monkeypatch.setattr(kernels, "_gain_of_slices", lambda: 9.0)
    q, k, v = (x.requires_grad_() for x in queries_keys_values(torch.bfloat16))
    self_attention(q, k, v).float().sum().backward()
    assert v.grad is not None


@pytest.mark.parametrize(("gain", "sliced"), [(3.0, True), (1.1, True), (0.8, False), (0.3, False)])
def test_bfloat16_takes_slices_only_where_they_were_quicker(monkeypatch, gain, sliced):
    monkeypatch.setattr(kernels, "_gain_of_slices", lambda: gain)
    q, k, v = queries_keys_values(torch.bfloat16)
    assert in_slices(q) is sliced
    expected = F.scaled_dot_product_attention(q.float(), k.float(), v.float())
    torch.testing.assert_close(self_attention(q, k, v).float(), expected, atol=0.03, rtol=0.03)
    same = sliced_attention(q / 4, k, v) if sliced else F.scaled_dot_product_attention(q, k, v)
    assert torch.equal(self_attention(q, k, v), same)


def test_float32_is_never_timed(monkeypatch):
    monkeypatch.setattr(kernels, "_gain_of_slices", lambda: pytest.fail("was timed"))
    assert not in_slices(torch.zeros(1, 1, 4, 4))


def test_the_gain_is_measured_once():
    kernels._gain_of_slices.cache_clear()
    assert kernels._gain_of_slices() > 0
    kernels._gain_of_slices()
    assert kernels._gain_of_slices.cache_info().misses == 1
