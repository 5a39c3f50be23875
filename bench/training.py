"""A training step and the crops before it, against the plain way, in one run.

    python -m bench.training [--arch vit_small --global 224 --local 96 --locals 8 --batch 8 --repeats 5]

Prints a Markdown table: medians, spread (highest − lowest over the median), ratio.
"""

import argparse
import io
import platform
import random
from collections.abc import Callable
from typing import Any

from dino.system.processes import let_idle_threads_sleep

let_idle_threads_sleep()

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from bench import plain  # noqa: E402
from bench.timing import Times, in_turns  # noqa: E402
from dino.media.images import decode  # noqa: E402
from dino.model.device import choose_precision, dtype_of  # noqa: E402
from dino.system.distributed import World  # noqa: E402
from dino.training.build import build_crops, build_schedules  # noqa: E402
from dino.training.config import TrainConfig  # noqa: E402
from dino.training.methods import build_method  # noqa: E402
from dino.training.step import StepOptions  # noqa: E402

CPU = torch.device("cpu")


def step_variants(config: TrainConfig) -> dict[str, Callable[[], object]]:
    """The plain step in float32, ours in float32, and in the precision chosen for this machine."""
    crops = [
        torch.randn(config.batch_size, 3, view.size, view.size)
        for view in build_crops(config).views
    ]
    labels = torch.zeros(config.batch_size, dtype=torch.long)
    values = build_schedules(config, config.batch_size * 10).at(5)

    def ours(precision: str) -> Callable[[], object]:
        low = None if precision == "fp32" else dtype_of(precision)
        method = build_method(
            config, device=CPU, world=World(), num_classes=0, plain=low is not None
        )
        options = StepOptions(config.clip_grad, 0, low)
        return lambda: method.step(crops, labels, values, options)

    variants = {"plain, fp32": plain_step(config, crops), "ours, fp32": ours("fp32")}
    best = choose_precision("auto", CPU)
    return variants if best == "fp32" else {**variants, f"ours, {best}": ours(best)}


def plain_step(
    config: TrainConfig,
    crops: list[torch.Tensor],
    *,
    device: torch.device = CPU,
    scaler: Any = None,
) -> Callable[[], object]:
    """The plain step on networks of the same sizes; with a `scaler` in fp16."""
    method = build_method(config, device=device, world=World(), num_classes=0, plain=False)
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
    """A JPEG of smooth noise."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(
        buffer, "JPEG", quality=90
    )
    return buffer.getvalue()


def crop_variants(config: TrainConfig, photos: int = 8) -> dict[str, Callable[[], object]]:
    """A JPEG of 500 × 375 px → the recipe's crops, with PIL and ours; one thread."""
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


def row(what: str, times: dict[str, Times], images: int) -> list[str]:
    """Lines of the table: images a second, spread, ratio to the first variant."""
    base = next(iter(times.values())).median
    return [
        f"| {what} | {name} | {images / taken.median:.2f} | {taken.spread:.0%} | "
        f"{base / taken.median:.2f}× |"
        for name, taken in times.items()
    ]


def main() -> None:
    """Run both comparisons and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="vit_small")
    parser.add_argument("--patch", type=int, default=16)
    parser.add_argument("--global", type=int, default=224, dest="global_size")
    parser.add_argument("--local", type=int, default=96)
    parser.add_argument("--locals", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--out-dim", type=int, default=65_536)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    config = TrainConfig(
        arch=given.arch,
        patch_size=given.patch,
        global_size=given.global_size,
        local_size=given.local,
        num_locals=given.locals,
        batch_size=given.batch,
        out_dim=given.out_dim,
    )
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"median of {given.repeats}\n"
    )
    print("| what | way | images/s | spread | ratio |\n| --- | --- | --- | --- | --- |")
    print(
        "\n".join(row("training step", in_turns(step_variants(config), given.repeats), given.batch))
    )
    torch.set_num_threads(1)
    print("\n".join(row("crops from JPEG", in_turns(crop_variants(config), given.repeats), 8)))


if __name__ == "__main__":
    main()
