"""`eval segmentation`: how well thresholded attention, and objects found in keys, meet outlined ones."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.cli.evaluate import shared

if TYPE_CHECKING:
    from dino.evaluation.segmentation import SegmentationResult

Resample = StrEnum("Resample", ["bicubic", "bilinear"])

_ORACLE = (
    "J: mean over a photo's objects, then over photos. Best head: an oracle, which knows each object "
    "and takes the head that covers it best."
)
_FOUND = (
    "J best: of the masks found, the best for each object (an oracle where there are several). J "
    "first and CorLoc (box IoU above 0.5 with any object's): of the first mask. IoU, accuracy and F "
    "(β² = 0.3): of all masks together with all objects together; max F: of the score map."
)

_COLUMNS = {
    "network": ("network", ""),
    "mass": ("mass", ".0%"),
    "J best head (oracle)": ("best_head", ".3f"),
    "J mean of heads": ("mean_head", ".3f"),
}
_FOUND_COLUMNS = {
    "network": ("network", ""),
    "method": ("method", ""),
    "J best": ("best_mask", ".3f"),
    "J first": ("first_mask", ".3f"),
    "CorLoc": ("corloc", ".3f"),
    "IoU": ("iou", ".3f"),
    "accuracy": ("accuracy", ".3f"),
    "F": ("f_beta", ".3f"),
    "max F": ("max_f", ".3f"),
    "found": ("num_found", ".1f"),
}


@run.with_options
def segmentation(
    data: Annotated[
        Path, typer.Option(help="Folder with images/ and masks/, a VOC2012 folder, or a COCO JSON.")
    ],
    loading: run.Loading = run.Loading(),
    size: shared.SquareSize = 480,
    masses: Annotated[
        str, typer.Option(help="Shares of a head's attention that masks hold.")
    ] = "0.6,0.8",
    random: shared.RandomTwin = True,
    twin: Annotated[
        str | None, typer.Option(help="Other weights to put beside, such as a supervised twin.")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder of a COCO JSON's photos. Default: beside it.")
    ] = None,
    discovery: Annotated[
        str, typer.Option(help="Methods that find objects in keys, or none.")
    ] = "lost,tokencut,maskcut",
    keys: run.KeysOption = run.Keys.auto,
    split: Annotated[str, typer.Option(help="Which list of a VOC folder.")] = "val",
    resample: Annotated[Resample, typer.Option(help="How photos are resized.")] = Resample.bicubic,
    out: run.Out = Path("results"),
    threads: run.Threads = None,
) -> None:
    """Measure the Jaccard index of last-block attention with outlined objects, as in the paper's Fig. 4.

    The best head is an oracle: it is chosen for each object, knowing the answer. Beside it what
    LOST, TokenCut and MaskCut find: J, CorLoc, IoU, accuracy and F.
    """
    from dino.attention.mass import check_mass
    from dino.evaluation.mask_data import open_masks
    from dino.evaluation.segmentation import CURVE_MASSES, attention_jaccard
    from dino.features.embedding import whole_patches

    named = run.distinct_numbers(masses, float, "--masses")
    for mass in named:
        check_mass(mass)
    methods = _methods(discovery)
    found = open_masks(data, photos=photos, split=split)
    with shared.begin(loading, threads=threads, out=out) as evaluation:
        networks = evaluation.networks(random=random, twin=twin, vit_only=True)
        options: run.Row = {"resample": resample.value, "discovery": methods, "keys": keys.value}
        measured = {
            role: attention_jaccard(
                network,
                found,
                size=size,
                masses=sorted({*named, *CURVE_MASSES}),
                progress=run.progress(role, "photos"),
                world=evaluation.world,
                **options,
            )
            for role, network in networks.items()
        }
        first, rows = measured["weights"], _rows(measured)
        evaluation.finish(
            "segmentation",
            data={
                "path": str(data),
                "layout": found.layout,
                "num_images": first.num_photos,
                "num_objects": first.num_objects,
                "num_without_object": first.num_without_object,
            },
            settings={
                "size": whole_patches(size, evaluation.backbone.patch_size),
                "masses": named,
                **options,
                "networks": shared.identities(networks),
                "best_head": "oracle: the best head of each object",
                "best_mask": "oracle: the best mask found for each object",
            },
            rows=rows,
            table=_table(shared.name_networks(rows, networks), named),
            note=_note(shared.name_networks(rows, networks)),
            unreadable=first.unreadable,
        )


def _methods(text: str) -> list[str]:
    """Read the methods between commas, each once; none for "none"."""
    from dino.masks.discovery.methods import check_method

    if text.strip() == "none":
        return []
    methods = list(dict.fromkeys(word.strip() for word in text.split(",")))
    for method in methods:
        check_method(method)
    return methods


def _rows(results: "dict[str, SegmentationResult]") -> list[run.Row]:
    """Make a row of every mass and method of every network; last the baseline, which marks whole photos."""
    rows: list[run.Row] = [
        {
            "network": role,
            "method": "attention",
            "mass": at.mass,
            "best_head": at.best_head,
            "mean_head": at.mean_head,
            **{f"head_{number}": value for number, value in enumerate(at.heads)},
        }
        for role, result in results.items()
        for at in result.masses
    ]
    everything = results["weights"].all_foreground
    baseline: run.Row = {
        "network": "all foreground",
        "method": "all foreground",
        "mass": None,
        "best_head": everything,
        "mean_head": everything,
    }
    for role, result in results.items():
        for found in result.discovery[:-1]:
            rows.append({"network": role, "method": found.method, "mass": None, **asdict(found)})
    if discovery := results["weights"].discovery:  # the last is the whole photo as an object
        baseline |= asdict(discovery[-1])
    return [*rows, baseline]


def _table(rows: list[run.Row], masses: list[float]) -> list[dict[str, str]]:
    """Write the masses asked for of every network, and the baseline."""
    measured = {(row["network"], row["mass"]): row for row in rows if row["method"] == "attention"}
    roles = dict.fromkeys(role for role, _ in measured)
    shown = [measured[role, mass] for role in roles for mass in masses]
    return shared.as_text([*shown, rows[-1]], _COLUMNS)


def _note(rows: list[run.Row]) -> str:
    """Say what the figures mean, with a table of the objects found if any were sought."""
    from dino.evaluation.report import table

    found = [row for row in rows if row["mass"] is None]
    if len(found) == 1:  # the baseline alone
        return _ORACLE
    found[-1] = found[-1] | {"method": None}
    return f"{_ORACLE}\n\n{table(shared.as_text(found, _FOUND_COLUMNS))}\n{_FOUND}"
