"""Every kind of ViT in every layout computes what timm computes with the same tensors; else it is refused."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from helpers import network_cases as nets
from helpers.network_cases import State
from timm.layers import SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from dino.errors import WeightsError
from dino.weights import load_model
from dino.weights.architecture import LoadedModel
from dino.weights.conversion import convert
from dino.weights.hints import Hints
from dino.weights.opening import model_of_tree
from dino.weights.zoo import IMAGENET_MEAN

IMAGE = torch.randn(2, 3, nets.SIDE, nets.SIDE, generator=torch.Generator().manual_seed(5))


def opened(tree: Any, hints: Hints | None = None, **options: Any) -> LoadedModel:
    settings: dict[str, Any] = {"key": "teacher", "arch": None, "num_heads": None}
    return model_of_tree(tree, hints or Hints(), "case", **settings | options)


def features(model: Any, image: torch.Tensor = IMAGE) -> torch.Tensor:
    with torch.no_grad():
        return model.forward_features(image)


def attention(model: Any) -> torch.Tensor:
    """Softmax rows of the last block, by timm's own forward with fused attention off."""
    got: list[torch.Tensor] = []
    for block in model.blocks:
        block.attn.fused_attn = False
    hook = model.blocks[-1].attn.attn_drop.register_forward_pre_hook(lambda _, a: got.append(a[0]))
    features(model)
    hook.remove()
    return got[0]


def assert_computes_the_same(loaded: LoadedModel, model: Any) -> None:
    torch.testing.assert_close(features(loaded.model), features(model), rtol=0, atol=1e-5)
    torch.testing.assert_close(attention(loaded.model), attention(model), rtol=0, atol=1e-5)


CLIP_HINTS = Hints(act="gelu")
SIGLIP_HINTS = Hints(act="gelu_tanh")
HF = Hints(num_heads=nets.HEADS)

