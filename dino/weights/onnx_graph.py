"""Read weights out of an ONNX export, and give back the names that its tracer threw away.

Exporting folds every linear layer into `MatMul` with a transposed, nameless matrix
(`onnx::MatMul_1966`), while its bias keeps its name. The graph still says which is which: the
product of a matrix goes into the `Add` of the bias of the same layer. That is what is read here.

The numbers of the names are not enough: current exports of Hugging Face's Dinov2 compute key, value,
query in this order, so numbering them "q, k, v" swaps the three without any shape complaining.
Only where a file has no such graph (matrices alone) the documented order is taken.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dino.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_NAMELESS = re.compile(r"^onnx::\w+_(\d+)$|^(\d+)$")
# `attention.output.dense` must come before `output.dense`, whose name ends it
_ORDER = (
    *("query", "key", "value", "attention.output.dense", "attn.qkv", "attn.proj"),
    *("mlp.fc1", "intermediate.dense", "mlp.fc2", "output.dense"),
)
_POSITION_NAME = re.compile(r"^(.*)cls_token$")


def read_onnx(path: Path) -> dict[str, Tensor]:
    """Read the named tensors of an ONNX file, matrices as [out, in].

    Returns:
        The initializers under the names of the module that was exported; a position embedding
        split into [1,1,D] and [1,N,D] is joined to `…position_embeddings` [1,1+N,D].
    Raises:
        WeightsError: not ONNX, data missing beside it, or a matrix the graph does not place.
    """
    graph = _load_graph(path)
    tensors = _initializers(graph, path)
    nameless = {name: tensor for name, tensor in tensors.items() if _NAMELESS.match(name)}
    named = {name: tensor for name, tensor in tensors.items() if name not in nameless}
    matrices = {name: tensor for name, tensor in nameless.items() if tensor.ndim == 2}
    products = _products(graph, matrices)
    if products:
        owners = _owners_by_graph(graph, products, named)
        lost = sorted({name for name, _ in products.values()} - set(owners))
        if lost:
            raise WeightsError(
                f"{path}: the graph does not say which layer {lost[0]} belongs to "
                f"({len(lost)} such matrices); export the model again, or give its state_dict"
            )
    else:
        owners = _owners_by_number(matrices, named, path)
    for name, layer in owners.items():
        named[f"{layer}.weight"] = matrices[name].T
    return named | _position_embedding(nameless, named)


def _load_graph(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(str(path), load_external_data=False)
        if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
            onnx.load_external_data_for_model(model, str(path.parent))
    except DecodeError as error:
        raise WeightsError(f"{path}: not ONNX, or cut short; copy or download it again") from error
    except (ValueError, FileNotFoundError, onnx.checker.ValidationError) as error:
        raise WeightsError(
            f"{path}: its external data cannot be read ({error}); put that file beside it"
        ) from error
    if not model.graph.initializer:
        raise WeightsError(f"{path}: an ONNX file without weights, or cut short")
    names = [tensor.name for tensor in model.graph.initializer]
    for node in model.graph.node:
        names += [node.name, node.op_type, *node.input, *node.output]
    # protobuf hands out bytes where a name is not valid UTF-8
    if not all(isinstance(name, str) for name in names) or not all(
        node.output for node in model.graph.node
    ):
        raise WeightsError(f"{path}: a damaged ONNX file; copy or download it again")
    return model.graph


def _initializers(graph: Any, path: Path) -> dict[str, Tensor]:
    """Read initializers by name; equal ones that the exporter merged come back under every name."""
    import torch
    from onnx import numpy_helper

    tensors: dict[str, Tensor] = {}
    for proto in graph.initializer:
        try:
            array = numpy_helper.to_array(proto)
        except Exception as error:  # damaged bytes surface as any type, KeyError included
            raise WeightsError(f"{path}: {proto.name} cannot be read ({error})") from error
        if array.dtype.kind == "f":
            tensors[proto.name] = torch.from_numpy(array.copy())
    for node in graph.node:  # exporters write `Identity` where two parameters are equal
        if node.op_type == "Identity" and node.input and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
    return tensors


def _products(graph: Any, matrices: dict[str, Tensor]) -> dict[str, tuple[str, str]]:
    """Map the output of every product with a nameless matrix to (matrix name, node name)."""
    return {
        node.output[0]: (name, node.name)
        for node in graph.node
        if node.op_type == "MatMul"
        for name in node.input
        if name in matrices
    }


def _owners_by_graph(
    graph: Any, products: dict[str, tuple[str, str]], named: dict[str, Tensor]
) -> dict[str, str]:
    """Map matrix names to layers by the bias added to the product, else by the scope in the node's name.

    torch names nodes by module: `/encoder/layer.0/attention/attention/key/MatMul`.
    """
    owners = {}
    for matrix, node_name in products.values():
        scope = node_name.strip("/").split("/")[:-1]
        if scope:
            owners[matrix] = ".".join(scope)
    for node in graph.node:
        if node.op_type != "Add" or len(node.input) != 2:
            continue
        for product, bias in (tuple(node.input), tuple(node.input)[::-1]):
            if product in products and bias in named and bias.endswith(".bias"):
                owners[products[product][0]] = bias.removesuffix(".bias")
    return owners


def _owners_by_number(
    matrices: dict[str, Tensor], named: dict[str, Tensor], path: Path
) -> dict[str, str]:
    """Map matrix names to layers for a file without a graph: by number, six a block as in `_ORDER`."""
    layers = [
        name.removesuffix(".bias")
        for name in named
        if name.endswith(".bias") and name.removesuffix("bias") + "weight" not in named
    ]
    layers.sort(key=_rank)
    ordered = sorted(matrices, key=lambda name: int(re.findall(r"\d+", name)[-1]))
    if len(layers) != len(ordered) or any(
        named[f"{layer}.bias"].shape[0] != matrices[name].shape[1]
        for layer, name in zip(layers, ordered, strict=False)
    ):
        raise WeightsError(
            f"{path}: {len(ordered)} nameless matrices do not match the {len(layers)} layers that "
            "lack one; export the model again, or give its state_dict"
        )
    return dict(zip(ordered, layers, strict=True))


def _rank(layer: str) -> tuple[int, int]:
    """Place a layer in a numbered export: by block, then by order within it (others last)."""
    number = re.search(r"\.(\d+)\.", layer)
    place = next((i for i, end in enumerate(_ORDER) if layer.endswith(end)), len(_ORDER))
    return (int(number[1]) if number else sys.maxsize, place)


def _position_embedding(nameless: dict[str, Tensor], named: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join a split position embedding; {} where it kept its name.

    The two parts stand in `Concat` and `Reshape` and are told by shape: [1,1,D] and [1,N,D].
    """
    import torch

    prefix = next((m[1] for name in named if (m := _POSITION_NAME.match(name))), None)
    if prefix is None or any(name.endswith(("position_embeddings", "pos_embed")) for name in named):
        return {}
    width = named[f"{prefix}cls_token"].shape[-1]
    tokens = [t for t in nameless.values() if t.ndim == 3 and t.shape[::2] == (1, width)]
    single = [t for t in tokens if t.shape[1] == 1]
    grids = [t for t in tokens if t.shape[1] > 1]
    if len(single) != 1 or len(grids) != 1:
        return {}  # the layout check names what is missing
    return {f"{prefix}position_embeddings": torch.cat([single[0], grids[0]], dim=1)}
