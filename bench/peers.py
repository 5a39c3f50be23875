"""Compute the same by other packages, where they are installed (requirements-bench.txt)."""

import importlib.util
import io
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bench.networks import HEAD_DIM, Networks
from bench.training import jpeg

Ways = dict[str, Callable[[], Any]]


def installed(name: str) -> bool:
    """Tell whether a package can be imported."""
    return importlib.util.find_spec(name) is not None


def maps_by_peers(found: Networks) -> tuple[Ways, list[str]]:
    """List ways to the last block's attention of ViTs of the same shape, float32; and who is missing."""
    ways: Ways = {"timm's own forward (no maps)": lambda: _timm(found)}
    missing = []
    if installed("transformers"):
        for name, make in (("ViT", _hugging_face_vit), ("DINOv2", _hugging_face_dinov2)):
            ways[f"transformers {name}, output_attentions"] = _asking_for_maps(make(found), found)
    else:
        missing.append("transformers is not installed")
    if installed("openvino"):
        ways["OpenVINO forward (no maps)"] = openvino_forward(found.timm, found.images)
    else:
        missing.append("openvino is not installed")
    return ways, missing


def crops_by_lightly(photos: int) -> tuple[Ways, list[str]]:
    """List lightly's DINO transform on as many JPEGs, normalisation left out as in the other ways."""
    if not installed("lightly"):
        return {}, ["lightly is not installed"]
    from lightly.transforms import DINOTransform

    draw, data = DINOTransform(normalize=None), jpeg()

    def run() -> None:
        for _ in range(photos):
            draw(Image.open(io.BytesIO(data)).convert("RGB"))

    return {"lightly": run}, []


@torch.no_grad()
def _timm(found: Networks) -> Tensor:
    return found.timm.forward_features(found.images)


def _asking_for_maps(model: Any, found: Networks) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.no_grad():
            attentions = model(found.images, output_attentions=True).attentions
        return attentions[-1][:, :, 0, 1:]

    return run


def _sizes(found: Networks) -> dict[str, Any]:
    shape = found.shape
    return {
        "hidden_size": shape.dim,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": shape.dim // HEAD_DIM,
        "image_size": found.side,
        "patch_size": shape.patch,
        "attn_implementation": "eager",
    }


def _hugging_face_vit(found: Networks) -> Any:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(**_sizes(found), intermediate_size=4 * found.shape.dim)
    return ViTModel(config, add_pooling_layer=False).eval()


def _hugging_face_dinov2(found: Networks) -> Any:
    from transformers import Dinov2Config, Dinov2Model

    return Dinov2Model(Dinov2Config(**_sizes(found), mlp_ratio=4)).eval()


def openvino_forward(model: Any, images: Tensor) -> Callable[[], Any]:
    """Compile a model's forward on the images, in float32."""
    import openvino

    core = openvino.Core()
    converted = openvino.convert_model(model, example_input=images)
    compiled = core.compile_model(
        converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    )
    array = images.numpy()
    return lambda: compiled(array)