LAYOUTS: dict[str, tuple[Any, Callable[[Any], State], Hints]] = {
    "timm": (nets.vit(), lambda m: m.state_dict(), HF),
    "timm, no CLS token": (
        nets.vit(class_token=False, global_pool="avg", fc_norm=False),
        lambda m: m.state_dict(),
        HF,
    ),
    "MAE, fine-tuned": (nets.vit(global_pool="avg"), lambda m: m.state_dict(), HF),
    "timm, query-key norms": (nets.vit(qk_norm=True), lambda m: m.state_dict(), Hints()),
    "timm, distilled": (nets.distilled(), lambda m: m.state_dict(), HF),
    "timm, CLIP": (nets.clip(), lambda m: m.state_dict(), CLIP_HINTS),
    "timm, DINOv3": (nets.dinov3(), lambda m: m.state_dict(), HF),
    "timm, DINOv3 without biases": (nets.dinov3(bias=False), lambda m: m.state_dict(), HF),
    "timm, BEiT": (nets.beit(), lambda m: m.state_dict(), Hints()),
    "timm, BEiT with one table": (nets.beit(shared=True), lambda m: m.state_dict(), Hints()),
    "torchvision": (nets.vit(), lambda m: nets.torchvision_names(m.state_dict()), HF),
    "mmpretrain": (nets.vit(), lambda m: nets.mmlab_names(m.state_dict()), HF),
    "OpenAI CLIP": (
        nets.clip(act_layer="quick_gelu"),
        lambda m: nets.openai_names(m.state_dict()),
        Hints(),
    ),
    "open_clip": (nets.clip(), lambda m: nets.openai_names(m.state_dict()), CLIP_HINTS),
    "Hugging Face CLIP": (
        nets.clip(act_layer="quick_gelu"),
        lambda m: nets.tower_names(m.state_dict()),
        Hints(act="quick_gelu"),
    ),
    "Hugging Face CLIP, tower alone": (
        nets.clip(act_layer="quick_gelu"),
        lambda m: nets.tower_names(m.state_dict(), ""),
        Hints(act="quick_gelu"),
    ),
    "Hugging Face SigLIP": (
        nets.siglip(),
        lambda m: nets.tower_names(m.state_dict()) | {"vision_model.head.probe": torch.ones(1)},
        SIGLIP_HINTS,
    ),
    "original DINOv3": (
        nets.dinov3(),
        lambda m: nets.meta_dinov3_names(m.state_dict(), m),
        Hints(),
    ),
    "original DINOv3 with a gate": (
        nets.dinov3(gated=True),
        lambda m: nets.meta_dinov3_names(m.state_dict(), m),
        Hints(),
    ),
    "original DINOv3 of another base": (
        nets.dinov3(base=40.0),
        lambda m: nets.meta_dinov3_names(m.state_dict(), m),
        Hints(),
    ),
    "Hugging Face DINOv3": (
        nets.dinov3(),
        lambda m: nets.hugging_face_dinov3_names(m.state_dict()),
        HF,
    ),
    "Hugging Face DINOv3, newest names, a gate": (
        nets.dinov3(gated=True),
        lambda m: nets.hugging_face_dinov3_names(m.state_dict(), "model.layer."),
        replace(HF, act="silu"),
    ),
    "Hugging Face DINOv3 of another base": (
        nets.dinov3(base=40.0),
        lambda m: nets.hugging_face_dinov3_names(m.state_dict()),
        replace(HF, rope_theta=40.0),
    ),
    "Hugging Face BEiT": (
        nets.beit(eps=1e-12),
        lambda m: nets.hugging_face_beit_names(m.state_dict()),
        Hints(norm_eps=1e-12),
    ),
    "Hugging Face BEiT, newest names, one table": (
        nets.beit(shared=True, fc_norm=False),
        lambda m: nets.hugging_face_beit_names(m.state_dict(), newest=True),
        Hints(),
    ),
    "Hugging Face DINOv2 with a gate, newest names": (
        nets.vit(init_values=1e-5, mlp_layer=SwiGLUPacked, act_layer=nn.SiLU),
        lambda m: {
            re.sub(r"\.ls(\d)\.gamma", r".layer_scale\1.lambda1", name): value
            for name, value in nets.hugging_face_5_names(
                nets.split(m.state_dict(), "mlp.fc1", ("mlp.gate_proj", "mlp.up_proj")),
                gated=True,
            ).items()
        },
        HF,
    ),
    "original BEiT": (
        nets.beit(fc_norm=False),
        lambda m: {
            "model": m.state_dict()
            | {"mask_token": torch.ones(1), "lm_head.weight": torch.ones(2)}
            | {
                f"blocks.{i}.attn.relative_position_index": torch.ones(17, 17).long()
                for i in (0, 1)
            }
        },
        Hints(),
    ),
    "transformers 5": (nets.vit(), lambda m: nets.hugging_face_5_names(m.state_dict(), "vit."), HF),
    "transformers 5, distilled": (
        nets.distilled(),
        lambda m: nets.hugging_face_5_names(m.state_dict()),
        HF,
    ),
    "Hugging Face I-JEPA": (
        nets.vit(class_token=False, global_pool="avg", fc_norm=False),
        lambda m: nets.hugging_face_5_names(m.state_dict(), "ijepa."),
        HF,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_computes_what_timm_computes(layout: str) -> None:
    model, write, hints = LAYOUTS[layout]
    assert_computes_the_same(opened(write(model), hints), model)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_convert_writes_opens_again_as_the_same_network(layout: str, tmp_path: Any) -> None:
    from dino.weights.saving import save_model

    model, write, hints = LAYOUTS[layout]
    loaded = opened(write(model), hints)
    path = save_model(loaded, tmp_path / "new.safetensors", dtype="fp32", metadata={})
    again = load_model(path)
    assert again.weights_sha256 == loaded.weights_sha256
    assert (again.mean, again.std, again.positions) == (loaded.mean, loaded.std, loaded.positions)
    assert torch.equal(features(again.model), features(loaded.model))
    assert again.notes == ()


def test_a_missing_tensor_is_named_in_every_layout() -> None:
    for layout, (model, write, hints) in LAYOUTS.items():
        state = write(model)
        state = state.get("model", state)
        gone = next(
            name for name in state if re.search(r"[._]1\.", name) and name.endswith("weight")
        )
        del state[gone]
        with pytest.raises(WeightsError, match=r"missing '|not known '") as caught:
            opened(state, hints)
        assert "\n" not in str(caught.value), layout


def test_epsilon_of_the_norms_is_that_of_the_config() -> None:
    model = nets.vit(eps=0.1)
    state = nets.hugging_face_5_names(model.state_dict())
    assert_computes_the_same(opened(state, replace(HF, norm_eps=0.1)), model)
    with pytest.raises(AssertionError):
        assert_computes_the_same(opened(state, HF), model)


def test_an_activation_nobody_here_has_is_refused_by_name() -> None:
    with pytest.raises(WeightsError, match="'mish' is not known"):
        opened(nets.vit().state_dict(), Hints(act="mish"))


# --- heads --------------------------------------------------------------------------------------


def heads_of(loaded: LoadedModel) -> int:
    model: Any = loaded.model
    return int(model.blocks[0].attn.num_heads)


def test_assumed_heads_are_said_in_notes_and_description() -> None:
    loaded = opened(nets.vit().state_dict())
    assert heads_of(loaded) == 2
    assert "2 heads of 64 are assumed, pass --num-heads" in loaded.notes[0]
    assert loaded.description.endswith(loaded.notes[0])
    assert opened(nets.vit().state_dict(), HF).notes == ()


def test_the_caller_wins_over_recorded_heads_and_a_note_says_so() -> None:
    loaded = opened(nets.vit().state_dict(), HF, num_heads=4)
    assert heads_of(loaded) == 4
    assert "says 2" in loaded.notes[0]


def test_heads_that_the_tensors_show_cannot_be_overruled() -> None:
    for model in (nets.vit(qk_norm=True), nets.beit()):
        with pytest.raises(WeightsError, match="tensors show 2 heads"):
            opened(model.state_dict(), num_heads=4)


def moco(arch: str | None) -> LoadedModel:
    teacher, student = (nets.vit(embed_dim=384, num_heads=12, seed=s).state_dict() for s in (0, 1))
    tree = {f"module.momentum_encoder.{k}": v for k, v in teacher.items()}
    tree |= {f"module.base_encoder.{k}": v for k, v in student.items()}
    return opened({"state_dict": tree}, Hints(arch_label=arch))


def test_vit_small_has_12_heads_in_moco_v3_and_6_elsewhere() -> None:
    assert heads_of(moco("vit_small")) == 12
    dino = opened(nets.vit(embed_dim=384, num_heads=6).state_dict(), Hints(arch_label="vit_small"))
    assert (heads_of(dino), dino.notes) == (6, ())


# --- two networks ---------------------------------------------------------------------------------

ONE, OTHER = nets.vit(seed=1).state_dict(), nets.vit(seed=2).state_dict()


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


PAIRS = [
    ("encoder", "target_encoder"),
    ("model", "model_ema"),
    ("model", "ema_model"),
    ("model", "ema"),
    ("net", "shadow"),
    ("online_network", "target_network"),
    ("base_encoder", "momentum_encoder"),
    ("encoder_q", "encoder_k"),
    ("student", "teacher"),
    ("backbone", "momentum_backbone"),
    ("student_embedding_model_wrapper", "teacher_embedding_model_wrapper"),
]


@pytest.mark.parametrize(("student", "teacher"), PAIRS)
@pytest.mark.parametrize("nested", [True, False])
def test_the_average_is_the_teacher_and_the_other_the_student(
    student: str, teacher: str, nested: bool
) -> None:
    tree: Any = {student: ONE, teacher: OTHER}
    if not nested:
        tree = prefixed(ONE, f"{student}.") | prefixed(OTHER, f"{teacher}.")
    for key, expected in (("teacher", OTHER), ("student", ONE), (teacher, OTHER), (student, ONE)):
        found = opened(tree, HF, key=key).model.state_dict()["norm.weight"]
        assert torch.equal(found, expected["norm.weight"]), key


def test_two_networks_of_unknown_names_are_never_chosen_between() -> None:
    for tree in ({"first": ONE, "second": OTHER}, prefixed(ONE, "a.") | prefixed(OTHER, "b.")):
        with pytest.raises(WeightsError, match=r"not in this checkpoint.*pass one of these as key"):
            opened(tree, HF)
    with pytest.raises(WeightsError, match="not in this checkpoint"):
        opened({"first": ONE, "second": nets.torchvision_names(OTHER)}, HF)


def test_one_network_under_two_names_is_one_network() -> None:
    loaded = opened(prefixed(ONE, "model.") | prefixed(ONE, "model_alias."), HF)
    assert torch.equal(loaded.model.state_dict()["norm.weight"], ONE["norm.weight"])


def test_a_teacher_cut_short_is_not_replaced_by_the_student() -> None:
    short = {name: value for name, value in OTHER.items() if "patch_embed" not in name}
    with pytest.raises(WeightsError, match="missing 'patch_embed"):
        opened({"encoder": ONE, "target_encoder": short}, HF)


def test_names_of_wrappers_are_read_away_at_any_depth() -> None:
    state = {
        f"_orig_mod.module._fsdp_wrapped_module.{name}".replace(
            "blocks.1.", "blocks.1._checkpoint_wrapped_module._fsdp_wrapped_module."
        ): value
        for name, value in ONE.items()
    }
    assert torch.equal(opened(state, HF).model.state_dict()["norm.weight"], ONE["norm.weight"])


# --- adapters, channels, positions ------------------------------------------------------------------


@pytest.mark.parametrize(("rslora", "scale"), [(False, 16 / 4), (True, 16 / 2)])
def test_lora_is_merged_with_the_recorded_scale(rslora: bool, scale: float) -> None:
    state, changes = nets.lora(ONE)
    config = {"lora_alpha": 16, "r": 4, "use_rslora": rslora}
    found = opened(state, replace(HF, config=config)).model.state_dict()
    for name, change in changes.items():
        torch.testing.assert_close(found[name], ONE[name] + scale * change, rtol=0, atol=1e-5)
    assert torch.equal(found["blocks.0.mlp.fc1.weight"], ONE["blocks.0.mlp.fc1.weight"])


def test_the_scale_of_lora_is_read_from_the_adapters_config_beside_the_file(tmp_path: Any) -> None:
    state, changes = nets.lora(ONE)
    torch.save(state, tmp_path / "tuned.pth")
    with pytest.raises(WeightsError, match="scale is not recorded"):
        load_model(tmp_path / "tuned.pth")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8, "r": 4}))
    found = load_model(tmp_path / "tuned.pth").model.state_dict()
    for name, change in changes.items():
        torch.testing.assert_close(found[name], ONE[name] + 2 * change, rtol=0, atol=1e-5)


