"""Row 3: int8 linear layers, for CPUs without bf16 units: time and masks beside our own float32."""

import copy
import warnings

import numpy as np
import torch

from bench.machine import cpu_precisions
from bench.networks import networks, wrapped
from bench.outcome import Outcome, Settings
from bench.rows.masks import compare_masks, load_saliency, outlined_photos
from bench.timing import in_turns
from dino.model.backbone import Backbone

RATIO, IOU = "int8 over own fp32", "IoU of int8 masks"
_MASK_PHOTOS, _MASK_SIZE = 24, 448


def quantised(settings: Settings) -> Outcome:
    """Time torch's dynamic int8 (VNNI, AMX) in every linear layer of the blocks before the last, S/8 at 480 px."""
    found = networks(8, 480, tiny=settings.tiny, precisions=("fp32",))
    own = found.ours["fp32"]
    low = int8_of(own)
    times = in_turns(
        {"ours, fp32": lambda: own.attention(found.images),
         "int8": lambda: low.attention(found.images)},
        settings.repeats,
    )  # fmt: skip
    outcome = Outcome()
    outcome.timed(times)
    ratio = times["ours, fp32"].median / times["int8"].median
    iou = _agreement(settings)
    outcome.notes.append(
        f"torch's dynamic int8: {ratio:.2f} times as fast as our fp32"
        + ("." if iou is None else f", masks with a mean IoU of {iou:.3f}.")
    )
    if "bf16" in cpu_precisions():
        outcome.figures = {RATIO: None, IOU: None}
        outcome.notes.append("This CPU has bf16 units, so the row's bar is not for it.")
        return outcome
    outcome.figures = {RATIO: ratio} if iou is None else {RATIO: ratio, IOU: iou}
    return outcome


class Int8Linear(torch.nn.Module):
    """A linear layer by torch's dynamic quantisation; `weight` is the float32 one it stands for."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that it will move elsewhere
            self.low = torch.ao.quantization.quantize_dynamic(
                torch.nn.Sequential(linear), {torch.nn.Linear}, dtype=torch.qint8
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.low(x)


def int8_of(backbone: Backbone) -> Backbone:
    """Copy a backbone, with blocks before the last that multiply in int8; attention stays float32."""
    model = copy.deepcopy(backbone.module)
    for part in model.blocks[:-1]:
        part.attn.qkv, part.attn.proj = Int8Linear(part.attn.qkv), Int8Linear(part.attn.proj)
        part.mlp.fc1, part.mlp.fc2 = Int8Linear(part.mlp.fc1), Int8Linear(part.mlp.fc2)
    return wrapped(model, "fp32")


def _agreement(settings: Settings) -> float | None:
    """Compute the mean IoU of int8 with fp32 masks at 60 % of mass, on every 22nd photo; None without the weights."""
    if settings.shared is None:
        return None
    own = load_saliency(settings.shared, "fp32")
    photos = outlined_photos(settings.shared)
    photos = photos[:: max(1, len(photos) // (2 if settings.tiny else _MASK_PHOTOS))]
    size = 112 if settings.tiny else _MASK_SIZE
    scores, _ = compare_masks({"fp32": own, "int8": int8_of(own)}, photos, size)
    return float(np.mean(scores))
