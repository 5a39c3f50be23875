"""A training step and the crops before it, ours and the plain way: what rows and levers time."""

import io
import random
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench import plain
from dino.media.images import decode
from dino.model.device import choose_precision, dtype_of
from dino.system.distributed import World
from dino.training.build import build_crops, build_schedules
from dino.training.config import TrainConfig
from dino.training.methods import Method, build_method
from dino.training.step import StepOptions, StepValues

CPU = torch.device("cpu")


def random_crops(config: TrainConfig, device: torch.device = CPU) -> list[Tensor]:
    """Draw a batch of noise for each view of a config, the same each time."""
    crops = []
    for index, view in enumerate(build_crops(config).views):
        generator = torch.Generator().manual_seed(index)
        size = (config.batch_size, 3, view.size, view.size)
        crops.append(torch.randn(size, generator=generator).to(device))
    return crops


def build_own_step(
    config: TrainConfig,
    *,
    device: torch.device = CPU,
    precision: str = "auto",
    world: World | None = None,
) -> tuple[Method, StepValues, StepOptions]:
    """Build what our step takes: the method, the values of an early step, and how to do it."""
    chosen = choose_precision(precision, device)
    low = None if chosen == "fp32" else dtype_of(chosen)
    method = build_method(config, device=device, world=world or World(), precision=chosen)
    values = build_schedules(config, config.batch_size * 10).at(5)
    return method, values, StepOptions(config.clip_grad, 0, low)


def own_step(
    config: TrainConfig,
    crops: list[Tensor],
    *,
    device: torch.device = CPU,
    precision: str = "auto",
    change: Callable[[Method], None] = lambda method: None,
) -> Callable[[], Tensor]:
    """Build our step on crops that are on the device, which gives its loss; `change` is done to the
    method before."""
    method, values, options = build_own_step(config, device=device, precision=precision)
    change(method)
    labels = torch.zeros(config.batch_size, dtype=torch.long, device=device)
    return lambda: method.step(crops, labels, values, options).loss


def step_variants(config: TrainConfig) -> dict[str, Callable[[], object]]:
    """Build the plain step in float32, and ours in float32 and in the precision of this machine."""
    crops = random_crops(config)
    variants: dict[str, Callable[[], object]] = {"plain, fp32": plain_step(config, crops)}
    for precision in dict.fromkeys(("fp32", choose_precision("auto", CPU))):
        variants[f"ours, {precision}"] = own_step(config, crops, precision=precision)
    return variants


def plain_step(
    config: TrainConfig,
    crops: list[Tensor],
    *,
    device: torch.device = CPU,
    scaler: Any = None,
) -> Callable[[], object]:
    """Build the plain step on networks of the same sizes; with a `scaler` in fp16."""
    method = build_method(config, device=device, world=World())
    student, teacher = method.modules["student"], method.modules["teacher"]
    for network in (student, teacher):
        for block in network.backbone.blocks:
            block.attn = plain.PlainAttention(block.attn)
        network.head.last_layer = plain.PlainPrototypes(network.head.last_layer)
        network.backbone.patch_embed.strict_img_size = False
        network.backbone.dynamic_img_size = network.backbone.patch_embed.dynamic_img_pad = True
        network.backbone.patch_embed.flatten = False
        network.backbone.patch_embed.output_fmt = "NHWC"
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4, foreach=False, fused=False)
    center = torch.zeros(1, config.out_dim, device=device)
    return lambda: plain.step(
        student, teacher, optimizer, crops, center=center, momentum=0.996, scaler=scaler
    )


def jpeg(width: int = 500, height: int = 375) -> bytes:
    """Encode smooth noise as a JPEG."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(
        buffer, "JPEG", quality=90
    )
    return buffer.getvalue()


def crop_variants(config: TrainConfig, photos: int = 8) -> dict[str, Callable[[], object]]:
    """Build what makes the recipe's crops of a JPEG of 500 × 375 px, with PIL and ours; one thread."""
    cv2.setNumThreads(1)
    data, draw = jpeg(), build_crops(config)

    def by_pil() -> None:
        for index in range(photos):
            picture = Image.open(io.BytesIO(data)).convert("RGB")
            views = plain.crops_by_pil(picture, random.Random(index), num_locals=config.num_locals)  # noqa: S311
            [np.asarray(view) for view in views]

    def by_ours() -> None:
        for index in range(photos):
            draw(decode(data), np.random.default_rng(index))

    return {"PIL": by_pil, "ours": by_ours}
