"""`match a.jpg b.jpg`: which patches of two photos are alike, as a table and as a picture.

python -m dino match cat-1.jpg cat-2.jpg --keep 40 --foreground 0.6 --out out
"""

from pathlib import Path
from typing import Annotated

import typer

from dino.cli import run
from dino.cli.drawing import Printing


@run.with_options
def match(
    first: Annotated[Path, typer.Argument(help="A photo.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
    loading: run.Loading = run.Loading(),
    size: run.Size = 480,
    keep: Annotated[int | None, typer.Option(help="How many of the best. Default: all.")] = None,
    foreground: Annotated[
        float | None,
        typer.Option(
            help="Match only patches that hold this share of the attention, such as 0.6. "
            "Default: all patches."
        ),
    ] = None,
    out: run.Out = Path("out"),
    printing: Printing = Printing(),
) -> None:
    """Find the mutual nearest neighbours of the patches of two photos.

    Writes matches.csv (a line a match) and matches.png (lines between the photos).
    """
    run.import_torch()
    from dino.attention.mass import check_mass
    from dino.errors import UserError
    from dino.features.correspondence import matches_csv, matches_picture, mutual_neighbours
    from dino.features.files import joint_photo
    from dino.media import draw
    from dino.media.images import read
    from dino.media.printing import Panel, print_figure

    if foreground is not None:
        check_mass(foreground)
    if keep is not None and keep < 1:
        raise UserError(f"got --keep {keep}, expected 1 or more")
    figure_kind = printing.kind()
    backbone = loading.load()
    photos = [
        joint_photo(backbone, read(path), name=path.name, size=size, foreground=foreground)
        for path in (first, second)
    ]
    kept = [None if p.foreground is None else p.foreground.ravel() for p in photos]
    found = mutual_neighbours(
        photos[0].features.patches,
        photos[1].features.patches,
        keep=keep,
        first_kept=kept[0],
        second_kept=kept[1],
    )
    grids = [photo.features.geometry.grid for photo in photos]
    picture = matches_picture([photo.rgb for photo in photos], grids, found)
    figure = Panel(picture)
    picture = draw.mark_random(picture) if backbone.is_random else picture
    table = matches_csv(found, grids[0], grids[1]).encode()
    run.write_files([("matches.csv", table), ("matches.png", draw.encode_png(picture))], out)
    if printing.figure and figure_kind:
        settings = [
            *run.small_print(backbone),
            f"weights {backbone.weights_sha256[:8]}",
            f"{size} px",
            f"{len(found)} mutual nearest neighbours",
            "" if foreground is None else f"of patches that hold {foreground:.0%} of the attention",
        ]
        content = print_figure(
            [figure],
            kind=figure_kind,
            scale=printing.figure_scale,
            caption=printing.caption,
            made_by=[word for word in settings if word],
            is_wide=True,
        )
        run.write_files([(printing.figure, content)], out)
    run.print_status(f"{out}: {len(found)} matches")
