"""Every checkpoint layout gives back exactly the tensors that went in, or one sentence."""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers import weights_cases as cases
from helpers.weights_cases import State, assert_same

from dino.errors import WeightsError
from dino.weights import ZOO, load_model
from dino.weights.layouts import to_canonical
from dino.weights.saving import digest

PLAIN = cases.canonical_vit()
SCALED = cases.canonical_vit(layer_scale=True)
OTHER = cases.canonical_vit(seed=1)


# --- one layout a case: what is read must be exactly what was written ---------------------------

LAYOUTS: dict[str, tuple[Callable[[], Any], State]] = {
    "original, backbone": (lambda: PLAIN, PLAIN),
    "original, full": (lambda: cases.original_full(OTHER, PLAIN), PLAIN),
    "original, full, heads with batch norm": (
        lambda: cases.original_full(OTHER, PLAIN, teacher_prefix="module."),
        PLAIN,
    ),
    "our own run": (lambda: cases.own_run(OTHER, PLAIN), PLAIN),
    "timm with a classifier": (
        lambda: PLAIN | {"head.weight": torch.ones(5, cases.DIM), "head.bias": torch.ones(5)},
        PLAIN,
    ),
    "DeiT's file": (lambda: {"model": PLAIN | {"head.weight": torch.ones(5, cases.DIM)}}, PLAIN),
    "timm v2": (lambda: SCALED, SCALED),
    "original dinov2": (lambda: cases.original_dinov2(SCALED), SCALED),
    "original dinov2 in chunks": (
        lambda: {
            "teacher": cases.prefixed(cases.original_dinov2(SCALED, chunked=True), "backbone.")
            | cases.prefixed(cases.head(), "dino_head.")
            | cases.prefixed(cases.head(), "ibot_head.")
        },
        SCALED,
    ),
    "Hugging Face ViT": (lambda: cases.hugging_face_vit(PLAIN), PLAIN),
    "Hugging Face ViT under vit.": (
        lambda: (
            cases.hugging_face_vit(PLAIN, "vit.") | {"classifier.weight": torch.ones(5, cases.DIM)}
        ),
        PLAIN,
    ),
    "Hugging Face ViT with pooler": (
        lambda: cases.hugging_face_vit(PLAIN) | {"pooler.dense.weight": torch.ones(4, 4)},
        PLAIN,
    ),
    "Hugging Face Dinov2": (lambda: cases.hugging_face_dinov2(SCALED), SCALED),
    "Hugging Face Dinov2 under dinov2.": (
        lambda: cases.hugging_face_dinov2(SCALED, "dinov2."),
        SCALED,
    ),
    "Hugging Face Dinov2 under backbone., with a decoder": (
        lambda: (
            cases.hugging_face_dinov2(SCALED, "backbone.")
            | {"decoder.upconv1.weight": torch.ones(2, 2)}
        ),
        SCALED,
    ),
    "lightly": (
        lambda: {
            "state_dict": cases.prefixed(PLAIN, "teacher_backbone.vit.")
            | cases.prefixed(OTHER, "student_backbone.vit.")
            | cases.prefixed(cases.head(), "teacher_head.layers.")
            | cases.prefixed(cases.head(), "student_head.layers.")
            | {
                "student_backbone.mask_token": torch.zeros(1, 1, cases.DIM),
                "criterion.center": torch.zeros(1, 1, 16),
            },
            "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}}],
            "hyper_parameters": {"lr": 0.1},
            "epoch": 3,
        },
        PLAIN,
    ),
    "lightly's benchmark: the unmarked one is the teacher": (
        lambda: {
            "state_dict": cases.prefixed(PLAIN, "backbone.")
            | cases.prefixed(OTHER, "student_backbone.")
            | cases.prefixed(cases.head(), "student_projection_head.")
            | {"online_classifier.classification_head.weight": torch.ones(5, cases.DIM)}
        },
        PLAIN,
    ),
    "solo-learn: the unmarked one is the student": (
        lambda: {
            "state_dict": cases.prefixed(OTHER, "backbone.")
            | cases.prefixed(PLAIN, "momentum_backbone.")
            | cases.prefixed(cases.head(), "momentum_head.")
            | {
                "classifier.weight": torch.ones(5, cases.DIM),
                "dino_loss_func.center": torch.zeros(1, 16),
            }
        },
        PLAIN,
    ),
    "compiled and distributed": (lambda: cases.prefixed(PLAIN, "module._orig_mod."), PLAIN),
    "timm training with EMA": (
        lambda: {"state_dict": OTHER, "state_dict_ema": PLAIN, "arch": "vit"},
        PLAIN,
    ),
    "numpy arrays": (lambda: {name: tensor.numpy() for name, tensor in PLAIN.items()}, PLAIN),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_gives_back_every_tensor_exactly(layout: str) -> None:
    make, expected = LAYOUTS[layout]
    assert_same(to_canonical(make()).tensors, expected)


def test_queries_keys_and_values_keep_their_places() -> None:
    """The one mistake that no shape shows."""
    found = to_canonical(cases.hugging_face_vit(PLAIN)).tensors["blocks.1.attn.qkv.weight"]
    for i, part in enumerate(("query", "key", "value")):
        written = cases.hugging_face_vit(PLAIN)[
            f"encoder.layer.1.attention.attention.{part}.weight"
        ]
        assert torch.equal(found[i * cases.DIM : (i + 1) * cases.DIM], written)


def test_weights_without_qkv_bias_are_complete() -> None:
    state = {name: tensor for name, tensor in PLAIN.items() if "qkv.bias" not in name}
    assert_same(to_canonical(cases.hugging_face_vit(state)).tensors, state)
    assert load_model(state).model.blocks[0].attn.qkv.bias is None


def test_the_loaded_tensors_are_copies() -> None:
    mine = {name: tensor.clone() for name, tensor in PLAIN.items()}
    loaded = load_model(mine)
    mine["cls_token"].zero_()
    assert torch.equal(loaded.model.cls_token, PLAIN["cls_token"])


# --- teacher or student -------------------------------------------------------------------------

FULL = {
    "original": lambda: cases.original_full(OTHER, PLAIN),
    "own": lambda: cases.own_run(OTHER, PLAIN),
    "lightly": LAYOUTS["lightly"][0],
    "lightly's benchmark": LAYOUTS["lightly's benchmark: the unmarked one is the teacher"][0],
    "solo-learn": LAYOUTS["solo-learn: the unmarked one is the student"][0],
}


@pytest.mark.parametrize("kind", FULL)
def test_key_chooses_between_teacher_and_student(kind: str) -> None:
    assert_same(to_canonical(FULL[kind](), key="teacher").tensors, PLAIN)
    assert_same(to_canonical(FULL[kind](), key="student").tensors, OTHER)


@pytest.mark.parametrize("key", ["teacher", "student", "anything"])
def test_a_bare_backbone_ignores_the_key(key: str) -> None:
    assert_same(to_canonical(PLAIN, key=key).tensors, PLAIN)


def test_an_absent_key_is_reported_with_those_there_are() -> None:
    only_student = {"student": cases.prefixed(PLAIN, "module.backbone."), "epoch": 1}
    with pytest.raises(
        WeightsError, match=r"'teacher' is not in this checkpoint.*student"
    ) as caught:
        to_canonical(only_student)
    assert "pass one of these" in str(caught.value)
    with pytest.raises(WeightsError, match=r"'ema' is not.*student.*teacher"):
        to_canonical(cases.original_full(OTHER, PLAIN), key="ema")


def test_two_unmarked_networks_are_kept_apart_by_their_container() -> None:
    two = {"model": PLAIN, "net": OTHER}
    with pytest.raises(WeightsError, match=r"'teacher' is not in this checkpoint.*model.*net"):
        to_canonical(two)
    assert_same(to_canonical(two, key="net").tensors, OTHER)


def test_two_teachers_are_not_chosen_between() -> None:
    two = {"teacher": cases.prefixed(PLAIN, "backbone.") | cases.prefixed(OTHER, "module.")}
    with pytest.raises(WeightsError, match=r"'teacher' fits 2 networks.*pass the state dict"):
        to_canonical(two)


# --- registers, SwiGLU, LayerScale --------------------------------------------------------------


@pytest.mark.parametrize("write", [cases.original_dinov2, cases.hugging_face_dinov2])
def test_the_cls_position_is_folded_into_the_token_where_there_are_registers(
    write: Callable[[State], State],
) -> None:
    canonical = cases.canonical_vit(layer_scale=True, registers=4)
    position = torch.full((1, 1, cases.DIM), 0.5)  # a sum that float32 holds exactly enough
    found = to_canonical(write(cases.unfold_registers(canonical, position))).tensors
    assert found.keys() == canonical.keys()
    torch.testing.assert_close(found["cls_token"], canonical["cls_token"], rtol=0, atol=1e-6)
    for name in canonical.keys() - {"cls_token"}:
        assert torch.equal(found[name], canonical[name]), name


def test_folding_leaves_the_token_sequence_unchanged() -> None:
    """Tokens after embedding: CLS gets its position, registers get none, patches get theirs."""
    canonical = cases.canonical_vit(registers=4)
    position = torch.randn(1, 1, cases.DIM)
    written = cases.original_dinov2(cases.unfold_registers(canonical, position))
    model = load_model(written).model
    side = cases.GRID * cases.PATCH
    image = torch.randn(1, 3, side, side)
    tokens = model._pos_embed(model.patch_embed(image))
    patches = model.patch_embed(image) + written["pos_embed"][:, 1:]
    by_hand = torch.cat(
        [written["cls_token"] + position, written["register_tokens"], patches], dim=1
    )
    torch.testing.assert_close(tokens, by_hand, rtol=0, atol=1e-6)


def test_timm_registers_are_left_as_they_are() -> None:
    canonical = cases.canonical_vit(registers=4)
    assert_same(to_canonical(canonical).tensors, canonical)
    model = load_model(canonical).model
    assert (model.num_reg_tokens, model.no_embed_class) == (4, True)


def test_timm_positions_over_all_prefix_tokens_are_left_as_they_are() -> None:
    canonical = cases.canonical_vit(registers=4)
    canonical["pos_embed"] = torch.randn(1, 5 + cases.GRID**2, cases.DIM)
    assert_same(to_canonical(canonical).tensors, canonical)
    assert load_model(canonical).model.no_embed_class is False


def test_swiglu_computes_the_originals_formula() -> None:
    canonical = cases.canonical_vit(layer_scale=True, swiglu=True)
    written = cases.original_dinov2(canonical)
    assert "blocks.0.mlp.w12.weight" in written
    assert_same(to_canonical(written).tensors, canonical)
    mlp = load_model(written).model.blocks[1].mlp
    x = torch.randn(2, cases.DIM)
    w12 = x @ written["blocks.1.mlp.w12.weight"].T + written["blocks.1.mlp.w12.bias"]
    gate, value = w12.chunk(2, dim=-1)
    hidden = torch.nn.functional.silu(gate) * value
    by_hand = hidden @ written["blocks.1.mlp.w3.weight"].T + written["blocks.1.mlp.w3.bias"]
    torch.testing.assert_close(mlp(x), by_hand)


def test_hugging_face_swiglu_is_known() -> None:
    canonical = cases.canonical_vit(layer_scale=True, swiglu=True)
    written = {
        name.replace("mlp.fc1", "mlp.weights_in").replace("mlp.fc2", "mlp.weights_out"): tensor
        for name, tensor in cases.hugging_face_dinov2(canonical).items()
    }
    assert_same(to_canonical(written).tensors, canonical)


def test_layer_scale_reaches_the_model() -> None:
    model = load_model(SCALED).model
    assert torch.equal(model.blocks[1].ls2.gamma, SCALED["blocks.1.ls2.gamma"])
    assert not hasattr(load_model(PLAIN).model.blocks[0].ls1, "gamma")


# --- strictness ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SCALED))
def test_any_missing_key_is_an_error_that_names_it(name: str) -> None:
    state = {key: tensor for key, tensor in SCALED.items() if key != name}
    with pytest.raises(WeightsError, match=f"missing '{name}'"):
        to_canonical(state)


@pytest.mark.parametrize("name", sorted(cases.hugging_face_vit(PLAIN)))
def test_any_missing_hugging_face_key_is_an_error(name: str) -> None:
    state = {key: t for key, t in cases.hugging_face_vit(PLAIN).items() if key != name}
    with pytest.raises(WeightsError, match=r"missing '"):
        to_canonical(state)


@pytest.mark.parametrize(
    "extra",
    ["dist_token", "blocks.0.attn.q_norm.weight", "norm_pre.weight", "rope_embed.periods", "blok"],
)
def test_any_extra_key_is_an_error_that_names_it(extra: str) -> None:
    with pytest.raises(WeightsError, match=f"not known '{extra}'"):
        to_canonical(PLAIN | {extra: torch.ones(3)})


def test_a_misspelt_key_is_reported_with_the_right_one() -> None:
    state = dict(PLAIN)
    state["blocks.0.atn.qkv.weight"] = state.pop("blocks.0.attn.qkv.weight")
    with pytest.raises(WeightsError, match=r"atn.*did you mean 'blocks\.0\.attn\.qkv\.weight'"):
        to_canonical(state)


@pytest.mark.parametrize("prefix", ["bakbone.", "pretrained.", "my.own.feature_extractor."])
def test_the_only_network_of_a_file_is_opened_under_any_prefix_and_named(prefix: str) -> None:
    found = to_canonical(cases.prefixed(PLAIN, prefix) | {"depth_head.conv.weight": torch.ones(2)})
    assert_same(found.tensors, PLAIN)
    assert prefix.rstrip(".") in found.layout
    container = to_canonical({"teachr": cases.prefixed(PLAIN, "backbone."), "epoch": 3})
    assert "teachr.backbone" in container.layout


def test_a_part_beside_the_backbone_that_no_name_explains_is_left_out_with_a_note() -> None:
    found = to_canonical(cases.prefixed(PLAIN, "backbone.") | {"adaptor.weight": torch.ones(2)})
    assert_same(found.tensors, PLAIN)
    assert "'adaptor'" in found.notes[0]


def test_a_stray_tensor_beside_a_prefixed_backbone_is_reported() -> None:
    state = cases.prefixed(PLAIN, "backbone.") | {"backbon.norm.weight": torch.ones(3)}
    with pytest.raises(WeightsError, match=r"beside the backbone 'backbone\.'.*backbon\.norm"):
        to_canonical(state)


def test_at_most_three_keys_are_named() -> None:
    state = {name: t for name, t in PLAIN.items() if not name.startswith("blocks.0.")}
    with pytest.raises(WeightsError, match="and 9 more") as caught:
        to_canonical(state)
    assert str(caught.value).count("'blocks.0.") == 3


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({}, "holds no tensors"),
        ({"epoch": 3, "args": argparse.Namespace()}, "holds no tensors"),
        ({"features.0.weight": torch.ones(3, 3)}, "no backbone of a known layout"),
        ({"conv.weight": torch.ones(2)}, "no backbone of a known layout"),
    ],
)
def test_other_things_are_reported_in_one_sentence(tree: dict[str, Any], sentence: str) -> None:
    with pytest.raises(WeightsError, match=sentence) as caught:
        to_canonical(tree)
    assert "\n" not in str(caught.value)