def test_lora_of_unknown_scale_and_kinds_are_refused() -> None:
    state, _ = nets.lora(ONE)
    with pytest.raises(WeightsError, match=r"scale is not recorded.*merge_and_unload"):
        opened(state, HF)
    dora = "base_model.model.blocks.0.attn.qkv.lora_magnitude_vector.default.weight"
    with pytest.raises(WeightsError, match="DoRA"):
        opened(state | {dora: torch.ones(3)}, HF)
    alone = {name: value for name, value in state.items() if "base_layer.weight" not in name}
    with pytest.raises(WeightsError, match="without its base weights"):
        opened(alone, replace(HF, config={"lora_alpha": 8}))


def test_one_channel_is_the_mean_and_four_the_first_three_only_when_asked_for() -> None:
    grey, four = nets.vit(in_chans=1), nets.vit(in_chans=4)
    mean = opened(grey.state_dict(), HF, channels="mean")
    expected = features(grey, IMAGE.mean(1, keepdim=True))
    torch.testing.assert_close(features(mean.model), expected, rtol=0, atol=1e-5)
    assert "mean of red, green and blue" in mean.notes[0]
    first = opened(four.state_dict(), HF, channels="first")
    padded = torch.cat([IMAGE, torch.zeros_like(IMAGE[:, :1])], dim=1)
    torch.testing.assert_close(features(first.model), features(four, padded), rtol=0, atol=1e-5)
    for model, right, wrong in ((grey, "mean", "first"), (four, "first", "mean")):
        count = model.patch_embed.proj.in_channels
        for channels in (None, wrong):
            with pytest.raises(WeightsError, match=rf"{count} channels.*--channels {right}"):
                opened(model.state_dict(), HF, channels=channels)


