"""Figures of heads: distances by hand and against whole maps, agreement with a mask by counting."""

import numpy as np
import pytest
import torch
from helpers.attention_cases import plain_logits, plain_states, small_vit
from helpers.backbone_cases import wrapped

from dino.attention.heads import agreement, mean_distance, query_distance, ranked
from dino.errors import UserError
from dino.media.geometry import Geometry
from dino.model import forward
from dino.model.stream import stream_of


def plain_distances(height: int, width: int) -> torch.Tensor:
    places = [(row, column) for row in range(height) for column in range(width)]
    return torch.tensor(
        [[((a - c) ** 2 + (b - d) ** 2) ** 0.5 for c, d in places] for a, b in places],
        dtype=torch.float64,
    )


@pytest.mark.parametrize("rows", [128, 5])
def test_mean_distance_is_that_of_the_whole_map(monkeypatch, rows):
    monkeypatch.setattr(forward, "_CHUNK_ROWS", rows)
    model = small_vit()
    backbone = wrapped(model)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    states = plain_states(model, images)
    for layer in (0, 2):
        weights = plain_logits(model, layer, states[layer]).softmax(-1)[:, :, 3:, 3:].double()
        weights = weights / weights.sum(-1, keepdim=True)
        expected = (weights * plain_distances(4, 4)).sum(-1).mean(-1) * 8
        found = mean_distance(backbone, stream_of(backbone, images), layer=layer)
        torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-5)


def test_attention_spread_evenly_looks_as_far_as_patches_are_apart():
    model = small_vit()
    with torch.no_grad():
        model.blocks[0].attn.qkv.weight.zero_()
        model.blocks[0].attn.qkv.bias.zero_()
    backbone = wrapped(model)
    stream = stream_of(backbone, torch.randn(1, 3, 16, 24))  # 2×3 patches of 8 px
    # Of 36 pairs: 6 at 0, 8+6 at 1, 4 at 2, 8 at √2 and 4 at √5.
    expected = 8 * (14 * 1 + 4 * 2 + 8 * 2**0.5 + 4 * 5**0.5) / 36
    found = mean_distance(backbone, stream, layer=0)
    assert found[0].tolist() == pytest.approx([expected] * 3, rel=1e-6)


def test_the_distance_of_one_patch_by_hand():
    weights = torch.zeros(2, 3, 5)
    weights[0, 1, 1] = 0.3  # the patch itself
    weights[0, 1, 4] = 0.3  # three columns on
    weights[1, 0, 1] = 0.1  # one row up
    distances = query_distance(weights, (1, 1), patch_size=14)
    assert distances.tolist() == pytest.approx([1.5 * 14, 14.0])
    assert query_distance(torch.zeros(1, 2, 2), (0, 0), patch_size=8).tolist() == [0.0]


@pytest.fixture
def geometry():
    return Geometry(original=(4, 6), resized=(4, 6), crop=(0, 0, 4, 6), patch_size=2)  # 2×3 patches


def test_agreement_by_counting_pixels(geometry):
    mask = np.zeros((4, 6), bool)
    mask[:2, :3] = True  # the first patch and half of the second: 6 px
    weights = np.zeros((3, 2, 3), np.float32)
    weights[0, 0, 0] = 0.5  # its mask: the first patch, 4 px
    weights[1, 0, 0], weights[1, 0, 1] = 0.2, 0.2  # both patches, 8 px
    weights[2, 1, 2] = 0.4  # elsewhere
    found = agreement(weights, mask, geometry, mass=0.9)
    assert found.jaccard == pytest.approx((4 / 6, 6 / 8, 0.0))
    assert found.inside == pytest.approx((1.0, 0.75, 0.0))
    assert ranked(found.jaccard, descending=True) == [1, 0, 2]


def test_agreement_refuses_a_mask_of_nothing_or_of_another_size(geometry):
    weights = np.ones((1, 2, 3), np.float32)
    with pytest.raises(UserError, match="the mask is empty"):
        agreement(weights, np.zeros((4, 6), bool), geometry, mass=0.6)
    with pytest.raises(UserError, match=r"shape \(6, 4\), expected the photo's \(4, 6\)"):
        agreement(weights, np.ones((6, 4), bool), geometry, mass=0.6)
    with pytest.raises(UserError, match="mass is 0"):
        agreement(weights, np.ones((4, 6), bool), geometry, mass=0)


def test_ranks_keep_the_order_of_equal_heads():
    assert ranked([2.0, 1.0, 2.0, 3.0], descending=True) == [3, 0, 2, 1]
    assert ranked([2.0, 1.0, 2.0, 3.0], descending=False) == [1, 0, 2, 3]
