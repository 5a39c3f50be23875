"""The options of `segment`, and the settings they make."""

from typing import Annotated

import typer

from dino.cli.options import MaskMethod, Refine

Heads = Annotated[
    str | None,
    typer.Option(help="Heads that take part, such as 0,3,5. Default: all.", show_default=False),
]
MethodOption = Annotated[
    MaskMethod,
    typer.Option(
        help="mass: the fewest patches that hold --mass; otsu: those above Otsu's threshold; "
        "kmeans: clusters of features with more attention than the photo's mean; lost, tokencut: "
        "one object from the last block's keys; maskcut: up to --objects of them."
    ),
]
Clusters = Annotated[int, typer.Option(help="Clusters of --method kmeans, 2 to 32.")]
Objects = Annotated[int, typer.Option(help="Objects that --method maskcut finds at most, 1 to 9.")]
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


def parse_heads(heads: str | None) -> tuple[int, ...] | None:
    """Head numbers of "0,3,5"; None where none are named.

    Raises:
        UserError: something that is not numbers and commas.
    """
    from dino.errors import UserError

    if heads is None:
        return None
    try:
        return tuple(int(head) for head in heads.split(","))
    except ValueError:
        raise UserError(f"--heads is {heads!r}; expected numbers such as 0,3,5") from None
