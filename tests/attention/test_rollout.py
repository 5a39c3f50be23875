"""Rollout by rows against the product of whole matrices."""

import pytest
import torch
from helpers.attention_cases import plain_logits, plain_states, small_vit
from helpers.backbone_cases import wrapped

from dino.attention.rollout import rollout
from dino.errors import UserError
from dino.model import forward
from dino.model.stream import stream_of

QUERIES = ("cls", "register:0", (0, 0), (3, 2))
POSITIONS = [0, 1, 3, 3 + 3 * 4 + 2]


def plain_rollout(model, images: torch.Tensor, last: int) -> torch.Tensor:
    """[B,N,N]: (0.5·Ā + 0.5·I) of block `last` times … times that of block 0."""
    states = plain_states(model, images)
    product = torch.eye(states[0].shape[1]).expand(len(images), -1, -1)
    for index in range(last + 1):
        mean = plain_logits(model, index, states[index]).softmax(-1).mean(dim=1)
        product = (0.5 * mean + 0.5 * torch.eye(mean.shape[-1])) @ product
    return product


@pytest.mark.parametrize("options", [{}, {"qk_norm": True}])
@pytest.mark.parametrize("rows", [128, 5])
def test_rows_are_those_of_the_product_of_whole_matrices(monkeypatch, options, rows):
    monkeypatch.setattr(forward, "_CHUNK_ROWS", rows)
    model = small_vit(**options)
    backbone = wrapped(model)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    asked = (2, 0, 1)
    found, prefix = rollout(backbone, stream_of(backbone, images), layers=asked, queries=QUERIES)
    for number, last in enumerate(asked):
        expected = plain_rollout(model, images, last)[:, POSITIONS]
        shares = torch.cat([prefix, found.flatten(-2)], dim=-1)[:, number]
        torch.testing.assert_close(shares, expected, atol=1e-5, rtol=1e-5)


def test_one_block_is_half_the_row_and_half_itself():
    backbone = wrapped(small_vit())
    images = torch.randn(1, 3, 32, 32)
    found, _ = rollout(backbone, stream_of(backbone, images), layers=(0,), queries=((1, 2),))
    row = backbone.attention(images, layers=(0,), queries=((1, 2),)).weights[:, :, :, :].mean(dim=3)
    expected = 0.5 * row
    expected[..., 1, 2] += 0.5
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_shares_sum_to_one():
    backbone = wrapped(small_vit())
    images = torch.randn(1, 3, 40, 24)
    found, prefix = rollout(backbone, stream_of(backbone, images), layers=(0, -1))
    total = found.sum((-2, -1)) + prefix.sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize(
    ("layers", "queries", "words"),
    [
        ((), ("cls",), "at least one layer"),
        ((9,), ("cls",), "layer 9 does not exist"),
        ((0,), ((0, 4),), "outside the grid"),
    ],
)
def test_bad_requests_name_what_was_expected(layers, queries, words):
    backbone = wrapped(small_vit())
    stream = stream_of(backbone, torch.zeros(1, 3, 32, 32))
    with pytest.raises(UserError, match=words):
        rollout(backbone, stream, layers=layers, queries=queries)
