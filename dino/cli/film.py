"""`film`: a video in, a film of what a network sees in it out.

    python -m dino film walk.mp4 --attention --head mean --out out
    python -m dino film walk.mp4 --mask first.png --out out

Stopped by Ctrl-C or SIGTERM it leaves no half film, and ends with exit code 1.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.system.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from dino.video.film.jobs import FilmProgress


@run.with_options
def film(
    video: Annotated[Path, typer.Argument(help="An MP4, MOV or GIF file.")],
    attention: Annotated[
        bool,
        typer.Option(
            "--attention",
            help="Draw the last block's attention over it: of CLS, or of the mean patch.",
        ),
    ] = False,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Follow the objects of this picture: a PNG of the first frame's size, 0 background, "
            "each object a value."
        ),
    ] = None,
    loading: run.Loading = run.Loading(),
    size: Annotated[
        int, typer.Option(help="Longer side in px that frames are resized to.", min=8)
    ] = 480,
    out: run.Out = Path("out"),
    head: Annotated[
        str, typer.Option(help="mean of the heads, each of them side by side, or a number.")
    ] = "mean",
    opacity: Annotated[
        float, typer.Option(help="0: the video alone; 1: the map alone.", min=0.0, max=1.0)
    ] = 0.6,
    colormap: Annotated[
        run.Colormap, typer.Option(help="Colours of the map.")
    ] = run.Colormap.inferno,
    blocks: Annotated[
        bool, typer.Option("--blocks", help="Show whole patches instead of blending between them.")
    ] = False,
    gif: Annotated[bool, typer.Option("--gif", help="Write film.gif too.")] = False,
    threads: run.Threads = None,
    nice: run.Nice = 0,
) -> None:
    """Draw attention over a video, or follow a mask through it.

    Writes film.mp4 and result.json; with --mask also masks/, an indexed PNG a frame. Give either
    --attention or --mask.
    """
    run.import_torch()
    from dino.errors import UserError
    from dino.video.film import AttentionStyle, make_film, read_first_mask
    from dino.video.film.making import film_gif

    if attention == (mask is not None):
        raise UserError("expected either --attention or --mask FIRST.png; give one of them")
    style = AttentionStyle(head, opacity, colormap.value, not blocks)
    drawn = style if mask is None else read_first_mask(mask)
    run.limit_resources(threads, nice=nice)
    backbone = loading.load()
    result = make_film(backbone, video, out, subject=drawn, size=size, progress=_show_each_pass())
    if result.stopped:
        run.fail("stopped; nothing was kept")
    if gif:
        run.write_files([("film.gif", film_gif(out))], out)
    run.print_status(
        f"{out / 'film.mp4'}: {counted(result.num_frames, 'frame')}, {result.seconds:.1f} s"
    )


def _show_each_pass() -> "Callable[[FilmProgress], None]":
    """Make a function that shows how far each pass over the video is."""
    passes: dict[str, Callable[[int, int], None]] = {}

    def show(now: "FilmProgress") -> None:
        if now.done and now.total and now.status == "running":
            show_pass = passes.setdefault(now.phase, run.progress(now.phase, "frames"))
            show_pass(now.done, now.total)

    return show
