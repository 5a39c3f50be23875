"""A small ViT's canonical tensors, and every foreign layout of them, each written out by hand.

The inverses here are spelled independently of `dino.weights.layouts`: key by key, from the table of
layouts in the recipe.
"""

import argparse
import re
from pathlib import Path

import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

DIM, DEPTH, PATCH, GRID, MLP = 128, 2, 4, 3, 256

State = dict[str, Tensor]


def assert_same(found: State, expected: State) -> None:
    """Check that all tensors are there, equal, and no others."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def canonical_vit(
    *,
    layer_scale: bool = False,
    registers: int = 0,
    swiglu: bool = False,
    dim: int = DIM,
    grid: tuple[int, int] = (GRID, GRID),
    seed: int = 0,
) -> State:
    """Draw random tensors under timm's names; every one different from every other."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    positions = grid[0] * grid[1] + (0 if registers else 1)
    state = {
        "cls_token": draw(1, 1, dim),
        "pos_embed": draw(1, positions, dim),
        "patch_embed.proj.weight": draw(dim, 3, PATCH, PATCH),
        "patch_embed.proj.bias": draw(dim),
        "norm.weight": draw(dim),
        "norm.bias": draw(dim),
    }
    if registers:
        state["reg_token"] = draw(1, registers, dim)
    for i in range(DEPTH):
        block = {
            "norm1.weight": draw(dim),
            "norm1.bias": draw(dim),
            "attn.qkv.weight": draw(3 * dim, dim),
            "attn.qkv.bias": draw(3 * dim),
            "attn.proj.weight": draw(dim, dim),
            "attn.proj.bias": draw(dim),
            "norm2.weight": draw(dim),
            "norm2.bias": draw(dim),
            "mlp.fc1.weight": draw(2 * MLP if swiglu else MLP, dim),
            "mlp.fc1.bias": draw(2 * MLP if swiglu else MLP),
            "mlp.fc2.weight": draw(dim, MLP),
            "mlp.fc2.bias": draw(dim),
        }
        if layer_scale:
            block |= {"ls1.gamma": draw(dim), "ls2.gamma": draw(dim)}
        state |= {f"blocks.{i}.{name}": tensor for name, tensor in block.items()}
    return state


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def unfold_registers(state: State, position: Tensor) -> State:
    """Give the original's form: `position` [1,1,D] taken out of the CLS token, into the embedding."""
    state = dict(state)
    state["cls_token"] = state["cls_token"] - position
    state["pos_embed"] = torch.cat([position, state["pos_embed"]], dim=1)
    return state


def head(dim: int = DIM) -> State:
    """Build a DINO projection head, with a batch norm."""
    return {
        "mlp.0.weight": torch.ones(8, dim),
        "mlp.0.bias": torch.zeros(8),
        "mlp.1.running_mean": torch.zeros(8),
        "mlp.1.num_batches_tracked": torch.tensor(3),
        "last_layer.weight_g": torch.ones(16, 1),
        "last_layer.weight_v": torch.ones(16, 8),
    }


def original_full(student: State, teacher: State, *, teacher_prefix: str = "") -> dict[str, object]:
    """Build what the original's main_dino.py saves."""
    return {
        "student": prefixed(student, "module.backbone.") | prefixed(head(), "module.head."),
        "teacher": prefixed(teacher, f"{teacher_prefix}backbone.")
        | prefixed(head(), f"{teacher_prefix}head."),
        "optimizer": {
            "state": {0: {"step": 7, "exp_avg": torch.ones(3)}},
            "param_groups": [{"lr": 0.1, "params": [0]}],
        },
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_small", patch_size=16, data_path="/imagenet"),
        "dino_loss": {"center": torch.zeros(1, 16)},
        "fp16_scaler": {"scale": 65536.0},
    }


def own_run(student: State, teacher: State) -> dict[str, object]:
    """Build what our own training saves."""
    return {
        "student": prefixed(student, "backbone.") | prefixed(head(), "head."),
        "teacher": prefixed(teacher, "backbone.") | prefixed(head(), "head."),
        "center": torch.zeros(1, 16),
        "optimizer": {"state": {}, "param_groups": []},
        "step": 100,
        "epoch": 2,
        "config": {"arch": "vit_tiny", "crops": {"local": 8}},
        "rng": {"torch": torch.zeros(16, dtype=torch.uint8)},
        "preprocessing": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]},
    }


