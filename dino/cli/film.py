"""`film`: a video in, a film of what a network sees in it out.

    python -m dino film walk.mp4 --attention --head mean --out out
    python -m dino film walk.mp4 --mask first.png --out out

Stopped by Ctrl-C or SIGTERM it leaves no half film, and ends with exit code 1.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli.measurement import Threads, say
from dino.cli.options import Colormap, Device, Key, Out, Precision, PrecisionOption, Weights
from dino.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from dino.video.film.progress import FilmProgress


def film(
    video: Annotated[Path, typer.Argument(help="An MP4, MOV or GIF file.", show_default=False)],
    attention: Annotated[
        bool, typer.Option("--attention", help="Draw the last block's CLS attention over it.")
    ] = False,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Follow the objects of this picture: a PNG of the first frame's size, 0 background, "
            "each object a value.",
            show_default=False,
        ),
    ] = None,
    weights: Weights = None,
    size: Annotated[
        int, typer.Option(help="Longer side in px that frames are resized to.", min=8)
    ] = 480,
    out: Out = Path("out"),
    head: Annotated[
        str, typer.Option(help="mean of the heads, each of them side by side, or a number.")
    ] = "mean",
    opacity: Annotated[
        float, typer.Option(help="0: the video alone; 1: the map alone.", min=0.0, max=1.0)
    ] = 0.6,
    colormap: Annotated[Colormap, typer.Option(help="Colours of the map.")] = Colormap.inferno,
    blocks: Annotated[
        bool, typer.Option("--blocks", help="Show whole patches instead of blending between them.")
    ] = False,
    gif: Annotated[bool, typer.Option("--gif", help="Write film.gif too.")] = False,
    threads: Threads = None,
    nice: Annotated[
        int, typer.Option(help="How far to stand back for other programs.", min=0, max=19)
    ] = 0,
    key: Key = "teacher",
    device: Device = "auto",
    precision: PrecisionOption = Precision.auto,
) -> None:
    """Draw attention over a video, or follow a mask through it.

    Writes film.mp4 and result.json; with --mask also masks/, an indexed PNG a frame. Give either
    --attention or --mask.
    """
    import torch

    from dino.errors import UserError
    from dino.system.files import write_atomically
    from dino.system.processes import lower_priority
    from dino.video.film import AttentionStyle, make_film, read_first_mask
    from dino.video.film.making import film_gif
    from dino.weights import default_source, load

    if attention == (mask is not None):
        raise UserError("expected either --attention or --mask FIRST.png; give one of them")
    style = AttentionStyle(head, opacity, colormap.value, not blocks)
    subject = style if mask is None else read_first_mask(mask)
    lower_priority(nice)
    if threads is not None:
        torch.set_num_threads(threads)
    backbone = load(weights or default_source(), key=key, device=device, precision=precision.value)
    say(f"{backbone.name}: {backbone.description} [{backbone.device}, {backbone.precision}]")
    result = make_film(backbone, video, out, subject=subject, size=size, progress=_shown())
    if result.stopped:
        say("stopped; nothing was kept")
        raise typer.Exit(1)
    if gif:
        write_atomically(film_gif(out), out / "film.gif")
    say(f"{out / 'film.mp4'}: {result.num_frames:,} frames, {result.seconds:.1f} s")


def register(app: typer.Typer) -> None:
    """Add this module's command to the command line."""
    app.command()(film)


def _shown() -> "Callable[[FilmProgress], None]":
    """A line about the progress of each pass."""
    shows: dict[str, Callable[[int, int], None]] = {}

    def show(now: "FilmProgress") -> None:
        if now.done and now.total and now.status == "running":
            one = shows.setdefault(now.phase, progress(now.phase, "frames"))
            one(now.done, now.total)

    return show
