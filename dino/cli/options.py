"""Arguments and options that several commands share, with their help."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Photos = Annotated[
    list[Path], typer.Argument(help="Photos, or folders searched for them.", show_default=False)
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="Zoo name (see `weights list`), timm name, or a checkpoint's path. "
        "Default: $DINO_WEIGHTS, else what `weights fetch default` brought.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(help="Folder the results go to.")]
Size = Annotated[
    int,
    typer.Option(
        help="Longer side in px the photo is resized to (both sides with --fit stretch).", min=8
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Key = Annotated[str, typer.Option(help="Which network of a full checkpoint: teacher or student.")]


class Fit(StrEnum):
    """How a photo becomes whole patches."""

    floor = "floor"
    pad = "pad"
    stretch = "stretch"


class Precision(StrEnum):
    """Arithmetic; auto measures once what this machine is fast at."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Colormap(StrEnum):
    """Colour-blind-safe colour maps."""

    viridis = "viridis"
    cividis = "cividis"
    inferno = "inferno"
    magma = "magma"


class Combine(StrEnum):
    """How several heads become one mask."""

    union = "union"
    mean = "mean"


class MaskMethod(StrEnum):
    """Which patches a mask keeps."""

    mass = "mass"
    otsu = "otsu"
    kmeans = "kmeans"
    lost = "lost"
    tokencut = "tokencut"
    maskcut = "maskcut"


class Keys(StrEnum):
    """What is taken out of keys before objects are sought in them."""

    auto = "auto"
    plain = "plain"
    unbiased = "unbiased"
    centered = "centered"


class Refine(StrEnum):
    """How a mask's edge is moved to the photo's."""

    none = "none"
    guided = "guided"
    grabcut = "grabcut"


class Method(StrEnum):
    """Projection of patch features."""

    pca = "pca"
    tsne = "tsne"


class Points(StrEnum):
    """Colours of projected patches."""

    photo = "photo"
    components = "components"


FitOption = Annotated[
    Fit,
    typer.Option(
        help="floor: sides down to whole patches; pad: to a square; stretch: to a square, aspect lost."
    ),
]
PrecisionOption = Annotated[Precision, typer.Option(help="auto measures what is fast here.")]
KeysOption = Annotated[
    Keys,
    typer.Option(
        help="What lost, tokencut and maskcut compare. plain: keys as they are, as the papers; "
        "unbiased: less the block's bias; centered: less the photo's mean; auto: unbiased, and "
        "centered where the mean outweighs the rest."
    ),
]
Mass = Annotated[
    float, typer.Option(help="Share of a head's attention a mask holds, above 0 up to 1.")
]
