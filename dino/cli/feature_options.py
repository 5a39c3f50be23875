"""Options of the evaluations that read features of photos, with their help."""

from pathlib import Path
from typing import Annotated

import typer

Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder that keeps features. Default: cache/ in the checkpoints folder.",
        show_default=False,
    ),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Keep no features, use no kept ones.")]
Workers = Annotated[int, typer.Option(help="Processes that read photos.", min=0)]
RandomTwin = Annotated[
    bool, typer.Option("--random/--no-random", help="The same network with random weights too.")
]
