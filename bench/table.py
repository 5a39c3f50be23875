"""The rows: what each measures, against what, and which figures would be good enough.

A criterion names one of a row's figures. `bar` is what it has to reach, `stretch` what would be better
still; either may be missing.
"""

from dataclasses import dataclass

AT_LEAST, AT_MOST = "≥", "≤"


@dataclass(frozen=True)
class Criterion:
    """What a figure has to reach: `figure` by its name in an outcome; `unit` is what its numbers are followed by ("×", "%", "ms")."""

    figure: str
    sign: str
    bar: float | None
    stretch: float | None = None
    unit: str = "×"


@dataclass(frozen=True)
class Row:
    """A row: `module` under `bench.rows` has the function `function`, which gives its outcome."""

    number: int
    what: str
    baseline: str
    module: str
    function: str
    criteria: tuple[Criterion, ...]


FP32, BF16 = "fp32 over plain", "bf16 over plain"

ROWS = (
    Row(1, "last-block maps, S/8 at 480 px, exact fp32", "plain; peers", "maps", "exact", (
        Criterion("efficiency fp32", AT_LEAST, 0.85, unit="%"),
        Criterion("over the quickest peer", AT_LEAST, 1.0),
        Criterion(FP32, AT_LEAST, None, 3.3),
    )),
    Row(2, "the same, bf16", "plain fp32", "maps", "bfloat16", (
        Criterion(BF16, AT_LEAST, 9, 13),
        Criterion("efficiency bf16", AT_LEAST, 0.6, unit="%"),
    )),
    Row(3, "the same without bf16 units: int8", "own fp32", "int8", "quantised", (
        Criterion("int8 over own fp32", AT_LEAST, 1.5, 2.5),
        Criterion("IoU of int8 masks", AT_LEAST, 0.97, unit=""),
    )),
    Row(4, "maps, S/16 at 480 px", "plain fp32", "maps", "coarse", (
        Criterion(FP32, AT_LEAST, 1.5),
        Criterion(BF16, AT_LEAST, 3, 4),
    )),
    Row(5, "extra memory of row 1", "plain fp32", "memory", "extra", (
        Criterion("fp32 share of plain", AT_MOST, 0.2),
        Criterion("bf16 share of plain", AT_MOST, 0.12, 0.07),
    )),
    Row(6, "maps of a folder of 64 JPEGs, end to end", "one by one, plain fp32", "folder", "folder", (
        Criterion(FP32, AT_LEAST, 1.6),
        Criterion(BF16, AT_LEAST, 3, 4),
    )),
    Row(7, "training step, S/16, 2×224 + 8×96 px, batch 8, CPU", "plain fp32", "training", "step", (
        Criterion(BF16, AT_LEAST, 2.5, 3.5),
        Criterion(FP32, AT_LEAST, 1.1),
    )),
    Row(8, "multi-crop from JPEG, one core", "PIL crops", "training", "crops", (
        Criterion("over PIL", AT_LEAST, 2.5, 4),
    )),
    Row(9, "training step, GPU, batch 64 and 256, synthetic", "plain fp16 with scaler", "gpu", "step", (
        Criterion("over plain, batch 64", AT_LEAST, 2, 2.6),
        Criterion("over plain, batch 256", AT_LEAST, 2, 2.6),
    )),
    Row(10, "training from JPEG, GPU", "row 9's rate", "gpu", "from_jpeg", (
        Criterion("of the synthetic rate", AT_LEAST, 0.9, 0.97, "%"),
        Criterion("share of time waiting for data", AT_MOST, 0.05, unit="%"),
    )),
    Row(11, "peak memory of row 9", "plain fp16", "gpu", "memory", (
        Criterion("share of plain, batch 64", AT_MOST, 0.6, 0.33),
    )),
    Row(12, "host synchronisations a step, outside logging", "–", "synchronisations", "count", (
        Criterion("reads of the device a step", AT_MOST, 0, unit=""),
    )),
    Row(13, "k-NN of 5,000 × 100,000 × 384", "scikit-learn, brute force", "neighbours", "knn", (
        Criterion("over scikit-learn", AT_LEAST, 2, 4),
    )),
    Row(14, "app: new photo to maps, S/16 at 480 px, beyond the forward", "–", "app", "new_photo", (
        Criterion("beyond the forward", AT_MOST, 60, 30, "ms"),
    )),
    Row(15, "app: a slider or a colour changed", "–", "app", "control", (
        Criterion("slowest control", AT_MOST, 100, 50, "ms"),
    )),
    Row(16, "`python -m dino --help`; first page of the app", "–", "app", "start", (
        Criterion("--help", AT_MOST, 1, unit="s"),
        Criterion("first page", AT_MOST, 3, unit="s"),
    )),
    Row(17, "bf16 masks against fp32 masks, 60 % mass, 448 px", "own fp32", "masks", "agreement", (
        Criterion("mean IoU", AT_LEAST, 0.975, 0.99, ""),
    )),
    Row(18, "`python -m dino attend` of one photo, S/16 at 480 px, forward and files included",
        '`python -c "import torch, timm"`', "app", "attend", (
        Criterion("over the imports", AT_MOST, 1.15, 0.9),
    )),
)  # fmt: skip
BY_NUMBER = {row.number: row for row in ROWS}
# Parts of the page beside the table, each the function of its name in the module of its name.
SECTIONS = ("levers", "growth", "processes")
