"""`match a.jpg b.jpg`: which patches of two photos are alike, as a table and as a picture.

python -m dino match cat-1.jpg cat-2.jpg --keep 40 --foreground 0.6 --out out
"""

from pathlib import Path
from typing import Annotated

import typer

from dino.cli.measurement import say
from dino.cli.options import Device, Key, Precision, PrecisionOption, Size, Weights


def match(
    first: Annotated[Path, typer.Argument(help="A photo.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Another.", show_default=False)],
    weights: Weights = None,
    size: Size = 480,
    keep: Annotated[
        int | None, typer.Option(help="How many of the best. Default: all.", show_default=False)
    ] = None,
    foreground: Annotated[
        float | None,
        typer.Option(
            help="Match only patches that hold this share of the attention, such as 0.6. "
            "Default: all patches.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder the results go to.")] = Path("out"),
    key: Key = "teacher",
    device: Device = "auto",
    precision: PrecisionOption = Precision.auto,
) -> None:
    """Mutual nearest neighbours of the patches of two photos.

    Writes matches.csv (a line a match) and matches.png (lines between the photos).
    """
    from dino.attention.mass import check_mass
    from dino.errors import UserError
    from dino.features.correspondence import matches_csv, matches_picture, mutual_neighbours
    from dino.features.files import joint_photo
    from dino.media import draw
    from dino.media.images import read
    from dino.system.files import write_atomically
    from dino.weights import default_source, load

    if foreground is not None:
        check_mass(foreground)
    if keep is not None and keep < 1:
        raise UserError(f"got --keep {keep}, expected 1 or more")
    backbone = load(weights or default_source(), key=key, device=device, precision=precision.value)
    say(f"{backbone.name}: {backbone.description} [{backbone.device}, {backbone.precision}]")
    looks = [
        joint_photo(backbone, read(path), name=path.name, size=size, foreground=foreground)
        for path in (first, second)
    ]
    kept = [None if one.foreground is None else one.foreground.ravel() for one in looks]
    found = mutual_neighbours(
        looks[0].features.patches,
        looks[1].features.patches,
        keep=keep,
        first_kept=kept[0],
        second_kept=kept[1],
    )
    grids = [one.features.geometry.grid for one in looks]
    picture = matches_picture([one.rgb for one in looks], grids, found)
    picture = draw.mark_random(picture) if backbone.is_random else picture
    write_atomically(matches_csv(found, grids[0], grids[1]).encode(), out / "matches.csv")
    write_atomically(draw.encode_png(picture), out / "matches.png")
    say(f"{out}: {len(found)} matches")


def register(app: typer.Typer) -> None:
    """Add this module's command to the command line."""
    app.command()(match)