def hugging_face_vit(state: State, prefix: str = "") -> State:
    """Rename as transformers' ViTModel, which DINO v1 weights are published in."""
    names = {"norm1": "layernorm_before", "norm2": "layernorm_after"}
    names |= {"mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
    return _hugging_face(state, prefix, names)


def hugging_face_dinov2(state: State, prefix: str = "") -> State:
    """Rename as transformers' Dinov2Model and Dinov2WithRegistersModel."""
    names = {"norm1": "norm1", "norm2": "norm2", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
    names |= {"ls1": "layer_scale1", "ls2": "layer_scale2"}
    dim = state["cls_token"].shape[-1]
    return {
        f"{prefix}embeddings.mask_token": torch.zeros(1, dim),
        **_hugging_face(state, prefix, names),
    }


def _hugging_face(state: State, prefix: str, names: dict[str, str]) -> State:
    out: State = {}
    whole = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "reg_token": "embeddings.register_tokens",
        "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight",
        "norm.bias": "layernorm.bias",
    }
    for name, tensor in state.items():
        found = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias|gamma)", name)
        if found is None:
            out[prefix + whole[name]] = tensor
            continue
        layer, inner, kind = f"{prefix}encoder.layer.{found[1]}.", found[2], found[3]
        if inner == "attn.qkv":
            third = tensor.shape[0] // 3
            for i, part in enumerate(("query", "key", "value")):
                piece = tensor[i * third : (i + 1) * third].clone()
                out[f"{layer}attention.attention.{part}.{kind}"] = piece
        elif inner == "attn.proj":
            out[f"{layer}attention.output.dense.{kind}"] = tensor
        else:
            out[f"{layer}{names[inner]}.{'lambda1' if kind == 'gamma' else kind}"] = tensor
    return out


def original_dinov2(state: State, *, chunked: bool = False) -> State:
    """Rename as the original dinov2: mask token, register_tokens, w12/w3, blocks in chunks while training."""
    dim = state["cls_token"].shape[-1]
    out = {"mask_token": torch.zeros(1, dim)}
    swiglu = state["blocks.0.mlp.fc1.weight"].shape[0] == 2 * MLP
    for old, tensor in state.items():
        name = old.replace("reg_token", "register_tokens")
        if swiglu:
            name = name.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3")
        if chunked:  # one block a chunk
            name = re.sub(r"^blocks\.(\d+)\.", r"blocks.\1.\1.", name)
        out[name] = tensor
    return out


def onnx_dinov2(
    state: State,
    path: Path,
    *,
    order: tuple[str, ...] = ("key", "value", "query"),
    graph: bool = True,
    bias_first: bool = True,
) -> None:
    """Write an export of Hugging Face's Dinov2 as torch writes it.

    Matrices lose their names and are transposed; each goes into a MatMul whose result meets the
    named bias in an Add. The matrices are numbered in the order in which the graph uses them.
    """
    written = hugging_face_dinov2(state, "backbone.")
    del written["backbone.embeddings.mask_token"]  # unused, so not exported
    positions = written.pop("backbone.embeddings.position_embeddings")
    tensors: State = {
        "onnx::Concat_900": positions[:, :1],
        "onnx::Reshape_901": positions[:, 1:],
    }
    nodes, number = [], 1000
    for i in range(DEPTH):
        layer = f"backbone.encoder.layer.{i}."
        for inner in (
            *(f"attention.attention.{part}" for part in order),
            *("attention.output.dense", "mlp.fc1", "mlp.fc2"),
        ):
            matrix = f"onnx::MatMul_{number}"
            tensors[matrix] = written.pop(f"{layer}{inner}.weight").T.contiguous()
            operands = [f"{layer}{inner}.bias", f"product_{number}"]
            nodes.append(helper.make_node("MatMul", ["x", matrix], [f"product_{number}"]))
            nodes.append(
                helper.make_node(
                    "Add", operands if bias_first else operands[::-1], [f"sum_{number}"]
                )
            )
            number += 3
    written["decoder.upconv1.weight"] = torch.ones(2, 2, 4, 4)
    initializers = [
        numpy_helper.from_array(tensor.contiguous().numpy(), name)
        for name, tensor in (written | tensors).items()
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, DIM])
    made = helper.make_graph(nodes if graph else [], "export", [x], [x], initializers)
    path.write_bytes(helper.make_model(made).SerializeToString())
