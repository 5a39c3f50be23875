"""The kept stream: rows, logits, projections and norms against timm's whole attention."""

import pytest
import torch
from helpers.attention_cases import (
    plain_logits,
    plain_projections,
    plain_states,
    small_vit,
)
from helpers.backbone_cases import wrapped

from dino.errors import UserError
from dino.model import forward
from dino.model.families import family_of
from dino.model.stream import (
    queries_keys_values,
    stream_attention,
    stream_bytes,
    stream_of,
    token_norms,
)

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
QUERIES = ("cls", "register:1", (1, 3))
POSITIONS = [0, 2, 3 + 1 * 4 + 3]


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("options", [{}, {"qk_norm": True}, {"pre_norm": True}])
def test_the_states_are_timm_s(images, options):
    model = small_vit(**options)
    stream = stream_of(wrapped(model), images)
    assert stream.grid == (4, 4)
    assert len(stream.states) == 4
    for state, expected in zip(stream.states, plain_states(model, images), strict=True):
        torch.testing.assert_close(state, expected, **CLOSE)


@pytest.mark.parametrize("options", [{}, {"qk_norm": True}])
def test_logits_and_probabilities_are_rows_of_the_whole_map(images, options):
    model = small_vit(**options)
    backbone = wrapped(model)
    states = plain_states(model, images)
    for maps in (
        stream_attention(
            backbone, stream_of(backbone, images), layers=(0, 2), queries=QUERIES, logits=True
        ),
        backbone.attention(images, layers=(0, -1), queries=QUERIES, logits=True),
    ):
        assert maps.layers == (0, 2)
        for number, layer in enumerate((0, 2)):
            expected = plain_logits(model, layer, states[layer])[:, :, POSITIONS].transpose(1, 2)
            logits = torch.cat([maps.prefix_logits, maps.logits.flatten(-2)], dim=-1)[:, number]
            torch.testing.assert_close(logits, expected, **CLOSE)
            rows = torch.cat([maps.prefix, maps.weights.flatten(-2)], dim=-1)[:, number]
            torch.testing.assert_close(rows, expected.softmax(-1), **CLOSE)


def test_logits_are_kept_only_when_asked_for(images):
    backbone = wrapped(small_vit())
    maps = stream_attention(backbone, stream_of(backbone, images))
    assert maps.logits is None
    assert maps.prefix_logits is None


@pytest.mark.parametrize("options", [{}, {"qk_norm": True}, {"qkv_bias": False}])
def test_projections_are_what_the_block_multiplies(images, options):
    model = small_vit(**options)
    backbone = wrapped(model)
    states = plain_states(model, images)
    found = queries_keys_values(backbone, stream_of(backbone, images), layers=(1, -1))
    for number, layer in enumerate((1, 2)):
        expected = plain_projections(model, layer, states[layer])
        for part, values in zip(found, expected, strict=True):
            assert part.shape == (2, 2, 3, 19, 8)
            torch.testing.assert_close(part[:, number], values, **CLOSE)


def test_slices_of_rows_are_the_rows(monkeypatch, images):
    monkeypatch.setattr(forward, "_CHUNK_ROWS", 4)
    model = small_vit()
    x = plain_states(model, images)[1]
    with torch.no_grad():
        places = family_of(model).places(model, (4, 4))
        slices = list(forward.attention_slices(model, 1, x, range(1, 19), places))
    assert [len(chunk) for chunk, _ in slices] == [4, 4, 4, 4, 2]
    rows = torch.cat([rows for _, rows in slices], dim=1)
    expected = plain_logits(model, 1, x).softmax(-1)[:, :, 1:].transpose(1, 2)
    torch.testing.assert_close(rows, expected, **CLOSE)


def test_norms_are_of_the_tokens_a_block_leaves():
    backbone = wrapped(small_vit())
    stream = stream_of(backbone, torch.randn(1, 3, 32, 48))
    x = torch.zeros_like(stream.states[2])
    x[0, 0, :2] = torch.tensor([3.0, 4.0])  # CLS: 5
    x[0, 2, 5] = -7.0  # the second register
    x[0, 3 + 2 * 6 + 1] = 2.0  # row 2, column 1: 2·√24
    changed = type(stream)((*stream.states[:2], x, stream.states[3]), stream.grid)
    norms = token_norms(backbone, changed, layer=1)
    assert norms.prefix.tolist() == [[5.0, 0.0, 7.0]]
    assert norms.patches.shape == (1, 4, 6)
    assert norms.patches[0, 2, 1].item() == pytest.approx(2 * 24**0.5)
    assert norms.patches.count_nonzero() == 1


