"""`eval knn|linear|segmentation`: the paper's measures of frozen features, on your own photos.

    python -m dino eval knn --train data/train --val data/val --weights dino_vits16
    python -m dino eval linear --train data/train --val data/val --frozen-features
    python -m dino eval segmentation --data VOCdevkit/VOC2012

Each prints a table, writes results.json and results.csv and appends to history.jsonl below --out.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import (
    evaluate_ablation,
    evaluate_attention,
    evaluate_copies,
    evaluate_cost,
    evaluate_report,
    evaluate_retrieval,
    evaluate_video,
)
from dino.cli.feature_options import Cache, NoCache, Workers
from dino.cli.measurement import (
    Measurement,
    Out,
    Row,
    Threads,
    data_row,
    numbers,
    open_classes,
    reading,
)
from dino.cli.options import Device, Key, Precision, PrecisionOption, Weights
from dino.cli.progress import progress

if TYPE_CHECKING:
    from dino.evaluation.linear import LinearResult
    from dino.features.data import CenterCrop
    from dino.features.probe import ProbeSettings
    from dino.media.photo_folders import PhotoFolder

app = typer.Typer(
    help="Measure features: k-NN, linear probe, segmentation by attention.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Train = Annotated[
    Path, typer.Option(help="Folder of training photos, a sub-folder a class.", show_default=False)
]
Val = Annotated[
    Path, typer.Option(help="Folder of the photos to report on, likewise.", show_default=False)
]
Size = Annotated[int, typer.Option(help="Side of the crop in px, down to whole patches.", min=1)]
Resize = Annotated[
    int | None,
    typer.Option(help="Short side in px before the centre crop. Default: size · 256/224.", min=1),
]


@app.command()
def knn(
    train: Train,
    val: Val,
    weights: Weights = None,
    size: Size = 224,
    resize: Resize = None,
    k: Annotated[str, typer.Option(help="Numbers of neighbours.")] = "10,20,100,200",
    temperature: Annotated[
        float, typer.Option(help="A neighbour's vote weighs exp(cosine / temperature).")
    ] = 0.07,
    out: Out = Path("results"),
    cache: Cache = None,
    no_cache: NoCache = False,
    workers: Workers = 2,
    threads: Threads = None,
    key: Key = "teacher",
    device: Device = "auto",
    precision: PrecisionOption = Precision.auto,
) -> None:
    """Weighted nearest neighbours of CLS tokens: nothing to train, nothing to tune."""
    from dino.errors import UserError
    from dino.features.data import whole_patches
    from dino.features.knn import knn_accuracy

    neighbours = numbers(k, int, "--k")
    if min(neighbours) < 1 or not temperature > 0:
        raise UserError(
            f"got --k {k} and --temperature {temperature}; expected 1 or more, and above 0"
        )
    folders = open_classes(train, val, "k-NN")
    loading: Row = {"key": key, "device": device, "precision": precision, "threads": threads}
    with Measurement(weights, **loading, out=out, cache=cache, no_cache=no_cache) as run:
        crop: Row = {"size": whole_patches(size, run.backbone.patch_size), "resize": resize}
        a, b = (run.cache.cls(run.backbone, f, **crop, **reading(f, workers)) for f in folders)
        rows = []
        for number in neighbours:
            found = knn_accuracy(
                a.cls, a.labels, b.cls, b.labels, k=number, temperature=temperature
            )
            rows.append({"k": number, "top1": found.top1, "top5": found.top5})
        run.finish(
            "knn",
            data=data_row(folders, len(a.labels), len(b.labels)),
            settings={**crop, "temperature": temperature},
            rows=rows,
            shown=[{"k": str(row["k"]), **_percents(row, "top1", "top5")} for row in rows],
            unreadable=[*a.unreadable, *b.unreadable],
        )


@app.command()
def linear(
    train: Train,
    val: Val,
    weights: Weights = None,
    frozen_features: Annotated[
        bool,
        typer.Option(
            "--frozen-features", help="Centre crops once, instead of new random crops each epoch."
        ),
    ] = False,
    flip: Annotated[
        bool, typer.Option("--flip", help="With --frozen-features: mirror images as well.")
    ] = False,
    size: Size = 224,
    resize: Resize = None,
    rates: Annotated[
        str | None,
        typer.Option(
            help="Learning rates per 256 images of a batch. Default: eight from 0.0001 to 0.3.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training photos.", min=1)] = 100,
    batch_size: Annotated[int, typer.Option(help="Photos a step.", min=1)] = 256,
    held_out: Annotated[
        float, typer.Option(help="Share of train that chooses the learning rate.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Seed of order, crops and held-out part.", min=0)] = 0,
    out: Out = Path("results"),
    cache: Cache = None,
    no_cache: NoCache = False,
    workers: Workers = 2,
    threads: Threads = None,
    key: Key = "teacher",
    device: Device = "auto",
    precision: PrecisionOption = Precision.auto,
) -> None:
    """Train a linear classifier on frozen features; val has no part in choosing its rate."""
    from dino.errors import UserError
    from dino.features.data import CenterCrop, whole_patches
    from dino.features.probe import RATES, ProbeSettings

    if flip and not frozen_features:
        raise UserError("--flip belongs to --frozen-features; random crops are mirrored anyway")
    chosen = tuple(numbers(rates, float, "--rates")) if rates else RATES
    settings = ProbeSettings(chosen, epochs, batch_size, held_out, seed)
    folders = open_classes(train, val, "a linear probe")
    loading: Row = {"key": key, "device": device, "precision": precision, "threads": threads}
    with Measurement(weights, **loading, out=out, cache=cache, no_cache=no_cache) as run:
        crop = CenterCrop(whole_patches(size, run.backbone.patch_size), resize, flip)
        probe = _probe_frozen if frozen_features else _probe_crops
        result = probe(run, folders, crop, settings, workers)
        rows = [_rate_row(result, number) for number in range(len(result.rates))]
        run.finish(
            "linear",
            data=data_row(folders, result.num_train, result.num_val),
            settings={
                "protocol": result.protocol,
                "num_held_out": result.num_held_out,
                **asdict(settings),
                **asdict(crop),
            },
            rows=rows,
            shown=[_rate_words(row) for row in rows],
            unreadable=result.unreadable,
        )


evaluate_attention.register(app)
evaluate_ablation.register(app)
evaluate_cost.register(app)
evaluate_report.register(app)
evaluate_video.register(app)
evaluate_retrieval.register(app)
evaluate_copies.register(app)


def _probe_frozen(
    run: Measurement,
    folders: "tuple[PhotoFolder, PhotoFolder]",
    crop: "CenterCrop",
    settings: "ProbeSettings",
    workers: int,
) -> "LinearResult":
    from dino.evaluation.linear import linear_frozen

    train, val = folders
    a = run.cache.views(run.backbone, train, crop, **reading(train, workers))
    b = run.cache.views(run.backbone, val, replace(crop, flip=False), **reading(val, workers))
    result = linear_frozen(
        a,
        b,
        settings=settings,
        device=run.backbone.device,
        progress=progress("linear probe", "epochs"),
    )
    return replace(result, unreadable=a.unreadable + b.unreadable)


def _probe_crops(
    run: Measurement,
    folders: "tuple[PhotoFolder, PhotoFolder]",
    crop: "CenterCrop",
    settings: "ProbeSettings",
    workers: int,
) -> "LinearResult":
    from dino.evaluation.linear import linear_crops

    train, val = folders
    b = run.cache.views(run.backbone, val, crop, **reading(val, workers))
    result = linear_crops(
        run.backbone,
        train,
        b,
        size=crop.size,
        resize=crop.resize,
        settings=settings,
        workers=workers,
        progress=progress("linear probe", "photos"),
        world=run.world,
    )
    return replace(result, unreadable=result.unreadable + b.unreadable)


def _rate_row(result: "LinearResult", number: int) -> Row:
    found = result.rates[number]
    return {
        "rate": found.rate,
        "chosen": found.rate == result.rate,
        "held_out_top1": found.held_out_top1,
        "top1": found.val.top1,
        "top5": found.val.top5,
    }


def _rate_words(row: Row) -> dict[str, str]:
    held = row["held_out_top1"]
    return {
        "rate": f"{row['rate']:g}",
        "held-out top-1 %": "–" if held is None else f"{held:.2f}",
        **_percents(row, "top1", "top5"),
        "": "chosen" if row["chosen"] else "",
    }


def _percents(row: Row, *names: str) -> dict[str, str]:
    return {f"val {name[:3]}-{name[3:]} %": f"{row[name]:.2f}" for name in names}