def test_two_names_for_one_tensor_are_reported() -> None:
    state = PLAIN | {"blocks.0.0.norm1.weight": torch.ones(cases.DIM)}
    with pytest.raises(WeightsError, match="both stand for"):
        to_canonical(state)


def test_values_that_are_no_weights_are_reported() -> None:
    with pytest.raises(WeightsError, match="not finite"):
        to_canonical(PLAIN | {"norm.bias": torch.full((cases.DIM,), torch.nan)})
    with pytest.raises(WeightsError, match="quantised"):
        to_canonical(PLAIN | {"norm.bias": torch.zeros(cases.DIM, dtype=torch.int8)})


def test_a_tensor_of_another_shape_is_reported() -> None:
    state = PLAIN | {"blocks.1.norm2.weight": torch.ones(cases.DIM + 1)}
    with pytest.raises(WeightsError, match=r"blocks\.1\.norm2\.weight' has shape \(129,\)"):
        load_model(state)
    with pytest.raises(WeightsError, match="expected 3 dimensions"):
        load_model(PLAIN | {"pos_embed": torch.ones(10, cases.DIM)})
    grey = torch.ones(cases.DIM, 1, cases.PATCH, cases.PATCH)
    with pytest.raises(WeightsError, match="1 channels"):
        load_model(PLAIN | {"patch_embed.proj.weight": grey})