def test_the_last_norms_are_before_the_final_norm(images):
    model = small_vit()
    backbone = wrapped(model)
    norms = token_norms(backbone, stream_of(backbone, images))
    expected = plain_states(model, images)[3].norm(dim=-1)
    torch.testing.assert_close(norms.prefix, expected[:, :3], **CLOSE)
    torch.testing.assert_close(norms.patches.flatten(1), expected[:, 3:], **CLOSE)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_estimated_size_is_the_size_kept(images, precision):
    backbone = wrapped(small_vit(), precision)
    stream = stream_of(backbone, images)
    kept = sum(state.numel() * state.element_size() for state in stream.states)
    assert 2 * stream_bytes(backbone, stream.grid) == kept


def test_rows_from_a_bfloat16_stream_are_those_of_a_forward(images):
    backbone = wrapped(small_vit(), "bf16")
    kept = stream_attention(backbone, stream_of(backbone, images), layers=(2,), queries=QUERIES)
    made = backbone.attention(images, layers=(2,), queries=QUERIES)
    torch.testing.assert_close(kept.weights, made.weights, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("layers", "queries", "words"),
    [
        ((3,), ("cls",), "has 3 blocks"),
        ((0,), ("register:2",), "'register:0', 'register:1', 'mean'"),
        ((0,), ((4, 0),), "outside the grid of 4×4"),
        ((), ("cls",), "at least one layer"),
        ((0,), (), "at least one layer and one query"),
    ],
)
def test_bad_requests_name_what_was_expected(images, layers, queries, words):
    backbone = wrapped(small_vit())
    with pytest.raises(UserError, match=words):
        stream_attention(backbone, stream_of(backbone, images), layers=layers, queries=queries)


def test_projections_and_norms_refuse_layers_that_do_not_exist(images):
    backbone = wrapped(small_vit())
    stream = stream_of(backbone, images)
    with pytest.raises(UserError, match="layer 3 does not exist"):
        queries_keys_values(backbone, stream, layers=(3,))
    with pytest.raises(UserError, match="at least one layer"):
        queries_keys_values(backbone, stream, layers=())
    with pytest.raises(UserError, match="layer -4 does not exist"):
        token_norms(backbone, stream, layer=-4)


def test_a_network_without_attention_has_no_stream():
    import timm

    with pytest.raises(UserError, match="no self-attention"):
        stream_of(wrapped(timm.create_model("resnet18", num_classes=0)), torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_batch_whose_tokens_end_within_a_slice_is_the_whole(monkeypatch, precision):
    backbone, images = wrapped(small_vit(), precision), torch.randn(2, 3, 32, 48)
    whole = backbone.tokens(images).patches
    monkeypatch.setattr(forward, "_MLP_ROWS", 7)
    tolerance = 1e-5 if precision == "fp32" else 0.02
    torch.testing.assert_close(
        backbone.tokens(images).patches, whole, atol=tolerance, rtol=tolerance
    )


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_a_hidden_layer_held_once_is_the_mlp(approximate):
    mlp = small_vit().eval().blocks[0].mlp
    mlp.act = torch.nn.GELU(approximate=approximate)
    x = torch.randn(2, 5, mlp.fc1.in_features, requires_grad=True)
    before = x.detach().clone()
    out = forward._mlp(mlp, x)
    assert torch.equal(out, mlp(x))
    assert torch.equal(x, before)
    gradients = [torch.autograd.grad(y.square().sum(), [x, mlp.fc1.weight]) for y in (out, mlp(x))]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*gradients, strict=True))


def test_an_mlp_of_other_parts_is_called_as_it_is():
    from timm.layers import GluMlp, Mlp

    dropping = Mlp(8, 16, drop=0.5)
    with torch.no_grad():
        torch.manual_seed(0)
        expected = dropping(torch.ones(2, 8))
        torch.manual_seed(0)
        assert torch.equal(forward._mlp(dropping, torch.ones(2, 8)), expected)
    for other in (
        GluMlp(8, 16, act_layer=torch.nn.GELU),
        Mlp(8, 16, norm_layer=torch.nn.LayerNorm),
        Mlp(8, 16, act_layer=torch.nn.SiLU),
    ):
        x = torch.randn(2, 8)
        assert torch.equal(forward._mlp(other.eval(), x), other(x))


def test_bfloat16_multiplies_in_it_and_sums_in_float32():
    backbone = wrapped(small_vit(), "bf16")
    blocks = backbone.module.blocks
    assert {block.attn.qkv.weight.dtype for block in blocks} == {torch.bfloat16}
    assert {block.mlp.fc1.weight.dtype for block in blocks} == {torch.bfloat16}
    assert {block.norm1.weight.dtype for block in blocks} == {torch.float32}
    states = stream_of(backbone, torch.randn(1, 3, 32, 32)).states
    assert {state.dtype for state in states} == {torch.float32}
