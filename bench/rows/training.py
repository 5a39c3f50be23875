"""Rows 7 and 8: a step of training and the crops before it, on the CPU."""

import torch

from bench import flops
from bench.bounds import Multiplying
from bench.outcome import Outcome, Settings
from bench.peers import crops_by_lightly
from bench.table import BF16, FP32
from bench.timing import in_turns
from bench.training import crop_variants, step_variants
from dino.training.config import TrainConfig

_TINY_SIZES = {
    "arch": "vit_tiny",
    "global_size": 32,
    "local_size": 16,
    "num_locals": 2,
    "batch_size": 2,
    "out_dim": 64,
    "hidden_dim": 32,
    "bottleneck_dim": 16,
}


def config_of(settings: Settings, batch: int = 8) -> TrainConfig:
    """Make the config of the paper's ViT-S/16 with 2×224 and 8×96 px (or of a tiny network)."""
    if settings.tiny:
        return TrainConfig(patch_size=16, **_TINY_SIZES)
    return TrainConfig(arch="vit_small", patch_size=16, global_size=224, local_size=96,
                       num_locals=8, batch_size=batch, out_dim=65_536)  # fmt: skip


def step(settings: Settings) -> Outcome:
    """Time row 7: ours in float32 and in the precision of this machine beside the plain step."""
    config = config_of(settings)
    ways = step_variants(config)
    precisions = [name.removeprefix("ours, ") for name in ways if name.startswith("ours, ")]
    multiplying = Multiplying(precisions, tiny=settings.tiny)
    times = in_turns({**ways, **multiplying.ways}, settings.repeats)
    outcome = Outcome()
    outcome.timed(times)
    work = step_work(config, only_cls=True)
    outcome.notes.append(multiplying.most(times, "plain, fp32", work))
    base = times["plain, fp32"].median
    outcome.figures = {
        FP32: base / times["ours, fp32"].median,
        BF16: base / times["ours, bf16"].median if "ours, bf16" in times else None,
    }
    return outcome


def step_work(config: TrainConfig, *, only_cls: bool) -> float:
    """Count the GFLOP of a step; `only_cls` as in `flops.training_image`."""
    return config.batch_size * flops.training_image(
        flops.Shape(patch=config.patch_size), global_side=config.global_size,
        local_side=config.local_size, num_locals=config.num_locals, out_dim=config.out_dim,
        only_cls=only_cls,
    )  # fmt: skip


def crops(settings: Settings) -> Outcome:
    """Time row 8: one core, from the bytes of a JPEG to ten views; lightly's transform too, if there."""
    torch.set_num_threads(1)
    photos = 2 if settings.tiny else 8
    ways = crop_variants(config_of(settings), photos)
    by_lightly, missing = crops_by_lightly(photos)
    times = in_turns({**ways, **by_lightly}, settings.repeats)
    outcome = Outcome(notes=[f"{who}." for who in missing])
    outcome.timed(times)
    outcome.figures = {"over PIL": times["PIL"].median / times["ours"].median}
    for name in by_lightly:
        outcome.figures[f"over {name}"] = times[name].median / times["ours"].median
    outcome.notes.append(f"Ours: {photos / times['ours'].median:.0f} images/s and core.")
    return outcome