# --- dimensions ---------------------------------------------------------------------------------


def test_dimensions_are_read_off_the_tensors() -> None:
    model = load_model(SCALED).model
    assert model.embed_dim == cases.DIM
    assert len(model.blocks) == cases.DEPTH
    assert model.blocks[0].attn.num_heads == cases.DIM // 64
    assert model.patch_embed.patch_size == (cases.PATCH, cases.PATCH)
    assert model.patch_embed.grid_size == (cases.GRID, cases.GRID)
    assert model.blocks[0].mlp.fc1.out_features == cases.MLP
    assert model.norm.eps == 1e-6
    assert not model.training


def test_a_width_that_64_does_not_divide_needs_num_heads() -> None:
    narrow = cases.canonical_vit(dim=96)
    with pytest.raises(WeightsError, match=r"width 96; pass num_heads="):
        load_model(narrow)
    assert load_model(narrow, num_heads=3).model.blocks[0].attn.num_heads == 3
    with pytest.raises(WeightsError, match="num_heads=5 does not divide the width 96"):
        load_model(narrow, num_heads=5)


def test_num_heads_overrides_the_width() -> None:
    assert load_model(PLAIN, num_heads=4).model.blocks[0].attn.num_heads == 4


def test_widths_of_published_networks_with_wider_heads_are_not_guessed() -> None:
    """ViT-H has width 1280 and 16 heads of 80: 1280 / 64 = 20 would be silently wrong."""
    from dino.weights.architecture import vit_shape

    huge = {
        "patch_embed.proj.weight": torch.empty(1280, 3, 14, 14, device="meta"),
        "pos_embed": torch.empty(1, 257, 1280, device="meta"),
        "blocks.0.mlp.fc1.weight": torch.empty(5120, 1280, device="meta"),
        "blocks.0.mlp.fc2.weight": torch.empty(1280, 5120, device="meta"),
    }
    with pytest.raises(WeightsError, match="num_heads="):
        vit_shape(huge)
    assert vit_shape(huge, num_heads=16).num_heads == 16


