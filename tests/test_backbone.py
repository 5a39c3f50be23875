"""The wrapped ViT against the original implementation's arrays, and what attention must satisfy."""

import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from dino.backbone import Backbone, wrap
from dino.errors import UserError
from dino.position import interpolate_positions

SIZES = ("64x64", "96x96", "80x48", "56x104", "32x32")
ZEROS, ONES = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def wrapped(model: torch.nn.Module, precision: str = "fp32") -> Backbone:
    return wrap(
        model,
        name="small",
        description="a small network",
        mean=ZEROS,
        std=ONES,
        device="cpu",
        precision=precision,
    )


def small_vit(**options) -> VisionTransformer:
    torch.manual_seed(0)
    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}
    return VisionTransformer(**{**shape, "num_classes": 0, **options})


def golden_vit(arrays: dict[str, np.ndarray], precision: str = "fp32") -> Backbone:
    model = VisionTransformer(
        img_size=64, patch_size=8, embed_dim=48, depth=3, num_heads=3, num_classes=0
    )
    state = {k[6:]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith("state/")}
    model.load_state_dict(state, strict=True)
    return wrapped(model, precision)


@pytest.mark.parametrize("size", SIZES)
def test_tokens_and_attention_equal_the_original(golden, size):
    arrays = golden("vit")
    backbone = golden_vit(arrays)
    images = torch.from_numpy(arrays[f"{size}/image"])

    before, last = backbone.layer_tokens(images, layers=(-2, -1))
    for name, tokens in (("layer0", before), ("layer1", last)):
        expected = arrays[f"{size}/{name}"]
        np.testing.assert_allclose(tokens.cls, expected[:, 0], atol=1e-5)
        np.testing.assert_allclose(tokens.patches, expected[:, 1:], atol=1e-5)
    np.testing.assert_allclose(last.cls, arrays[f"{size}/cls"], atol=1e-5)

    h, w = last.grid
    queries = ("cls", (0, 0), (h - 1, w - 2))
    maps = backbone.attention(images, queries=queries)
    rows = torch.cat([maps.prefix, maps.weights.flatten(-2)], dim=-1)[:, 0]  # [B,Q,A,1+N]
    positions = [0, 1, 1 + (h - 1) * w + w - 2]
    expected = arrays[f"{size}/attention"][:, :, positions].transpose(0, 2, 1, 3)
    np.testing.assert_allclose(rows, expected, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_position_embedding_equals_the_original(golden, size):
    arrays = golden("vit")
    height, width = (int(side) for side in size.split("x"))
    positions = interpolate_positions(
        torch.from_numpy(arrays["state/pos_embed"]),
        (height // 8, width // 8),
        num_class=1,
        antialias=False,
    )
    np.testing.assert_allclose(positions, arrays[f"{size}/pos_embed"], atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_bfloat16_keeps_the_attention_within_its_rounding(golden, size):
    arrays = golden("vit")
    maps = golden_vit(arrays, "bf16").attention(torch.from_numpy(arrays[f"{size}/image"]))
    expected = arrays[f"{size}/attention"][:, :, 0, 1:]
    assert np.abs(maps.weights[:, 0, 0].flatten(-2).numpy() - expected).max() < 5e-3


def test_the_whole_path_from_a_photo_equals_the_original(golden):
    arrays = golden("attention")
    maps = golden_vit(arrays).attention(torch.from_numpy(arrays["tensor"])[None])
    np.testing.assert_allclose(maps.weights[0, 0, 0], arrays["cls_attention"], atol=1e-5)


def test_rows_of_any_layer_are_the_softmax_timm_computes():
    model = small_vit(init_values=0.5, reg_tokens=2, no_embed_class=True).eval()
    backbone = wrapped(model)
    images = torch.randn(2, 3, 32, 32)
    queries = ("cls", "register:1", (1, 3))
    maps = backbone.attention(images, layers=(0, -1), queries=queries)
    assert maps.weights.shape == (2, 2, 3, 3, 4, 4)
    assert maps.prefix.shape == (2, 2, 3, 3, 3)
    x = model._pos_embed(model.patch_embed(images))
    for index, block in enumerate(model.blocks):
        qkv = block.attn.qkv(block.norm1(x)).reshape(2, 19, 3, 3, 8).permute(2, 0, 3, 1, 4)
        expected = (qkv[0] @ qkv[1].transpose(-2, -1) * 8**-0.5).softmax(-1)
        expected = expected[:, :, [0, 2, 3 + 1 * 4 + 3]].transpose(1, 2)
        rows = torch.cat([maps.prefix, maps.weights.flatten(-2)], dim=-1)[:, index]
        torch.testing.assert_close(rows, expected, atol=1e-6, rtol=1e-5)
        x = block(x)


def test_every_row_sums_to_one():
    maps = wrapped(small_vit()).attention(torch.randn(1, 3, 40, 24), queries=("cls", (4, 2)))
    total = maps.weights.sum((-2, -1)) + maps.prefix.sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_registers_take_the_anti_aliased_positions():
    positions = torch.randn(1, 16 * 16, 6)
    smooth = interpolate_positions(positions, (4, 4), num_class=0, antialias=True)
    square = positions.reshape(1, 16, 16, 6).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(square, (4, 4), mode="bicubic", antialias=True)
    torch.testing.assert_close(smooth, expected.flatten(2).transpose(1, 2))
    assert not torch.allclose(
        smooth, interpolate_positions(positions, (4, 4), num_class=0, antialias=False), atol=1e-2
    )


def test_chunked_bfloat16_attention_equals_plain_attention():
    backbone = wrapped(small_vit(img_size=128), "bf16")  # 257 tokens: three slices
    images = torch.randn(1, 3, 128, 128)
    exact = wrapped(small_vit(img_size=128)).tokens(images)
    assert (backbone.tokens(images).patches - exact.patches).abs().max() < 0.06


@pytest.mark.parametrize(
    ("images", "layers", "queries", "words"),
    [
        (torch.zeros(3, 32, 32), (-1,), ("cls",), "expected [B, 3, H, W]"),
        (torch.zeros(1, 3, 30, 32), (-1,), ("cls",), "multiples of the patch, 8 px"),
        (torch.zeros(1, 3, 32, 32), (2,), ("cls",), "has 2 blocks, 0 to 1"),
        (torch.zeros(1, 3, 32, 32), (-1,), ("register:0",), "0 registers"),
        (torch.zeros(1, 3, 32, 32), (-1,), ((4, 0),), "outside the grid of 4×4"),
        (torch.zeros(1, 3, 32, 32), (), ("cls",), "at least one layer"),
    ],
)
def test_bad_requests_name_what_was_expected(images, layers, queries, words):
    with pytest.raises(UserError, match=words.replace("[", r"\[").replace("]", r"\]")):
        wrapped(small_vit()).attention(images, layers=layers, queries=queries)


def test_a_vit_without_cls_token_offers_patch_queries_only():
    backbone = wrapped(small_vit(class_token=False, global_pool="avg", fc_norm=False))
    images = torch.randn(1, 3, 32, 32)
    assert backbone.attention(images, queries=((0, 0),)).weights.shape == (1, 1, 1, 3, 4, 4)
    with pytest.raises(UserError, match="no CLS token"):
        backbone.attention(images)


@pytest.mark.parametrize("name", ["resnet18", "xcit_nano_12_p16_224"])
def test_other_networks_give_features_and_say_why_no_attention(name):
    backbone = wrapped(timm.create_model(name, num_classes=0))
    images = torch.randn(2, 3, 64, 96)
    tokens = backbone.tokens(images)
    h, w = tokens.grid
    assert (h, w) == (64 // backbone.patch_size, 96 // backbone.patch_size)
    assert tokens.patches.shape == (2, h * w, backbone.embed_dim)
    assert tokens.cls.shape == (2, backbone.embed_dim)
    with pytest.raises(UserError, match="no self-attention"):
        backbone.attention(images)
