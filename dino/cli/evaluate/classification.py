"""`eval knn` and `eval linear`: the paper's measures of frozen features, on your own photos.

    python -m dino eval knn --train data/train --val data/val --weights dino_vits16
    python -m dino eval linear --train data/train --val data/val --frozen-features

Each prints a table, writes results.json and results.csv and appends to history.jsonl below --out.
"""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.cli.evaluate import shared
from dino.system.words import counted

if TYPE_CHECKING:
    from dino.evaluation.linear import LinearResult
    from dino.features.data import CenterCrop
    from dino.features.probe import ProbeSettings
    from dino.media.photo_folders import PhotoFolder

Train = Annotated[Path, typer.Option(help="Folder of training photos, a sub-folder a class.")]
Val = Annotated[Path, typer.Option(help="Folder of the photos to report on, likewise.")]
Size = Annotated[int, typer.Option(help="Side of the crop in px, down to whole patches.", min=1)]
Resize = Annotated[
    int | None,
    typer.Option(help="Short side in px before the centre crop. Default: size · 256/224.", min=1),
]

_ACCURACIES = {"val top-1 %": ("top1", ".2f"), "val top-5 %": ("top5", ".2f")}
_RATE_COLUMNS = {"rate": ("rate", "g"), "held-out top-1 %": ("held_out_top1", ".2f"), **_ACCURACIES}


@run.with_options
def knn(
    train: Train,
    val: Val,
    loading: run.Loading = run.Loading(),
    size: Size = 224,
    resize: Resize = None,
    k: Annotated[str, typer.Option(help="Numbers of neighbours.")] = "10,20,100,200",
    temperature: Annotated[
        float, typer.Option(help="A neighbour's vote weighs exp(cosine / temperature).")
    ] = 0.07,
    out: run.Out = Path("results"),
    cache: shared.Cache = None,
    no_cache: shared.NoCache = False,
    workers: run.Workers = 2,
    threads: run.Threads = None,
) -> None:
    """Classify by weighted nearest neighbours of CLS tokens: nothing to train, nothing to tune."""
    from dino.errors import UserError
    from dino.features.embedding import whole_patches
    from dino.features.knn import knn_accuracy

    neighbours = run.distinct_numbers(k, int, "--k")
    if min(neighbours) < 1 or not temperature > 0:
        raise UserError(
            f"got --k {k} and --temperature {temperature}; expected 1 or more, and above 0"
        )
    folders = shared.open_two_folders(train, val, "k-NN")
    with shared.begin(
        loading, threads=threads, out=out, cache=cache, no_cache=no_cache
    ) as evaluation:
        crop: run.Row = {
            "size": whole_patches(size, evaluation.backbone.patch_size),
            "resize": resize,
        }
        a, b = (
            evaluation.cache.cls(evaluation.backbone, folder, **crop, **_reading(folder, workers))
            for folder in folders
        )
        if too_many := [number for number in neighbours if number > len(a.labels)]:
            run.print_status(
                f"--k {','.join(map(str, too_many))} is more than the {counted(len(a.labels), 'photo')} of "
                f"{train}: all of them vote"
            )
        rows: list[run.Row] = []
        for number in neighbours:
            found = knn_accuracy(
                a.cls, a.labels, b.cls, b.labels, k=number, temperature=temperature
            )
            rows.append({"k": number, "top1": found.top1, "top5": found.top5})
        evaluation.finish(
            "knn",
            data=_data_row(folders, len(a.labels), len(b.labels)),
            settings={**crop, "temperature": temperature},
            rows=rows,
            table=shared.as_text(rows, {"k": ("k", ""), **_ACCURACIES}),
            unreadable=[*a.unreadable, *b.unreadable],
        )


