"""`project`: the features of a photo's patches as points and colours, a folder of results a photo."""

import math
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.cli.drawing import Printing, Shifts, Upsample

if TYPE_CHECKING:
    import numpy as np

    from dino.system.files import File

Method = StrEnum("Method", ["pca", "tsne"])
Points = StrEnum("Points", ["photo", "components"])


@run.with_options
def project(
    photos: run.Photos,
    loading: run.Loading = run.Loading(),
    size: run.Size = 480,
    method: Annotated[Method, typer.Option(help="pca, or tsne (slower).")] = Method.pca,
    dims: Annotated[int, typer.Option(help="Dimensions of the points.", min=2, max=3)] = 2,
    perplexity: Annotated[float, typer.Option(help="t-SNE's neighbourhood size, in points.")] = 30,
    seed: Annotated[int, typer.Option(help="Seed of t-SNE.", min=0)] = 0,
    points: Annotated[
        Points, typer.Option(help="Points coloured as the photo's patches or as its components.")
    ] = Points.photo,
    upsample: Annotated[
        Upsample,
        typer.Option(
            help="How the colours of pca-rgb.png become pixels. guided: along the photo's edges; bicubic: "
            "smoothly; nearest: whole patches."
        ),
    ] = Upsample.nearest,
    shifts: Shifts = 1,
    out: run.Out = Path("out"),
    printing: Printing = Printing(),
    fit: run.FitOption = run.Fit.floor,
) -> None:
    """Project the features of each photo's patches.

    Writes pca-rgb.png, points.csv, points.html and projection.npz, a folder a photo.
    """
    run.import_torch()
    from dino.attention import photo
    from dino.features import files, pixels
    from dino.features.projections import project as project_features
    from dino.model.parallel import photos_at_once

    figure_kind = printing.kind()
    found = run.find_photos(photos)
    backbone = loading.load()
    status = run.StatusLine(every_s=math.inf)

    def results(rgb: "np.ndarray", name: str) -> "Iterator[File]":
        features = photo.features(backbone, rgb, size=size, fit=fit.value)
        projection = project_features(
            features.patches,
            method=method.value,
            dims=dims,
            seed=seed,
            perplexity=perplexity,
            progress=show_share if method is Method.tsne else None,
        )
        if shifts > 1:
            fine = pixels.fine_features(backbone, rgb, size=size, shifts=shifts, fit=fit.value)
        else:
            fine = features
        picture = pixels.paint_pixels(fine, rgb, upsample=upsample.value)
        yield from files.projection_files(
            projection,
            features,
            rgb,
            title=name,
            random=backbone.is_random,
            components=points is Points.components,
            picture=picture,
        )
        if printing.figure and figure_kind:
            content = files.projection_figure(
                picture,
                fine,
                rgb,
                kind=figure_kind,
                scale=printing.figure_scale,
                caption=printing.caption,
                made_by=[*run.small_print(backbone), upsample.value],
                shifts=shifts,
            )
            yield printing.figure, content

    def show_share(done: float, message: str) -> None:
        status.show(done, lambda: f"  {done:4.0%} {message:40}")

    # t-SNE takes all cores by itself, and says how far it is.
    at_once = 1 if method is Method.tsne else photos_at_once(backbone, size)
    run.write_each_photo(found, out, results, at_once=at_once)