def test_positions_of_a_known_grid_need_not_be_square() -> None:
    model = nets.vit(img_size=(16, 64), class_token=False, global_pool="avg", fc_norm=False)
    with pytest.raises(WeightsError, match="missing 'cls_token'"):
        opened(
            nets.vit(
                img_size=(16, 48), class_token=False, fc_norm=False, global_pool="avg"
            ).state_dict(),
            HF,
        )
    loaded = opened(model.state_dict(), replace(HF, grid=(2, 8)))
    image = torch.randn(1, 3, 16, 64)
    torch.testing.assert_close(
        features(loaded.model, image), features(model, image), rtol=0, atol=1e-5
    )


def test_a_dinov3_with_a_bias_of_keys_or_a_norm_of_its_own_is_refused() -> None:
    model = nets.dinov3()
    state = nets.meta_dinov3_names(model.state_dict(), model)
    bare = {name: value for name, value in state.items() if not name.endswith("bias_mask")}
    with pytest.raises(WeightsError, match="bias of the keys that is not zero"):
        opened(bare)
    own = {"cls_norm.weight": torch.ones(nets.WIDTH), "cls_norm.bias": torch.ones(nets.WIDTH)}
    with pytest.raises(WeightsError, match="norm of its own for the CLS token"):
        opened(state | own)
    same = {f"cls_norm.{p}": state[f"norm.{p}"].clone() for p in ("weight", "bias")}
    local = {"local_cls_norm.weight": torch.ones(nets.WIDTH)}
    assert_computes_the_same(opened(state | same | local), model)


