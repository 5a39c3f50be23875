"""Every kind of ViT timm builds: rows of attention and tokens against timm's own forward."""

import pytest
import timm
import torch
from helpers.family_cases import FAMILIES, family_model, own_attention, randomised, wrapped_family

from dino.attention.head_ablation import without_head
from dino.attention.rollout import rollout
from dino.errors import UserError
from dino.model.stream import stream_of

GRIDS = ((4, 4), (5, 4), (3, 7))  # the trained one and two others
CLOSE = 2e-5


def differences(model, backbone, grid):
    """Compare all prefix tokens, two patches and the mean in every block: largest differences of rows, tokens."""
    torch.manual_seed(0)
    images = torch.randn(1, 3, grid[0] * backbone.patch_size, grid[1] * backbone.patch_size)
    expected, features = own_attention(model, images, grid)
    last = (grid[0] - 1, grid[1] // 2)
    prefix = backbone.num_prefix
    queries = (*backbone.prefix_names, (0, 0), last, "mean")
    maps = backbone.attention(images, layers=range(backbone.depth), queries=queries)
    rows = torch.cat([maps.prefix, maps.weights.flatten(-2)], dim=-1)[0]  # [L,Q,A,P+N]
    positions = [*range(prefix), prefix, prefix + last[0] * grid[1] + last[1]]
    worst = 0.0
    for own, true in zip(rows, expected, strict=True):
        worst = max(worst, float((own[:-1] - true[0][:, positions].transpose(0, 1)).abs().max()))
        worst = max(worst, float((own[-1] - true[0][:, prefix:].mean(dim=1)).abs().max()))
    patches = (backbone.tokens(images).patches[0] - features[0, prefix:]).abs().max()
    return worst, float(patches / features.abs().max())


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: "×".join(map(str, grid)))
@pytest.mark.parametrize("case", FAMILIES)
def test_rows_and_tokens_equal_timm_s_own_forward(case, grid):
    model = family_model(case)
    backbone = wrapped_family(model)
    assert backbone.has_attention
    attention, tokens = differences(model, backbone, grid)
    assert attention < CLOSE
    assert tokens < CLOSE


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({name for name, _ in FAMILIES.values()}))
def test_rows_and_tokens_of_the_full_size_equal_timm_s(name):
    if any(size in name for size in ("giant", "enormous")):
        pytest.skip("more than a billion weights; its family has smaller ones here")
    model = randomised(timm.create_model(name, pretrained=False, num_classes=0))
    backbone = wrapped_family(model)
    trained = backbone.family.trained or (16, 16)
    for grid in (trained, (trained[0] - 1, trained[1]), (6, 9)):
        attention, tokens = differences(model, backbone, grid)
        assert attention < CLOSE
        assert tokens < CLOSE


@pytest.mark.parametrize("case", FAMILIES)
def test_bfloat16_keeps_attention_within_its_rounding(case):
    model = family_model(case)
    images = torch.randn(1, 3, *([5 * wrapped_family(model).patch_size] * 2))
    exact, low = (
        wrapped_family(model, precision).attention(images, queries=("mean", (1, 2)))
        for precision in ("fp32", "bf16")
    )
    assert (exact.weights - low.weights).abs().max() < 0.06
    torch.testing.assert_close(
        low.weights.sum((-1, -2)) + low.prefix.sum(-1),
        torch.ones_like(low.prefix[..., 0])
        if low.prefix.shape[-1]
        else low.weights.new_ones(low.weights.shape[:-2]),
    )


@pytest.mark.parametrize("case", FAMILIES)
def test_rollout_shares_sum_to_one_and_a_silent_head_changes_what_follows(case):
    backbone = wrapped_family(family_model(case))
    images = torch.randn(1, 3, *([4 * backbone.patch_size] * 2))
    stream = stream_of(backbone, images)
    patches, prefix = rollout(backbone, stream, queries=("mean", (0, 1)))
    torch.testing.assert_close(patches.sum((-1, -2)) + prefix.sum(-1), torch.ones(1, 1, 2))
    if "differential" in case:
        with pytest.raises(UserError, match="cannot be switched off one by one"):
            without_head(backbone, stream, layer=0, head=0)
        return
    changed = without_head(backbone, stream, layer=0, head=backbone.num_heads - 1)
    assert not torch.allclose(changed.states[1], stream.states[1])


def test_prefix_tokens_are_named_as_they_stand():
    names = {
        case: wrapped_family(family_model(case)).prefix_names
        for case in ("plain", "distillation token", "registers", "no CLS", "registers without CLS")
    }
    assert names["plain"] == ("cls",)
    assert names["distillation token"] == ("cls", "dist")
    assert names["registers"] == ("cls", *(f"register:{number}" for number in range(4)))
    assert names["no CLS"] == ()
    assert names["registers without CLS"] == tuple(f"register:{number}" for number in range(4))


def test_without_cls_the_mean_is_asked_for_and_cls_is_answered_with_it():
    backbone = wrapped_family(family_model("no CLS"))
    images = torch.randn(1, 3, 64, 64)
    assert backbone.default_query == "mean"
    assert backbone.attention(images, queries=("mean",)).prefix.shape[-1] == 0
    with pytest.raises(UserError, match="no CLS token; ask for 'mean'"):
        backbone.attention(images)
    assert wrapped_family(family_model("plain")).default_query == "cls"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("convnext_atto", "ConvNeXt"),
        ("swin_tiny_patch4_window7_224", "SwinTransformer"),
        ("mixer_s32_224", "MlpMixer"),
    ],
)
def test_a_network_without_such_attention_says_what_it_is_and_what_works(name, kind):
    backbone = wrapped_family(timm.create_model(name, pretrained=False, num_classes=0).eval())
    assert not backbone.has_attention
    images = torch.randn(1, 3, 224, 224)
    with pytest.raises(
        UserError, match=rf"is a {kind}, which has no self-attention .* features work"
    ):
        backbone.attention(images)
    tokens = backbone.tokens(images)
    assert tokens.patches.shape[1] == tokens.grid[0] * tokens.grid[1]


@pytest.mark.parametrize("case", ["DINOv3", "BEiT", "relative, MLP", "no CLS", "rotary, learned"])
def test_training_s_forward_is_timm_s_and_reaches_every_weight(case):
    from dino.training.network import embed_images

    model = family_model(case).requires_grad_(True)
    patch = wrapped_family(model).patch_size
    images = torch.randn(2, 3, 4 * patch, 4 * patch)
    features = embed_images(model, images)
    with torch.no_grad():
        tokens = model.forward_features(images)
        prefix = model.num_prefix_tokens
        pooled = tokens[:, 0] if model.cls_token is not None else tokens[:, prefix:].mean(dim=1)
        expected = model.fc_norm(pooled)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-4)
    features.square().sum().backward()
    unreached = [
        name
        for name, values in model.named_parameters()
        if values.grad is None and not name.startswith(("attn_pool", "head"))
    ]
    assert unreached == []
    local = embed_images(model, torch.randn(2, 3, 2 * patch, 3 * patch))
    assert local.shape == features.shape
