"""`eval segmentation`: how well thresholded attention covers outlined objects."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli.measurement import Measurement, Out, Row, Threads, numbers
from dino.cli.options import Device, Key, Precision, PrecisionOption, Weights
from dino.cli.progress import progress

if TYPE_CHECKING:
    from dino.backbone import Backbone
    from dino.evaluation.mask_data import MaskData
    from dino.evaluation.segmentation import SegmentationResult
    from dino.processes import World

_ORACLE = (
    "J: mean over a photo's objects, then over photos. Best head: an oracle, which knows each object "
    "and takes the head that covers it best."
)


class Resample(StrEnum):
    """How photos are resized."""

    bicubic = "bicubic"
    bilinear = "bilinear"


def segmentation(
    data: Annotated[
        Path,
        typer.Option(
            help="Folder with images/ and masks/, a VOC2012 folder, or a COCO JSON.",
            show_default=False,
        ),
    ],
    weights: Weights = None,
    size: Annotated[
        int,
        typer.Option(
            help="Both sides in px that photos are stretched to, down to whole patches.", min=1
        ),
    ] = 480,
    masses: Annotated[
        str, typer.Option(help="Shares of a head's attention that masks hold.")
    ] = "0.6,0.8",
    random: Annotated[
        bool, typer.Option("--random/--no-random", help="The same network with random weights too.")
    ] = True,
    twin: Annotated[
        str | None,
        typer.Option(help="Other weights to put beside, such as a supervised twin."),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a COCO JSON's photos. Default: beside it.", show_default=False
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Which list of a VOC folder.")] = "val",
    resample: Annotated[Resample, typer.Option(help="How photos are resized.")] = Resample.bicubic,
    out: Out = Path("results"),
    threads: Threads = None,
    key: Key = "teacher",
    device: Device = "auto",
    precision: PrecisionOption = Precision.auto,
) -> None:
    """Jaccard index of last-block attention with outlined objects, as in the paper's Fig. 4.

    The best head is an oracle: it is chosen for each object, knowing the answer.
    """
    from dino.evaluation.mask_data import open_masks
    from dino.evaluation.probe_features import whole_patches
    from dino.evaluation.random_twin import random_twin
    from dino.masks import check_mass

    named = numbers(masses, float, "--masses")
    for mass in named:
        check_mass(mass)
    found = open_masks(data, photos=photos, split=split)
    loading: Row = {"key": key, "device": device, "precision": precision, "threads": threads}
    with Measurement(weights, **loading, out=out) as run:
        networks = {"weights": run.backbone}
        if twin:
            networks["twin"] = run.load(twin)
        if random:
            networks["random weights"] = random_twin(run.backbone)
        options: Row = {"size": size, "masses": named, "resample": resample.value}
        measured = {
            role: _measure(role, n, found, run.world, **options) for role, n in networks.items()
        }
        first = measured["weights"]
        run.finish(
            "segmentation",
            data={
                "path": str(data),
                "layout": found.layout,
                "num_images": first.num_photos,
                "num_objects": first.num_objects,
                "num_without_object": first.num_without_object,
            },
            settings={
                **options,
                "size": whole_patches(size, run.backbone.patch_size),
                "networks": {role: [n.name, n.weights_sha256] for role, n in networks.items()},
                "best_head": "oracle: the best head of each object",
            },
            rows=_rows(measured),
            shown=_words(measured, named),
            note=_ORACLE,
            unreadable=first.unreadable,
        )


def _measure(
    role: str,
    network: "Backbone",
    data: "MaskData",
    world: "World",
    *,
    size: int,
    masses: list[float],
    resample: str,
) -> "SegmentationResult":
    """The masses asked for and the curve around them, with progress."""
    from dino.evaluation.segmentation import CURVE_MASSES, attention_jaccard

    return attention_jaccard(
        network,
        data,
        size=size,
        masses=sorted({*masses, *CURVE_MASSES}),
        resample=resample,
        progress=progress(role, "photos"),
        world=world,
    )


def register(app: typer.Typer) -> None:
    """Add this module's command to the evaluations."""
    app.command()(segmentation)


def _rows(results: "dict[str, SegmentationResult]") -> list[Row]:
    """Every mass of every network, and the baseline that marks whole photos."""
    rows: list[Row] = [
        {
            "network": role,
            "mass": at.mass,
            "best_head": at.best_head,
            "mean_head": at.mean_head,
            **{f"head_{number}": value for number, value in enumerate(at.heads)},
        }
        for role, result in results.items()
        for at in result.masses
    ]
    everything = results["weights"].all_foreground
    baseline = {"mass": None, "best_head": everything, "mean_head": everything}
    return [*rows, {"network": "all foreground", **baseline}]


def _words(results: "dict[str, SegmentationResult]", masses: list[float]) -> list[dict[str, str]]:
    rows = [
        (role, f"{mass:.0%}", result.at(mass).best_head, result.at(mass).mean_head)
        for role, result in results.items()
        for mass in masses
    ]
    everything = results["weights"].all_foreground
    rows.append(("all foreground", "–", everything, everything))
    return [
        {
            "network": role,
            "mass": mass,
            "J best head (oracle)": f"{best:.3f}",
            "J mean of heads": f"{mean:.3f}",
        }
        for role, mass, best, mean in rows
    ]
