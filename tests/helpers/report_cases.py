"""Reports as evaluations leave them, and a history of them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dino.evaluation.report import Report

SHA = "ab" * 32


def knn_report(**changes: Any) -> Report:
    """Make a report of k-NN on a small folder."""
    values: dict[str, Any] = {
        "task": "knn",
        "weights": {
            "name": "mine",
            "sha256": SHA,
            "description": "a network",
            "is_random": False,
            "precision": "fp32",
        },
        "data": {
            "path": "/home/someone/photos/imagenette/val",
            "num_images": 150,
            "train_path": "/home/someone/photos/imagenette/train",
            "num_train": 400,
            "num_classes": 10,
        },
        "settings": {"size": 224, "resize": None, "temperature": 0.07},
        "rows": [{"k": 10, "top1": 61.0, "top5": 90.0}, {"k": 20, "top1": 62.34, "top5": 91.5}],
        "seconds": 12.5,
        "threads": 2,
        "device": "cpu",
        "date": "2026-01-02T03:04:05+00:00",
    }
    return Report(**{**values, **changes})


def masks_report(**changes: Any) -> Report:
    """Make a report of Jaccard over mass of two networks, and of whole photos."""
    rows: list[dict[str, Any]] = [
        {
            "network": network,
            "method": "attention",
            "mass": mass,
            "best_head": best,
            "mean_head": best / 2,
            "head_0": best,
        }
        for network, top in (("weights", 0.5), ("random weights", 0.3))
        for mass, best in ((0.5, top - 0.1), (0.6, top), (0.7, top - 0.05))
    ]
    rows.append({"network": "weights", "method": "lost", "mass": None, "corloc": 0.6, "iou": 0.4})
    rows.append({"network": "all foreground", "mass": None, "best_head": 0.25, "mean_head": 0.25})
    values: dict[str, Any] = {
        "task": "segmentation",
        "data": {"path": "caltech", "layout": "images and masks", "num_images": 3},
        "settings": {"size": 480, "masses": [0.6]},
        "rows": rows,
    }
    return knn_report(**{**values, **changes})


def ablation_report() -> Report:
    """Make a report of two variants with curves of three points."""
    rows: list[dict[str, Any]] = [
        {"part": "end", "variant": name, "knn": knn, "max_entropy": 3.47, "collapse": None}
        for name, knn in (("full", 40.0), ("no-centering", 12.0))
    ]
    rows += [
        {"part": "curve", "variant": name, "step": step, "kl": kl, "teacher_entropy": 3.0}
        for name, kl in (("full", 0.5), ("no-centering", 0.0))
        for step in (1, 2, 3)
    ]
    weights = {"name": "vit_tiny/16", "sha256": None, "description": "", "precision": "fp32"}
    return knn_report(task="ablation", weights=weights, settings={"epochs": 2}, rows=rows)


def write_history(folder: Path, *lines: Report | str) -> Path:
    """Write a history.jsonl of reports, and of lines as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    text = [one if isinstance(one, str) else json.dumps(asdict(one)) for one in lines]
    (folder / "history.jsonl").write_text("\n".join(text) + "\n")
    return folder


def results(folder: Path) -> dict[str, Any]:
    """Read what an evaluation wrote."""
    return json.loads((folder / "results.json").read_text())
