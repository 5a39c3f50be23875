"""What stands beside weights: configs of transformers, timm and open_clip, processors, settings."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dino.errors import WeightsError
from dino.weights.files import read
from dino.weights.hints import Hints, from_checkpoint

HALF = (0.5, 0.5, 0.5)


def beside(folder: Path, weights: str = "model.safetensors", **files: Any) -> Hints:
    """Write weights with JSON files beside them (`config` is config.json), and read what they say."""
    folder.mkdir(exist_ok=True)
    save_file({"a": torch.ones(1)}, folder / weights)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text)
    return read(folder).hints


VIT = {
    **{"model_type": "vit", "hidden_size": 192, "num_attention_heads": 3, "hidden_act": "gelu"},
    **{"layer_norm_eps": 1e-12, "image_size": 64, "patch_size": 16},
}


def test_a_config_of_transformers_is_read(tmp_path: Path) -> None:
    hints = beside(tmp_path / "net", config=VIT)
    assert (hints.num_heads, hints.act, hints.norm_eps) == (3, "gelu", 1e-12)
    assert (hints.grid, hints.patch_size) == ((4, 4), (16, 16))
    assert (hints.model_type, hints.name, hints.config) == ("vit", "net", VIT)


@pytest.mark.parametrize(
    ("size", "patch", "grid"),
    [
        ([64, 128], 16, (4, 8)),
        ([64, 128], [16, 8], (4, 16)),
        ({"height": 32, "width": 48}, 16, (2, 3)),
        (518, 14, (37, 37)),
        (None, 16, None),
        (8, 16, None),
    ],
)
def test_sizes_may_be_one_side_or_two(
    tmp_path: Path, size: Any, patch: Any, grid: tuple[int, int] | None
) -> None:
    hints = beside(tmp_path / "net", config=VIT | {"image_size": size, "patch_size": patch})
    assert hints.grid == grid


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("gelu", "gelu"),
        ("quick_gelu", "quick_gelu"),
        ("gelu_pytorch_tanh", "gelu_tanh"),
        ("gelu_new", "gelu_tanh"),
        ("swish", "silu"),
    ],
)
def test_activations_are_named_as_timm_does(tmp_path: Path, theirs: str, ours: str) -> None:
    assert beside(tmp_path / "net", config=VIT | {"hidden_act": theirs}).act == ours


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("hidden_act", "xielu", "hidden_act is 'xielu', an activation that is not supported"),
        ("hidden_act", ["gelu"], "an activation that is not supported"),
        ("num_attention_heads", "3", "num_attention_heads is '3', expected a whole number"),
        ("num_attention_heads", True, "expected a whole number above 0"),
        ("num_attention_heads", 0, "expected a whole number above 0"),
        ("layer_norm_eps", float("nan"), "layer_norm_eps is nan, expected a number above 0"),
        ("layer_norm_eps", "small", "expected a number above 0"),
        ("patch_size", 2.5, "patch_size is 2.5, expected one side"),
        ("image_size", [1, 2, 3], "image_size is .*, expected one side"),
        ("quantization_config", {"bits": 8}, "names a quantization_config.*quantised weights"),
    ],
)
def test_what_is_wrong_or_not_supported_is_refused_by_name(
    tmp_path: Path, key: str, value: Any, sentence: str
) -> None:
    with pytest.raises(WeightsError, match=f"config.json: .*{sentence}") as caught:
        beside(tmp_path / "net", config=VIT | {key: value})
    assert "\n" not in str(caught.value)


def test_the_vision_part_of_a_config_is_the_one_that_counts(tmp_path: Path) -> None:
    vision = {"hidden_size": 64, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    text = {"hidden_size": 64, "num_attention_heads": 8, "hidden_act": "relu"}
    hints = beside(
        tmp_path / "net",
        config={"model_type": "clip", "vision_config": vision, "text_config": text},
    )
    assert (hints.num_heads, hints.grid, hints.model_type) == (2, (4, 4), "clip_vision_model")
    assert (hints.act, hints.norm_eps) == ("quick_gelu", 1e-5)  # which transformers leaves out


def test_values_that_transformers_leaves_out_are_its_own(tmp_path: Path) -> None:
    config = {"model_type": "siglip", "vision_config": {"model_type": "siglip_vision_model"}}
    hints = beside(tmp_path / "net", config=config)
    assert (hints.num_heads, hints.act, hints.norm_eps) == (12, "gelu_tanh", 1e-6)
    assert (hints.grid, hints.patch_size) == ((14, 14), (16, 16))


def test_the_backbone_of_depth_anything_is_read(tmp_path: Path) -> None:
    part = {
        **{"model_type": "dinov2", "hidden_size": 384, "num_attention_heads": 6},
        **{"image_size": 518, "patch_size": 14},
    }
    config = {"model_type": "depth_anything", "backbone_config": part, "patch_size": 14}
    hints = beside(tmp_path / "net", config=config)
    assert (hints.num_heads, hints.grid, hints.model_type) == (6, (37, 37), "dinov2")


def test_the_base_of_rotary_positions_is_read_as_old_and_new_versions_write_it(
    tmp_path: Path,
) -> None:
    assert beside(tmp_path / "a", config=VIT | {"rope_theta": 100.0}).rope_theta == 100.0
    newer = {"rope_parameters": {"rope_type": "default", "rope_theta": 50}}
    assert beside(tmp_path / "b", config=VIT | newer).rope_theta == 50.0


# --- timm and open_clip -------------------------------------------------------------------------


def test_timms_config_tells_architecture_size_mean_and_std(tmp_path: Path) -> None:
    cfg = {"input_size": [3, 64, 96], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 0.5]}
    config = {"architecture": "vit_tiny_patch16_224", "num_features": 192, "pretrained_cfg": cfg}
    hints = beside(tmp_path / "net", config=config)
    assert (hints.arch, hints.arch_label) == ("vit_tiny_patch16_224", "vit_tiny_patch16_224")
    assert (hints.mean, hints.std) == (HALF, (0.25, 0.5, 0.5))
    assert (hints.grid, hints.patch_size) == ((4, 6), (16, 16))
    flat = beside(tmp_path / "older", config={"architecture": "vit_tiny_patch16_224", **cfg})
    assert (flat.mean, flat.grid) == (HALF, (4, 6))


def test_arguments_of_timms_config_go_before_the_name(tmp_path: Path) -> None:
    args = {"img_size": 64, "patch_size": 8, "num_heads": 6, "act_layer": "quick_gelu"}
    config = {"architecture": "vit_tiny_patch16_224", "model_args": args}
    hints = beside(tmp_path / "net", config=config)
    assert (hints.grid, hints.patch_size, hints.num_heads) == ((8, 8), (8, 8), 6)
    assert hints.act == "quick_gelu"


def test_open_clips_config_tells_heads_activation_mean_and_std(tmp_path: Path) -> None:
    vision = {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32}
    clip = {
        "model_cfg": {"embed_dim": 512, "quick_gelu": True, "vision_cfg": vision},
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    }
    hints = beside(tmp_path / "net", "open_clip_model.safetensors", open_clip_config=clip)
    assert (hints.num_heads, hints.act, hints.grid) == (12, "quick_gelu", (7, 7))
    assert (hints.mean, hints.std, hints.model_type) == (HALF, HALF, "open_clip")
    vision["head_width"] = 96
    clip["model_cfg"]["quick_gelu"] = False
    hints = beside(tmp_path / "net", "open_clip_model.safetensors", open_clip_config=clip)
    assert (hints.num_heads, hints.act) == (8, "gelu")
    clip["model_cfg"]["vision_cfg"] = {"timm_model_name": "vit_base_patch16_siglip_224"}
    hints = beside(tmp_path / "net", "open_clip_model.safetensors", open_clip_config=clip)
    assert hints.arch == "vit_base_patch16_siglip_224"


# --- processors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("processor", "mean", "std"),
    [
        ({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5] * 3}, (0.1, 0.2, 0.3), HALF),
        ({"image_mean": 0.5, "image_std": [0.5]}, HALF, HALF),
        ({"do_normalize": False, "image_mean": [0.1] * 3}, (0, 0, 0), (1, 1, 1)),
        ({"do_normalize": False}, (0, 0, 0), (1, 1, 1)),
        # Pixels times 1/127.5 are 0..2: (2 x - 1) / 0.5 is (x - 0.5) / 0.25.
        (
            {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [0.5] * 3},
            HALF,
            (0.25,) * 3,
        ),
        ({"do_resize": True}, None, None),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_processor_tells_mean_and_std(
    tmp_path: Path, processor: Any, mean: Any, std: Any, nested: bool
) -> None:
    if nested:  # as transformers 5 writes it
        hints = beside(tmp_path / "net", processor_config={"image_processor": processor})
    else:
        hints = beside(tmp_path / "net", preprocessor_config=processor)
    for found, expected in ((hints.mean, mean), (hints.std, std)):
        assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("processor", "sentence"),
    [
        ({"do_rescale": False, "image_mean": HALF, "image_std": HALF}, "do_rescale: false"),
        ({"offset": True, "image_mean": HALF, "image_std": HALF}, "or an offset"),
        ({"image_mean": "half", "image_std": HALF}, "image_mean is 'half', expected three numbers"),
        ({"image_mean": [0.5, 0.5]}, "expected three numbers"),
        ({"image_mean": HALF, "image_std": [0, 0, 0]}, "image_std is .* expected three numbers"),
        ({"image_mean": [float("nan")] * 3}, "expected three numbers"),
        ("[1]", "expected a JSON object"),
        ("{" * 100, "not readable as JSON"),
    ],
)
def test_a_processor_that_cannot_be_followed_is_refused(
    tmp_path: Path, processor: Any, sentence: str
) -> None:
    with pytest.raises(WeightsError, match=sentence) as caught:
        beside(tmp_path / "net", preprocessor_config=processor)
    assert "preprocessor_config.json" in str(caught.value)


def test_what_lies_beside_a_file_of_a_standard_name_counts_too(tmp_path: Path) -> None:
    beside(tmp_path / "net", config=VIT)
    hints = read(tmp_path / "net" / "model.safetensors").hints
    assert (hints.num_heads, hints.name) == (3, "net")
    save_file({"a": torch.ones(1)}, tmp_path / "net" / "mine.safetensors")
    assert read(tmp_path / "net" / "mine.safetensors").hints.num_heads is None


# --- settings beside the tensors of a checkpoint ------------------------------------------------


@pytest.mark.parametrize(
    ("tree", "arch", "label", "patch"),
    [
        ({"args": argparse.Namespace(arch="vit_small", patch_size=8)}, None, "vit_small", (8, 8)),
        ({"arch": "vit_small", "epoch": 1}, None, "vit_small", None),
        (
            {"arch": "vit_small_patch16_224", "args": argparse.Namespace(model="other")},
            "vit_small_patch16_224",
            "vit_small_patch16_224",
            None,
        ),
        (
            {"args": argparse.Namespace(model="deit_tiny_patch16_224", input_size=224)},
            "deit_tiny_patch16_224",
            "deit_tiny_patch16_224",
            None,
        ),
        (
            {"config": {"student": {"arch": "vit_large", "patch_size": 14}}},
            None,
            "vit_large",
            (14, 14),
        ),
        (
            {"hyper_parameters": {"backbone": {"name": "vit_tiny", "kwargs": {"patch_size": 16}}}},
            None,
            "vit_tiny",
            (16, 16),
        ),
        ({"args": [1, 2], "config": None, "cfg": "text"}, None, None, None),
    ],
)
def test_settings_of_others_tell_architecture_and_patch(
    tree: Any, arch: str | None, label: str | None, patch: tuple[int, int] | None
) -> None:
    hints = from_checkpoint(tree)
    assert (hints.arch, hints.arch_label, hints.patch_size) == (arch, label, patch)


def test_settings_tell_heads_a_rectangle_mean_and_std() -> None:
    settings = {
        **{"num_heads": 12, "img_size": (64, 128), "patch_size": 16},
        **{"mean": HALF, "std": HALF},
    }
    hints = from_checkpoint({"args": argparse.Namespace(**settings)})
    assert (hints.num_heads, hints.grid, hints.mean, hints.std) == (12, (4, 8), HALF, HALF)
    odd = {"num_heads": "many", "img_size": "big", "mean": None, "std": [0, 0, 0]}
    hints = from_checkpoint({"args": odd})
    assert (hints.num_heads, hints.grid, hints.mean, hints.std) == (None, None, None, None)


def test_a_config_of_transformers_inside_a_checkpoint_is_read(tmp_path: Path) -> None:
    torch.save({"config": VIT, "state_dict": {}}, tmp_path / "a.pth")
    hints = read(tmp_path / "a.pth").hints
    assert (hints.num_heads, hints.norm_eps, hints.grid) == (3, 1e-12, (4, 4))
    torch.save({"config": VIT | {"hidden_act": "xielu"}}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth: the config in it: hidden_act is 'xielu'"):
        read(tmp_path / "a.pth")


def test_settings_that_hold_themselves_end() -> None:
    settings: dict[str, Any] = {"arch": "vit_small"}
    settings["self"] = settings
    assert from_checkpoint({"args": settings}).arch_label == "vit_small"