# --- networks known by name -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arch",
    ["eva02_tiny_patch14_224", "vit_relpos_small_patch16_224", "vit_small_patch16_18x2_224"],
)
def test_a_network_whose_settings_do_not_show_opens_as_the_one_timm_knows(arch: str) -> None:

    model = nets.randomised(timm.create_model(arch, num_classes=0))
    loaded = opened(model.state_dict())
    assert type(loaded.model) is type(model)
    assert arch in loaded.layout
    image = torch.randn(1, 3, *model.patch_embed.img_size)
    torch.testing.assert_close(features(loaded.model, image), features(model, image))
    with pytest.raises(WeightsError, match=r"--arch"):
        opened({name: value[..., :3] for name, value in model.state_dict().items()})


def test_biases_that_are_not_zero_are_not_dropped_for_a_network_without_them() -> None:

    model = nets.randomised(timm.create_model("vit_small_patch16_dinov3_qkvb", num_classes=0))
    state = model.state_dict()
    with pytest.raises(WeightsError, match=r"not known 'blocks\.0\.attn\.q_bias'"):
        opened(state, arch="vit_small_patch16_dinov3")
    zero = {k: v * (0 if k.endswith(("q_bias", "v_bias")) else 1) for k, v in state.items()}
    assert (
        "blocks.0.attn.q_bias"
        not in opened(zero, arch="vit_small_patch16_dinov3").model.state_dict()
    )


def test_a_perception_encoder_is_not_taken_for_a_clip() -> None:

    arch = "vit_pe_core_tiny_patch16_384"
    model = nets.randomised(timm.create_model(arch, num_classes=0))
    state = model.state_dict()
    assert any(name.startswith("attn_pool.") for name in state)
    for loaded in (opened(state), opened(state, arch=arch), opened(state, Hints(arch=arch))):
        image = torch.randn(1, 3, 384, 384)
        torch.testing.assert_close(features(loaded.model, image), features(model, image))
    written = {
        name: value
        for name, value in nets.openai_names(state, pooled=True).items()
        if name != "visual.proj"
    }
    with pytest.raises(WeightsError, match=r"Perception Encoder.*--arch"):
        opened(written)
    own = opened(written, arch=arch)
    torch.testing.assert_close(features(own.model, image), features(model, image))
    core = nets.openai_names(nets.clip().state_dict()) | {"visual.attn_pool.probe": torch.ones(1)}
    with pytest.raises(WeightsError, match="Perception Encoder"):
        opened(core)


