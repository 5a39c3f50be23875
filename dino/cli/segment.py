"""`segment`: masks of what heads attend to, or of the objects in a photo, and the options that make them."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.cli.drawing import Printing

if TYPE_CHECKING:
    import numpy as np

    from dino.masks.settings import Mask
    from dino.system.files import File

# Spelled again, as in `run`.
Combine = StrEnum("Combine", ["union", "mean"])
Method = StrEnum("Method", ["mass", "otsu", "kmeans", "lost", "tokencut", "maskcut"])
Refine = StrEnum("Refine", ["none", "guided", "grabcut"])

Heads = Annotated[
    str | None, typer.Option(help="Heads that take part, such as 0,3,5. Default: all.")
]
CombineOption = Annotated[
    Combine, typer.Option(help="union of the heads' masks, or the mask of their mean.")
]
MethodOption = Annotated[
    Method,
    typer.Option(
        help="mass: the fewest patches that hold --mass; otsu: those above Otsu's threshold; "
        "kmeans: clusters of features with more attention than the photo's mean; lost, tokencut: "
        "one object from the last block's keys; maskcut: up to --objects of them."
    ),
]
Clusters = Annotated[int, typer.Option(help="Clusters of --method kmeans, 2 to 32.")]
MinArea = Annotated[
    float, typer.Option(help="Drop pieces of a smaller share of the photo, such as 0.01.")
]
Largest = Annotated[bool, typer.Option("--largest", help="Keep the largest piece only.")]
FillHoles = Annotated[bool, typer.Option("--fill-holes", help="Fill what the mask encloses.")]
RefineOption = Annotated[
    Refine,
    typer.Option(
        help="Move the edge to the photo's own: by a colour-guided filter, or by GrabCut."
    ),
]


@run.with_options
def segment(
    photos: run.Photos,
    loading: run.Loading = run.Loading(),
    size: run.Size = 480,
    mass: run.Mass = run.DEFAULT_MASS,
    out: run.Out = Path("out"),
    heads: Heads = None,
    combine: CombineOption = Combine.mean,
    method: MethodOption = Method.mass,
    clusters: Clusters = 4,
    objects: Annotated[
        int, typer.Option(help="Objects that --method maskcut finds at most, 1 to 9.")
    ] = 3,
    keys: run.KeysOption = run.Keys.auto,
    min_area: MinArea = 0.0,
    largest: Largest = False,
    fill_holes: FillHoles = False,
    refine: RefineOption = Refine.none,
    printing: Printing = Printing(),
    fit: run.FitOption = run.Fit.floor,
) -> None:
    """Cut out what the heads attend to, or the objects in a photo.

    Writes mask.png and cutout.png, a folder a photo, and one coco.json; of several objects
    object-1.png and so on too.
    """
    run.import_torch()
    from dino.attention.mass import check_heads
    from dino.masks import coco, files
    from dino.masks.discovery.methods import table_bytes
    from dino.masks.proposals import merge_masks, propose_objects
    from dino.masks.settings import MaskSettings
    from dino.model.parallel import photos_at_once

    settings = MaskSettings(
        size=size,
        mass=mass,
        heads=parse_heads(heads),
        combine=combine.value,
        method=method.value,
        clusters=clusters,
        objects=objects,
        keys=keys.value,
        largest=largest,
        fill_holes=fill_holes,
        min_area=min_area,
        refine=refine.value,
        fit=fit.value,
    )
    figure_kind = printing.kind()
    found = run.find_photos(photos)
    backbone = loading.load()
    if settings.heads is not None and backbone.has_attention:
        check_heads(settings.heads, backbone.num_heads)
    masks: dict[str, list[Mask]] = {}

    def results(rgb: "np.ndarray", name: str) -> "Iterator[File]":
        found = propose_objects(backbone, rgb, settings)
        mask = merge_masks(found, (rgb.shape[0], rgb.shape[1]), settings)
        masks[name] = found or [mask]
        yield from files.mask_files(rgb, mask, objects=found, random=backbone.is_random)
        if printing.figure and figure_kind:
            content = files.mask_figure(
                rgb,
                mask,
                settings,
                objects=found,
                kind=figure_kind,
                scale=printing.figure_scale,
                caption=printing.caption,
                made_by=run.small_print(backbone),
            )
            yield printing.figure, content

    def finish(names: list[str]) -> None:
        listed = [(name, masks[name]) for name in names]
        run.write_files([("coco.json", coco.coco_json(listed))], out)

    tables = table_bytes((size // backbone.patch_size) ** 2) if settings.discovers else 0
    at_once = photos_at_once(backbone, size, beside=tables)
    run.write_each_photo(found, out, results, at_once=at_once, finish=finish)


def parse_heads(heads: str | None) -> tuple[int, ...] | None:
    """Read the head numbers of "0,3,5"; None where none are named.

    Raises:
        UserError: something that is not numbers and commas.
    """
    if heads is None:
        return None
    return tuple(run.numbers(heads, int, "--heads", expected="numbers such as 0,3,5"))