def test_a_grid_that_is_not_square_needs_to_be_known() -> None:
    from dino.weights.architecture import build

    wide = cases.canonical_vit(grid=(2, 3))
    with pytest.raises(WeightsError, match="7 rows is not a square grid"):
        load_model(wide)
    model = build(to_canonical(wide), grid=(2, 3))
    assert model.patch_embed.grid_size == (2, 3)
    assert model(torch.randn(1, 3, 8, 12)).shape == (1, cases.DIM)


def test_arch_takes_the_place_of_detection(tiny_state: State) -> None:
    loaded = load_model(tiny_state, arch="vit_tiny_patch16_224")
    assert loaded.model.blocks[0].attn.num_heads == 3
    assert loaded.weights_sha256 == load_model(tiny_state).weights_sha256


@pytest.fixture(scope="module")
def tiny_state() -> State:
    from dino.weights.initial import initial_tensors

    return initial_tensors(ZOO["random_vitt16"])


def test_an_arch_that_does_not_fit_is_explained(tiny_state: State) -> None:
    with pytest.raises(WeightsError, match=r"not a vit_small_patch8_224.*embed_dim 192 instead"):
        load_model(tiny_state, arch="vit_small_patch8_224")
    with pytest.raises(WeightsError, match=r"patch_size 16 instead of 14.*layer_scale False"):
        load_model(tiny_state, arch="vit_small_patch14_dinov2")
    with pytest.raises(WeightsError, match="is no ViT"):
        load_model(tiny_state, arch="resnet50")
    with pytest.raises(WeightsError, match=r"not a model timm knows; nearest: vit_tiny_patch16"):
        load_model(tiny_state, arch="vit_tiny_patch16_22")


