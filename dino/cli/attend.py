"""`attend`: what each head attends to, in the last block or in several, a folder of results a photo.

python -m dino attend photo.jpg --layers all --queries cls,12:7 --rollout
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run

if TYPE_CHECKING:
    import numpy as np

    from dino.system.files import File


@run.with_options
def attend(
    photos: run.Photos,
    loading: run.Loading = run.Loading(),
    size: run.Size = 480,
    mass: run.Mass = run.DEFAULT_MASS,
    out: run.Out = Path("out"),
    colormap: Annotated[
        run.Colormap, typer.Option(help="Colours of the maps.")
    ] = run.Colormap.inferno,
    opacity: Annotated[
        float, typer.Option(help="1: the map alone; less: over the photo.", min=0.0, max=1.0)
    ] = 1.0,
    smooth: Annotated[bool, typer.Option("--smooth", help="Blend between patches.")] = False,
    shared_scale: Annotated[
        bool,
        typer.Option("--shared-scale", help="One scale for all heads instead of each its own."),
    ] = False,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Blocks to look into, from 0: all, or numbers such as 0,5,11. Default: the last."
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            help="Whose attention is drawn: cls, mean (of all patches' rows), register:N, or row:column of "
            "a patch, such as cls,12:7. Default: cls, or mean of a network without a CLS token."
        ),
    ] = None,
    rollout: Annotated[
        bool,
        typer.Option("--rollout", help="Attention rollout from the input to each layer as well."),
    ] = False,
    qkv: Annotated[
        bool, typer.Option("--qkv", help="Queries, keys and values of all tokens into layers.npz.")
    ] = False,
    logits: Annotated[
        bool, typer.Option("--logits", help="Draw q·k/√d in place of its softmax, and save both.")
    ] = False,
    fit: run.FitOption = run.Fit.floor,
) -> None:
    """Draw what each head of the last block attends to.

    Writes maps, masks, a contact sheet and attention.npz, a folder a photo; with --layers,
    --queries, --rollout, --qkv or --logits a sheet of layers by heads a query and layers.npz.
    """
    run.import_torch()
    from dino.attention import files, photo
    from dino.attention import layers as deep
    from dino.attention.mass import check_mass
    from dino.model.parallel import photos_at_once
    from dino.model.queries import parse_query

    check_mass(mass)
    is_layered = layers is not None or queries is not None or rollout or qkv or logits
    asked = [-1]
    takes_all = layers is not None and layers.strip().lower() == "all"
    if layers is not None and not takes_all:
        asked = run.numbers(layers, int, "--layers", expected="all, or numbers such as 0,5,11")
    named = None if queries is None else [parse_query(text) for text in queries.split(",")]
    found = run.find_photos(photos)
    backbone = loading.load()
    style = files.Style(
        colormap=colormap.value,
        opacity=opacity,
        interpolation="bilinear" if smooth else "nearest",
        shared_scale=shared_scale,
    )

    def maps(rgb: "np.ndarray", _: str) -> "Iterator[File]":
        attention = photo.attend(backbone, rgb, size=size, fit=fit.value)
        return files.attention_files(attention, rgb, mass, style, random=backbone.is_random)

    def sheets(rgb: "np.ndarray", _: str) -> "Iterator[File]":
        looked = deep.look(
            backbone,
            deep.trace(backbone, rgb, size=size, fit=fit.value),
            layers=indices,
            queries=tokens,
            rolled=rollout,
            projected=qkv,
        )
        return files.layers_files(looked, rgb, style, logits=logits, random=backbone.is_random)

    if not is_layered:
        run.write_each_photo(found, out, maps, at_once=photos_at_once(backbone, size))
        return
    backbone.check_attention()
    tokens = tuple(dict.fromkeys(named or [backbone.default_query]))
    numbers = range(backbone.depth) if takes_all else asked
    indices = tuple(dict.fromkeys(backbone.layer_index(number) for number in numbers))
    # One at a time: all layers of one photo are large, and measured against the memory that is free.
    run.write_each_photo(found, out, sheets, at_once=1)
