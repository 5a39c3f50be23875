"""A head switched off against a network whose projection has zeros in that head's place."""

import copy

import pytest
import torch
from helpers.attention_cases import plain_states, small_vit
from helpers.backbone_cases import wrapped
from torch.nn import functional as F

from dino.attention.head_ablation import ablate_head, without_head
from dino.errors import UserError
from dino.model.stream import stream_attention, stream_of

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(4))


def twin_without(model, layer: int, head: int):
    """The same network, its projection blind to what the head writes."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.blocks[layer].attn.proj.weight[:, head * 8 : (head + 1) * 8] = 0
    return twin


@pytest.mark.parametrize("options", [{}, {"qk_norm": True}, {"scale_attn_norm": True}])
@pytest.mark.parametrize(("layer", "head"), [(0, 0), (1, 2), (2, 1)])
def test_a_silent_head_is_a_projection_that_does_not_read_it(images, options, layer, head):
    model = small_vit(**options)
    backbone = wrapped(model)
    stream = without_head(backbone, stream_of(backbone, images), layer=layer, head=head)
    expected = plain_states(twin_without(model, layer, head), images)
    for state, plain in zip(stream.states, expected, strict=True):
        torch.testing.assert_close(state, plain, **CLOSE)


def test_the_changes_are_those_between_the_two_networks(images):
    model = small_vit()
    backbone, twin = wrapped(model), twin_without(small_vit(), 1, 2)
    found = ablate_head(backbone, stream_of(backbone, images), layer=1, head=2, query=(2, 1))
    before, after = wrapped(model).tokens(images), wrapped(twin).tokens(images)
    cosine = F.cosine_similarity(before.cls, after.cls, dim=-1)
    torch.testing.assert_close(found.cls_cosine, cosine, **CLOSE)
    assert (found.cls_cosine < 0.9999).all()
    cosine = F.cosine_similarity(before.patches, after.patches, dim=-1)
    torch.testing.assert_close(found.patch_change.flatten(1), 1 - cosine, **CLOSE)
    old = wrapped(model).attention(images, queries=((2, 1),)).weights[:, 0, 0]
    new = wrapped(twin).attention(images, queries=((2, 1),)).weights[:, 0, 0]
    torch.testing.assert_close(found.attention_change, new - old, **CLOSE)
    assert found.attention_change.abs().max() > 1e-3
    assert (found.layer, found.head) == (1, 2)


def test_the_last_block_decides_its_attention_before_its_heads_write(images):
    backbone = wrapped(small_vit())
    found = ablate_head(backbone, stream_of(backbone, images), layer=-1, head=0)
    assert found.layer == 2
    assert (found.attention_change == 0).all()
    assert found.patch_change.max() > 1e-3


def test_a_head_that_wrote_nothing_changes_nothing(images):
    model = twin_without(small_vit(), 1, 0)
    backbone = wrapped(model)
    found = ablate_head(backbone, stream_of(backbone, images), layer=1, head=0)
    torch.testing.assert_close(found.cls_cosine, torch.ones(2), atol=1e-6, rtol=0)
    assert found.patch_change.abs().max() < 1e-6


def test_the_kept_stream_is_not_touched(images):
    backbone = wrapped(small_vit())
    stream = stream_of(backbone, images)
    rows = stream_attention(backbone, stream, layers=(2,)).weights
    ablate_head(backbone, stream, layer=0, head=1)
    torch.testing.assert_close(
        stream_attention(backbone, stream, layers=(2,)).weights, rows, atol=0, rtol=0
    )


def test_bfloat16_in_slices_silences_the_same_head(images):
    model = small_vit()
    exact = ablate_head(wrapped(model), stream_of(wrapped(model), images), layer=0, head=1)
    backbone = wrapped(copy.deepcopy(model), "bf16")
    found = ablate_head(backbone, stream_of(backbone, images), layer=0, head=1)
    torch.testing.assert_close(found.cls_cosine, exact.cls_cosine, atol=0.03, rtol=0)
    assert exact.cls_cosine[0] < 0.7


@pytest.mark.parametrize(
    ("layer", "head", "words"), [(3, 0, "has 3 blocks"), (0, 3, "head 3 does not exist")]
)
def test_what_does_not_exist_is_refused(images, layer, head, words):
    backbone = wrapped(small_vit())
    with pytest.raises(UserError, match=words):
        ablate_head(backbone, stream_of(backbone, images), layer=layer, head=head)