# --- other networks -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def resnet() -> torch.nn.Module:
    import timm

    torch.manual_seed(0)
    return timm.create_model("resnet50", num_classes=0).eval()


@pytest.mark.parametrize("prefix", ["", "module.backbone."])
def test_resnet_50_loads_and_its_classifier_is_dropped(
    resnet: torch.nn.Module, prefix: str
) -> None:
    """Torchvision's keys are timm's, plus `fc`."""
    written = cases.prefixed(resnet.state_dict(), prefix)
    fc = {"fc.weight": torch.ones(1000, 2048), "fc.bias": torch.ones(1000)}
    tree = (
        {"teacher": written | cases.prefixed(cases.head(), "module.head.")} if prefix else written
    )
    loaded = load_model(tree if prefix else written | fc)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded.model(image), resnet(image))


def test_resnet_50_is_as_strict(resnet: torch.nn.Module) -> None:
    state = dict(resnet.state_dict())
    del state["layer3.2.bn2.running_var"]
    with pytest.raises(WeightsError, match=r"missing 'layer3\.2\.bn2\.running_var'"):
        load_model(state)
    with pytest.raises(WeightsError, match=r"not known 'layer9\.weight'"):
        load_model(dict(resnet.state_dict()) | {"layer9.weight": torch.ones(1)})
    with pytest.raises(WeightsError, match="num_heads=4 fits only a ViT"):
        load_model(resnet.state_dict(), num_heads=4)


