"""What is known of each evaluation: its name, what it measures, and which figures stand for it.

An evaluation that is not here still has a section, with its rows as they are.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dino.evaluation.report import Report, ReportRow
from dino.system.words import NATS, bits, is_number, label

_GB = 2**30
_KS = (20, 200)
_MASS = 0.6


@dataclass(frozen=True)
class Metric:
    """A column of figures: `name` as `published.json` spells it, how it is written, and where bars
    show it, that (`drawn`)."""

    name: str
    label: str
    unit: str
    digits: int = 1
    drawn: bool = True


@dataclass(frozen=True)
class Figure:
    """One row of figures that stand for an evaluation; `what` tells them apart."""

    what: str
    values: Mapping[str, float | None]


@dataclass(frozen=True)
class Task:
    """An evaluation: title, what it measures in a sentence (`summary`), its figures, and which rows
    to list."""

    title: str
    summary: str
    metrics: tuple[Metric, ...]
    figures: Callable[[Report], list[Figure]]
    listed: Callable[[Report], Iterable[ReportRow]] = lambda report: report.rows
    # Said of published figures beside the data set's, where more than that differs.
    caveat: str = ""


def _knn(report: Report) -> list[Figure]:
    """Take k = 20 and 200, which others publish, where they were measured; else the first."""
    rows = [row for row in report.rows if row.get("k") in _KS] or report.rows[:1]
    temperature = report.settings.get("temperature")
    suffix = "" if temperature is None else f", T = {temperature:g}"
    return [Figure(f"k = {row.get('k')}{suffix}", {"top1": row.get("top1")}) for row in rows]


def _figures_by_row(
    name: str,
    *,
    what: Callable[[ReportRow], str],
    keep: Callable[[ReportRow], bool] = lambda row: True,
    as_percent: bool = False,
) -> Callable[[Report], list[Figure]]:
    """Make a figure of each row that is to be kept: its value of `name`."""

    def value(row: ReportRow) -> float | None:
        return _percent(row.get(name)) if as_percent else row.get(name)

    return lambda report: [
        Figure(what(row), {name: value(row)}) for row in report.rows if keep(row)
    ]


def _segmentation(report: Report) -> list[Figure]:
    """Take the best head at 60 % of the mass, or at the first mass asked for; and objects
    discovered."""
    asked = report.settings.get("masses") or [_MASS]
    mass = _MASS if _MASS in asked else asked[0]
    figures = []
    for row in report.rows:
        values = {
            "jaccard": _percent(row.get("best_head")),
            "corloc": _percent(row.get("corloc")),
            "iou": _percent(row.get("iou")),
        }
        if row.get("mass") in (mass, None) and any(value is not None for value in values.values()):
            figures.append(Figure(_network(row, mass), values))
    return figures


def _network(row: ReportRow, mass: float) -> str:
    name, method = str(row.get("network")), row.get("method")
    if row.get("mass") not in (None, _MASS):
        return f"{name}, {mass:.0%} of mass"
    return name if method in (None, "attention", name) else f"{name}, {method}"


def _asked_masses(report: Report) -> list[ReportRow]:
    """List the masses that were asked for and what was discovered, without each single head; the curve
    is a chart."""
    asked = [*(report.settings.get("masses") or []), None]
    rows = [row for row in report.rows if row.get("mass") in asked]
    keys = dict.fromkeys(key for row in rows for key in row if not key.startswith("head_"))
    return [{key: row.get(key) for key in keys} for row in rows]


def final_rows(report: Report) -> list[ReportRow]:
    """List the rows of an ablation that say what came of a variant; the others are its curves."""
    return [row for row in report.rows if is_final(row)]


def is_final(row: ReportRow) -> bool:
    """Tell a row that says what came of a variant from one of its curve."""
    return row.get("part") != "curve"


def in_bits(row: ReportRow) -> ReportRow:
    """Turn the entropies and KL of a row, which files hold in nats, into bits."""
    return {k: bits(v) if k in NATS and is_number(v) else v for k, v in row.items()}


def _without_curves(report: Report) -> list[ReportRow]:
    return [
        {f"{k}, bits" if k in NATS else k: v for k, v in in_bits(row).items() if k != "part"}
        for row in final_rows(report)
    ]


def _cost(report: Report) -> list[Figure]:
    base = report.rows[0].get("step_s")
    return [
        Figure(
            str(row.get("crops")),
            {
                "step_s": row.get("step_s"),
                "images_per_s": row.get("images_per_s"),
                "relative": _ratio(row.get("step_s"), base),
                "memory": _ratio(row.get("peak_bytes"), _GB),
            },
        )
        for row in report.rows
    ]


def _named(row: ReportRow, *names: str) -> str:
    return ", ".join(str(row[name]) for name in names if row.get(name))


def _percent(value: Any) -> float | None:
    return 100 * value if is_number(value) else None


def _ratio(value: Any, base: Any) -> float | None:
    return value / base if is_number(value) and is_number(base) and base else None


_TOP1 = (Metric("top1", "top-1, %", "%"),)
TASKS: dict[str, Task] = {
    "knn": Task(
        "k-NN classification",
        "The share of photos whose class a vote of the nearest photos in feature space names; "
        "nothing is trained.",
        _TOP1,
        _knn,
    ),
    "linear": Task(
        "Linear probe",
        "The share of photos whose class a linear classifier names, trained on features that stay "
        "as they are.",
        _TOP1,
        _figures_by_row(
            "top1",
            what=lambda row: f"rate {row.get('rate')}",
            keep=lambda row: bool(row.get("chosen")),
        ),
    ),
    "segmentation": Task(
        "Attention as masks",
        "How well the attention of the last block, cut at a share of its mass (60 % unless said), "
        "covers outlined objects (Jaccard index J; the best head is an oracle that knows each one), "
        "and how often a box found without labels meets an object (CorLoc).",
        (
            Metric("jaccard", "J, best head (oracle), %", "%"),
            Metric("corloc", "CorLoc, %", "%"),
            Metric("iou", "IoU, %", "%", drawn=False),
        ),
        _segmentation,
        _asked_masses,
    ),
    "video": Task(
        "Video object segmentation",
        "How well masks of a video's first frame, carried along by likeness of patch features, "
        "cover the objects in later ones (J) and follow their outlines (F).",
        (Metric("j_and_f", "J&F, %", "%"),),
        _figures_by_row(
            "j_and_f",
            what=lambda row: str(row.get("network")),
            # The means over all objects; each object has a row too.
            keep=lambda row: row.get("object") is None,
            as_percent=True,
        ),
    ),
    "retrieval": Task(
        "Retrieval of landmarks",
        "How early photos of the same landmark come when all photos are ordered by likeness to one.",
        (Metric("map", "mAP, %", "%"),),
        _figures_by_row("map", what=lambda row: _named(row, "network", "protocol")),
    ),
    "copies": Task(
        "Copy detection",
        "How early the original comes when all photos are ordered by likeness to a distorted copy.",
        (Metric("map", "mAP, %", "%"),),
        _figures_by_row(
            "map",
            what=lambda row: _named(row, "network", "distortion"),
            # The strongest distortions, as the paper has them, and all together; each has a row too.
            keep=lambda row: row.get("distortion") in ("strong", "all"),
        ),
    ),
    "ablation": Task(
        "Ablation of the method",
        "What is left of the features when one part of DINO is taken away, all else equal: k-NN after "
        "short runs, and whether the teacher's outputs collapse.",
        (Metric("knn", "k-NN, %", "%"),),
        _figures_by_row("knn", what=lambda row: str(row.get("variant")), keep=is_final),
        _without_curves,
        caveat="not the same training",
    ),
    "cost": Task(
        "Time and memory of training",
        "How long a training step takes and how much memory it holds by the number of local crops; "
        "accuracy and hours are the paper's, of 100 epochs on two 8-GPU machines.",
        (
            Metric("step_s", "s a step", "s", 3, drawn=False),
            Metric("images_per_s", "images/s", "images/s", 1, drawn=False),
            Metric("relative", "time, first row = 1", "×", 2),
            Metric("memory", "peak memory, GB", "GB", 2, drawn=False),
            Metric("hours", "hours", "h", drawn=False),
            Metric("top1", "linear top-1, %", "%", drawn=False),
        ),
        _cost,
        caveat="not the same machine",
    ),
}


def task_of(name: str) -> Task:
    """Look an evaluation up; an unknown one has nothing to show but its rows."""
    return TASKS.get(name) or Task(label(name).capitalize(), "", (), lambda report: [])