@pytest.mark.parametrize("arch", ["convnext_atto", "test_vit", "mixer_s32_224", "resnet18"])
def test_any_network_of_timm_opens_by_its_name(arch: str) -> None:

    model = nets.randomised(timm.create_model(arch, num_classes=0))
    tree = {"state_dict": prefixed(model.state_dict(), "module.")}
    loaded = opened(tree, arch=arch)
    image = torch.randn(1, 3, *((160, 160) if arch == "test_vit" else (224, 224)))
    torch.testing.assert_close(features(loaded.model, image), features(model, image))


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        ("convnext_atto", "ConvNeXt"),
        ("swin_tiny_patch4_window7_224", "Swin"),
        ("mixer_s32_224", "MLP-Mixer"),
        ("resnet18", "ResNet"),
    ],
)
def test_a_network_without_such_attention_is_named_with_what_works(arch: str, words: str) -> None:

    state = timm.create_model(arch, num_classes=0).state_dict()
    with pytest.raises(WeightsError, match=rf"{words}.*arch= \(--arch\)"):
        opened(state)


def test_the_name_beside_the_weights_tells_heads_norms_and_activation() -> None:
    model = nets.vit(act_layer="quick_gelu", pre_norm=True, eps=1e-5, embed_dim=768, num_heads=12)
    arch = "vit_base_patch32_clip_quickgelu_224"
    loaded = opened(model.state_dict(), Hints(arch=arch))
    assert_computes_the_same(loaded, model)
    assert "the weights were followed" in loaded.notes[0]
    assert len(loaded.notes) == 1


def test_a_layout_that_is_almost_a_known_one_is_told_how_to_rename() -> None:
    state = {
        name.replace("blocks", "transformer").replace("patch_embed", "patch_embedding"): value
        for name, value in ONE.items()
        if name not in ("cls_token", "pos_embed")
    }
    with pytest.raises(
        WeightsError, match=r"nearest known is timm.*'patch_embedding\.proj\.weight' to"
    ):
        opened(state)


def test_an_eva_02_of_its_own_names_opens_as_timms() -> None:

    eva = nets.randomised(timm.create_model("eva02_base_patch14_224", num_classes=0, depth=12))
    swap = {
        "mlp.fc1_g": "mlp.w1",
        "mlp.fc1_x": "mlp.w2",
        "mlp.fc2": "mlp.w3",
        "mlp.norm": "mlp.ffn_ln",
    }
    swap |= {"q_proj.bias": "q_bias", "v_proj.bias": "v_bias"}
    state = {"rope.freqs_cos": torch.ones(3)}
    for name, value in eva.state_dict().items():
        written = name
        for new, old in swap.items():
            written = written.replace(new, old)
        state[written] = value
    loaded = opened({"model": state})
    image = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(features(loaded.model, image), features(eva, image))
    assert loaded.mean[0] == pytest.approx(0.48145466)  # timm's of EVA-02


# --- what stands beside --------------------------------------------------------------------------


def test_mean_and_std_are_those_of_the_family_where_nothing_is_recorded() -> None:
    clip = opened(nets.clip().state_dict(), CLIP_HINTS)
    assert clip.mean[0] == pytest.approx(0.48145466)
    assert opened(nets.beit().state_dict()).mean == (0.5, 0.5, 0.5)
    assert opened(nets.tower_names(nets.siglip().state_dict()), SIGLIP_HINTS).std == (0.5,) * 3
    assert opened(nets.vit().state_dict(), HF).mean == IMAGENET_MEAN
    assert opened(nets.vit().state_dict(), replace(HF, mean=(0.1,) * 3)).mean == (0.1,) * 3


