"""The numbers of one row of attention are those of the network, and follow from each other."""

import numpy as np
import pytest
import torch

import dino
from dino.attention.arithmetic import attention_row, strongest, token_name, weakest
from dino.errors import UserError
from dino.model.stream import stream_of


@pytest.fixture(scope="module")
def network(small_weights):
    backbone = dino.load(small_weights, device="cpu")
    images = torch.randn(1, 3, 40, 56, generator=torch.Generator().manual_seed(2))
    return backbone, images, stream_of(backbone, images)


@pytest.mark.parametrize("query", ["cls", (3, 2)], ids=str)
@pytest.mark.parametrize("layer", [0, 1])
def test_shares_are_the_attention_of_the_backbone(network, query, layer):
    backbone, images, stream = network
    maps = backbone.attention(images, layers=(layer,), queries=(query,))
    for head in range(backbone.num_heads):
        row = attention_row(backbone, stream, layer=layer, query=query, head=head)
        patches = maps.weights[0, 0, 0, head].flatten().numpy()
        assert row.shares[1:] == pytest.approx(patches, abs=1e-5)
        assert row.shares[:1] == pytest.approx(maps.prefix[0, 0, 0, head].numpy(), abs=1e-5)
        assert row.shares.sum() == pytest.approx(1)


def test_each_step_follows_from_the_one_before(network):
    backbone, _, stream = network
    row = attention_row(backbone, stream, layer=-1, query="cls", head=1)
    assert row.width == 16
    assert row.logits == pytest.approx(row.dots / 4)
    ratio = row.shares[5] / row.shares[9]
    assert ratio == pytest.approx(np.exp(row.logits[5] - row.logits[9]))


def test_strongest_and_weakest_are_patches_and_not_the_query(network):
    backbone, _, stream = network
    row = attention_row(backbone, stream, layer=-1, query=(3, 2), head=0)
    top = strongest(row, 4)
    own = 1 + 3 * 7 + 2
    others = np.delete(row.shares[1:], own - 1)
    assert own not in top
    assert row.shares[top] == pytest.approx(np.sort(others)[::-1][:4])
    assert row.shares[weakest(row)] == row.shares[1:].min()
    assert token_name(row, own) == "patch 3:2"
    assert token_name(row, 0) == "CLS"


def test_a_head_that_does_not_exist_is_named(network):
    backbone, _, stream = network
    with pytest.raises(UserError, match="head 3 does not exist; there are 3, numbered 0 to 2"):
        attention_row(backbone, stream, layer=0, query="cls", head=3)