def test_resnet_50_without_step_counters_is_the_same_network(resnet: torch.nn.Module) -> None:
    state = {k: v for k, v in resnet.state_dict().items() if "num_batches_tracked" not in k}
    assert load_model(state).weights_sha256 == load_model(resnet.state_dict()).weights_sha256


def original_xcit(state: State) -> State:
    """facebookresearch/xcit's names: `pos_embeder`, and joined q, k, v in the class attention."""
    out: State = {}
    for name, tensor in state.items():
        if ".attn.q." in name and name.startswith("cls_attn"):
            parts = [state[name.replace(".q.", f".{part}.")] for part in "qkv"]
            out[name.replace(".q.", ".qkv.")] = torch.cat(parts)
        elif not (name.startswith("cls_attn") and (".attn.k." in name or ".attn.v." in name)):
            out[name.replace("pos_embed.", "pos_embeder.")] = tensor
    return out


@pytest.mark.parametrize("arch", ["xcit_nano_12_p16_224", "xcit_nano_12_p8_224"])
def test_xcit_loads_from_the_originals_names_and_from_timms(arch: str) -> None:
    import timm

    torch.manual_seed(0)
    model = timm.create_model(arch, num_classes=0).eval()
    written = original_xcit(model.state_dict())
    assert "cls_attn_blocks.0.attn.qkv.weight" in written
    head_of_it = {"head.weight": torch.ones(5, 128)}
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(image)
        for tree in (written | head_of_it, model.state_dict(), {"teacher": written}):
            assert torch.equal(load_model(tree).model(image), expected)
    digests = {load_model(tree).weights_sha256 for tree in (written, model.state_dict())}
    assert len(digests) == 1
    del written["blocks.3.gamma1"]
    with pytest.raises(WeightsError, match=r"missing 'blocks\.3\.gamma1'"):
        load_model(written)


def test_an_xcit_of_unknown_size_asks_for_arch() -> None:
    tree = {"cls_token": torch.ones(1, 1, 100), "patch_embed.proj.0.0.weight": torch.ones(2, 2)}
    with pytest.raises(WeightsError, match=r"width 100 and depth 0.*pass arch="):
        load_model(tree)


# --- digest, and the original implementation's own numbers ----------------------------------------


def test_the_digest_is_that_of_the_values_not_of_the_layout() -> None:
    digests = {
        load_model(make()).weights_sha256
        for make, expected in LAYOUTS.values()
        if expected is PLAIN
    }
    assert digests == {digest(PLAIN)}


def test_the_digest_sees_values_names_and_shapes() -> None:
    changed = dict(PLAIN)
    changed["norm.bias"] = changed["norm.bias"].clone()
    changed["norm.bias"][7] += 1e-6
    swapped = PLAIN | {"norm.bias": PLAIN["norm.weight"], "norm.weight": PLAIN["norm.bias"]}
    reshaped = PLAIN | {"norm.bias": PLAIN["norm.bias"].reshape(2, -1)}
    renamed = {name.replace("norm.bias", "norm.bibs"): tensor for name, tensor in PLAIN.items()}
    states = (PLAIN, changed, swapped, reshaped, renamed)
    assert sorted(renamed).index("norm.bibs") == sorted(PLAIN).index("norm.bias")
    assert len({digest(state) for state in states}) == len(states)


def test_float16_and_float32_files_of_the_same_values_agree() -> None:
    half = {name: tensor.half() for name, tensor in PLAIN.items()}
    single = {name: tensor.float() for name, tensor in half.items()}
    assert load_model(half).weights_sha256 == load_model(single).weights_sha256


def test_the_originals_state_dict_computes_the_originals_tokens(
    golden: Callable[[str], dict[str, np.ndarray]],
) -> None:
    arrays = golden("vit")
    state = {
        name.removeprefix("state/"): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith("state/")
    }
    model = load_model(state, num_heads=3).model
    image = torch.from_numpy(arrays["64x64/image"])
    with torch.no_grad():
        cls = model.forward_features(image)[:, 0]
    torch.testing.assert_close(cls, torch.from_numpy(arrays["64x64/cls"]), rtol=0, atol=2e-5)


def test_a_small_file_that_claims_huge_tensors_is_refused():
    state = cases.canonical_vit()
    state["blocks.0.mlp.fc1.weight"] = torch.zeros(1).expand(cases.MLP, cases.DIM)
    with pytest.raises(WeightsError, match="not in the file"):
        to_canonical(state)