def test_an_assumed_activation_is_a_note() -> None:
    assert "quick_gelu" in opened(nets.openai_names(nets.clip().state_dict()), HF).notes[0]
    assert "gelu, as in timm" in opened(nets.clip().state_dict(), HF).notes[0]


def test_siglip_2_with_a_linear_patch_embedding_is_a_convolution() -> None:
    model = nets.siglip()
    state = nets.tower_names(model.state_dict(), "")
    name = "embeddings.patch_embedding.weight"
    state[name] = state[name].permute(0, 2, 3, 1).reshape(nets.WIDTH, -1)
    assert_computes_the_same(opened(state, SIGLIP_HINTS), model)


def test_positions_go_as_in_dino_only_for_plain_networks_with_cls() -> None:
    assert opened(nets.vit().state_dict(), HF).positions == "dino"
    for model in (nets.clip(), nets.siglip(), nets.distilled(), nets.dinov3(), nets.beit()):
        assert opened(model.state_dict(), HF).positions == "timm"


def test_the_description_of_a_converted_network_must_be_readable(tmp_path: Any) -> None:
    path = tmp_path / "plain.safetensors"
    torch.save(nets.vit().state_dict(), tmp_path / "plain.pth")
    convert(tmp_path / "plain.pth", path, "fp32")
    loaded = load_model(path, num_heads=4)
    assert (heads_of(loaded), "says 2" in loaded.notes[0]) == (4, True)
    recipe = {"class": "os.system", "options": {}}
    with pytest.raises(WeightsError, match="does not know"):
        opened(nets.vit().state_dict(), Hints(metadata={"network": json.dumps(recipe)}))
    with pytest.raises(WeightsError, match="cannot be read"):
        opened(nets.vit().state_dict(), Hints(metadata={"network": "{"}))


def test_the_plain_case_is_timms_own_class() -> None:
    assert type(opened(nets.vit().state_dict(), HF).model) is VisionTransformer


def test_a_named_network_of_fewer_blocks_opens_at_its_own_depth_and_says_so() -> None:
    from helpers.family_cases import randomised

    name = "vit_small_patch16_dinov3"
    model = randomised(timm.create_model(name, num_classes=0, depth=2))
    loaded = load_model(model.state_dict(), arch=name)
    assert len(loaded.model.blocks) == 2
    assert loaded.notes == (f"{name} has 12 blocks, and these weights have 2.",)
    images = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.model.forward_features(images), model.forward_features(images)
        )


def test_an_image_size_beside_the_weights_shows_the_grid_by_the_patch_of_the_tensors(
    tmp_path: Path,
) -> None:
    from timm.models.vision_transformer import VisionTransformer

    model = VisionTransformer(
        img_size=(64, 128), patch_size=16, embed_dim=128, depth=1, num_heads=2, num_classes=0
    )
    torch.save({"teacher": model.state_dict()}, tmp_path / "checkpoint.pth")
    with pytest.raises(WeightsError, match="not a square grid"):
        load_model(tmp_path / "checkpoint.pth")
    (tmp_path / "config.json").write_text(json.dumps({"image_size": [64, 128]}))
    assert load_model(tmp_path).model.patch_embed.grid_size == (4, 8)


def test_a_folder_of_a_network_with_adapters_and_their_settings_is_merged(tmp_path: Path) -> None:
    model = nets.randomised(timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=1))
    state = {}
    down, up = torch.randn(4, 192) / 10, torch.randn(576, 4) / 10
    for name, value in model.state_dict().items():
        if ".attn.qkv." not in name:
            state[f"base_model.model.{name}"] = value
            continue
        layer, part = name.rsplit(".", 1)
        state[f"base_model.model.{layer}.base_layer.{part}"] = value
    state["base_model.model.blocks.0.attn.qkv.lora_A.default.weight"] = down
    state["base_model.model.blocks.0.attn.qkv.lora_B.default.weight"] = up
    torch.save(state, tmp_path / "checkpoint.pth")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8, "r": 4}))
    merged = load_model(tmp_path).model.blocks[0].attn.qkv.weight
    expected = model.blocks[0].attn.qkv.weight + 2 * up @ down
    torch.testing.assert_close(merged, expected)