@run.with_options
def linear(
    train: Train,
    val: Val,
    loading: run.Loading = run.Loading(),
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
            help="Learning rates per 256 images of a batch. Default: eight from 0.0001 to 0.3."
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training photos.", min=1)] = 100,
    batch_size: Annotated[int, typer.Option(help="Photos a step.", min=1)] = 256,
    held_out: Annotated[
        float, typer.Option(help="Share of train that chooses the learning rate.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Seed of order, crops and held-out part.", min=0)] = 0,
    out: run.Out = Path("results"),
    cache: shared.Cache = None,
    no_cache: shared.NoCache = False,
    workers: run.Workers = 2,
    threads: run.Threads = None,
) -> None:
    """Train a linear classifier on frozen features; val has no part in choosing its rate."""
    from dino.errors import UserError
    from dino.features.data import CenterCrop
    from dino.features.embedding import whole_patches
    from dino.features.probe import RATES, ProbeSettings

    if flip and not frozen_features:
        raise UserError("--flip belongs to --frozen-features; random crops are mirrored anyway")
    chosen = tuple(run.distinct_numbers(rates, float, "--rates")) if rates else RATES
    settings = ProbeSettings(chosen, epochs, batch_size, held_out, seed)
    folders = shared.open_two_folders(train, val, "a linear probe")
    with shared.begin(
        loading, threads=threads, out=out, cache=cache, no_cache=no_cache
    ) as evaluation:
        crop = CenterCrop(whole_patches(size, evaluation.backbone.patch_size), resize, flip)
        result = _probe(evaluation, folders, crop, settings, workers, frozen=frozen_features)
        rows: list[run.Row] = [
            {
                "rate": found.rate,
                "chosen": found.rate == result.rate,
                "held_out_top1": found.held_out_top1,
                "top1": found.val.top1,
                "top5": found.val.top5,
            }
            for found in result.rates
        ]
        lines = shared.as_text(rows, _RATE_COLUMNS)
        evaluation.finish(
            "linear",
            data=_data_row(folders, result.num_train, result.num_val),
            settings={
                "protocol": result.protocol,
                "num_held_out": result.num_held_out,
                **asdict(settings),
                **asdict(crop),
            },
            rows=rows,
            table=[
                {**line, "": "chosen" if row["chosen"] else ""}
                for line, row in zip(lines, rows, strict=True)
            ],
            unreadable=result.unreadable,
        )


def _probe(
    evaluation: shared.Evaluation,
    folders: "tuple[PhotoFolder, PhotoFolder]",
    crop: "CenterCrop",
    settings: "ProbeSettings",
    workers: int,
    *,
    frozen: bool,
) -> "LinearResult":
    """Train the classifiers: on features read once where `frozen`, else on new crops each epoch."""
    from dino.evaluation.linear import linear_crops, linear_frozen

    train, val = folders
    views = partial(evaluation.cache.views, evaluation.backbone)
    a = views(train, crop, **_reading(train, workers)) if frozen else None
    b = views(val, replace(crop, flip=False), **_reading(val, workers))
    if a is not None:
        progress = run.progress("linear probe", "epochs")
        device = evaluation.backbone.device
        result = linear_frozen(a, b, settings=settings, device=device, progress=progress)
        return replace(result, unreadable=a.unreadable + b.unreadable)
    result = linear_crops(
        evaluation.backbone,
        train,
        b,
        size=crop.size,
        resize=crop.resize,
        settings=settings,
        workers=workers,
        progress=run.progress("linear probe", "photos"),
        world=evaluation.world,
    )
    return replace(result, unreadable=result.unreadable + b.unreadable)


def _reading(folder: "PhotoFolder", workers: int) -> run.Row:
    """Say how a folder's photos are read, and how the progress of it is shown."""
    show = run.progress(f"features of {folder.root}", "photos")
    return {"workers": workers, "progress": show}


def _data_row(folders: "tuple[PhotoFolder, PhotoFolder]", num_train: int, num_val: int) -> run.Row:
    """Describe what was measured on, and what it was compared with."""
    train, val = folders
    return {
        "path": str(val.root),
        "num_images": num_val,
        "train_path": str(train.root),
        "num_train": num_train,
        "num_classes": len(train.classes),
    }
