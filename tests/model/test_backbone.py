"""The wrapped ViT against the original implementation's arrays, and what attention must satisfy."""

import hashlib
from functools import partial

import numpy as np
import pytest
import timm
import torch
from helpers.backbone_cases import ONES, ZEROS, golden_vit, small_vit, wrapped

from dino.errors import UserError
from dino.model.backbone import wrap
from dino.model.positions import interpolate_positions

SIZES = ("64x64", "96x96", "80x48", "56x104", "32x32")


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
        trained=(8, 8),
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
    kind = {"trained": (16, 16), "num_class": 0}
    smooth = interpolate_positions(positions, (4, 4), antialias=True, **kind)
    square = positions.reshape(1, 16, 16, 6).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(square, (4, 4), mode="bicubic", antialias=True)
    torch.testing.assert_close(smooth, expected.flatten(2).transpose(1, 2))
    assert not torch.allclose(
        smooth, interpolate_positions(positions, (4, 4), antialias=False, **kind), atol=1e-2
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
        (torch.zeros(1, 3, 32, 32), (-1,), ("register:0",), "small has 'cls', 'mean'"),
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


@pytest.mark.parametrize("options", [
    {"pre_norm": True},
    {"qk_norm": True},
    {"init_values": 0.3},
    {"reg_tokens": 3, "no_embed_class": True},
    {"class_token": False, "global_pool": "avg", "fc_norm": False},
    {"img_size": (64, 32)},
    {"img_size": (16, 64)},
])  # fmt: skip
def test_tokens_of_every_kind_of_plain_vit_are_timm_s_at_the_trained_size(options):
    model = small_vit(**options).eval()
    with torch.no_grad():  # norms of their own, so that none can be left out or swapped unnoticed
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    height, width = model.patch_embed.img_size
    images = torch.randn(2, 3, height, width)
    with torch.no_grad():
        expected = model.forward_features(images)
    tokens = wrapped(model).tokens(images)
    prefix = model.num_prefix_tokens
    torch.testing.assert_close(tokens.patches, expected[:, prefix:], atol=1e-5, rtol=1e-4)
    if model.has_class_token:
        torch.testing.assert_close(tokens.cls, expected[:, 0], atol=1e-5, rtol=1e-4)
    registers = expected[:, prefix - model.num_reg_tokens : prefix]
    torch.testing.assert_close(tokens.registers, registers, atol=1e-5, rtol=1e-4)


def test_attention_applies_the_norms_of_queries_and_keys():
    model = small_vit(qk_norm=True).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        images = torch.randn(1, 3, 32, 32)
        x = model._pos_embed(model.patch_embed(images))
        attn = model.blocks[0].attn
        qkv = attn.qkv(model.blocks[0].norm1(x)).reshape(1, 17, 3, 3, 8).permute(2, 0, 3, 1, 4)
        q, k = attn.q_norm(qkv[0]), attn.k_norm(qkv[1])
        expected = (q @ k.transpose(-2, -1) * 8**-0.5).softmax(-1)[:, :, 0, 1:]
    maps = wrapped(model).attention(images, layers=(0,))
    torch.testing.assert_close(maps.weights[:, 0, 0].flatten(-2), expected, atol=1e-6, rtol=1e-5)


def test_positions_of_registers_are_interpolated_with_anti_aliasing():
    model = small_vit(img_size=128, reg_tokens=1, no_embed_class=True).eval()
    with torch.no_grad():
        model.pos_embed.normal_()
    from dino.model import forward

    images = torch.zeros(1, 3, 32, 32)
    x = forward.embed(model, images, (4, 4), torch.float32)[0, 2:]
    square = model.pos_embed.reshape(1, 16, 16, -1).permute(0, 3, 1, 2)
    smooth = torch.nn.functional.interpolate(square, (4, 4), mode="bicubic", antialias=True)
    expected = smooth.flatten(2).transpose(1, 2)[0] + model.patch_embed.proj.bias
    torch.testing.assert_close(x, expected, atol=1e-5, rtol=1e-4)


def test_a_network_that_is_no_vit_is_not_read_as_one():
    backbone = wrapped(timm.create_model("swin_tiny_patch4_window7_224", num_classes=0))
    assert not backbone.has_attention
    images = torch.randn(1, 3, 224, 224)
    tokens = backbone.tokens(images)
    assert tokens.patches.shape[1] == tokens.grid[0] * tokens.grid[1]
    assert tokens.patches.shape[2] == backbone.embed_dim
    with pytest.raises(UserError, match="no self-attention"):
        backbone.attention(images)


def test_another_size_than_the_only_one_is_refused():
    backbone = wrapped(timm.create_model("mixer_s32_224", num_classes=0))
    with pytest.raises(UserError, match="one input size only"):
        backbone.tokens(torch.zeros(1, 3, 256, 256))


def test_the_fingerprint_changes_with_whatever_changes_a_result():
    model = small_vit()
    options = {"name": "", "description": "", "device": "cpu", "weights_sha256": "ab"}
    first = wrap(model, mean=ZEROS, std=ONES, precision="fp32", **options).fingerprint
    assert first != wrap(model, mean=ONES, std=ONES, precision="fp32", **options).fingerprint
    other = small_vit(num_heads=6)
    assert first != wrap(other, mean=ZEROS, std=ONES, precision="fp32", **options).fingerprint
    assert first != wrap(model, mean=ZEROS, std=ONES, precision="bf16", **options).fingerprint


@pytest.mark.parametrize("device", ["meta", "xla", "tpu9", "cuda:99"])
def test_a_device_that_is_not_here_is_one_sentence(device):
    from dino.model.device import choose_device

    with pytest.raises(UserError, match="device"):
        choose_device(device)


def test_the_fingerprint_tells_networks_of_the_same_tensors_by_what_they_compute():
    options = {"name": "a", "description": "", "weights_sha256": "1" * 64, "device": "cpu"}
    scale = {"mean": ZEROS, "std": ONES, "precision": "fp32"}

    def fingerprint(**shape) -> str:
        return wrap(small_vit(**shape), **options, **scale).fingerprint

    quick = timm.layers.QuickGELU
    loose = partial(torch.nn.LayerNorm, eps=1e-5)
    assert len({fingerprint(), fingerprint(act_layer=quick), fingerprint(norm_layer=loose)}) == 3
    # The plain one is that of before, by which folders that were embedded are found.
    read = ("1" * 64, 3, 8, (4, 4), ZEROS, ONES, "fp32")
    assert fingerprint() == hashlib.sha256(repr(read).encode()).hexdigest()
