"""`embed` and `joint`: features of a folder of photos, and the patches of several in one basis.

    python -m dino embed holiday/ --weights dino_vits16 --size 224 --out out
    python -m dino joint cat-1.jpg cat-2.jpg --foreground 0.6 --out out

`embed` writes features.npz and features.parquet; repeated, it computes only what is new or changed.
Stopped by Ctrl-C or SIGTERM it keeps what is done, and ends with exit code 1.
"""

import sys
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli.measurement import Threads, say
from dino.cli.options import Device, Key, Photos, Precision, PrecisionOption, Size, Weights

if TYPE_CHECKING:
    from dino.features.folder.progress import EmbeddingProgress
    from dino.model.backbone import Backbone

_RENEW_S, _SPARSE_S = 0.2, 20.0  # on a terminal, and elsewhere
_MAX_NAMED = 20


class Fit(StrEnum):
    """How a photo becomes the network's input."""

    crop = "crop"
    floor = "floor"
    pad = "pad"
    stretch = "stretch"


def embed(
    photos: Annotated[
        Path, typer.Argument(help="Folder of photos, or a ZIP of them.", show_default=False)
    ],
    weights: Weights = None,
    size: Annotated[
        int,
        typer.Option(
            help="Side of the crop in px, down to whole patches (with --fit: as `attend --size`).",
            min=1,
        ),
    ] = 224,
    out: Annotated[Path, typer.Option(help="Folder the features go to.")] = Path("out"),
    fit: Annotated[
        Fit,
        typer.Option(
            help="crop: short side to --resize, then the middle, as the k-NN evaluation; floor, pad, "
            "stretch: the whole photo, as `attend`."
        ),
    ] = Fit.crop,
    resize: Annotated[
        int | None,
        typer.Option(help="Short side in px before the crop. Default: size · 256/224.", min=1),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Photos a forward.", min=1)] = 32,
    workers: Annotated[int, typer.Option(help="Processes that read photos.", min=0)] = 2,
    threads: Threads = None,
    nice: Annotated[
        int, typer.Option(help="How far to stand back for other programs.", min=0, max=19)
    ] = 0,
    key: Key = "teacher",
    device: Device = "auto",
    precision: PrecisionOption = Precision.auto,
) -> None:
    """Keep the features (CLS tokens) of all photos in a folder.

    Writes features.npz, features.parquet and thumbnails.npz; only what is new or changed is computed.
    """
    import torch

    from dino.features.folder.engine import embed_photos
    from dino.features.folder.preparation import Preparation
    from dino.features.folder.store import kept_precision
    from dino.system.processes import lower_priority

    lower_priority(nice)
    if threads is not None:
        torch.set_num_threads(threads)
    preparation = Preparation(size=size, fit=fit.value, resize=resize)
    kept = kept_precision(out) if precision is Precision.auto else None
    backbone = _load(weights, key, device, Precision(kept) if kept else precision)
    result = embed_photos(
        backbone,
        photos,
        out,
        preparation=preparation,
        batch_size=batch_size,
        workers=workers,
        progress=_shown(),
        say=say,
    )
    for name, problem in result.unreadable[:_MAX_NAMED]:
        say(f"{name}: left out: {problem}")
    if left := len(result.unreadable) - _MAX_NAMED:
        say(f"and {left} more") if left > 0 else None
    speed = f", {result.images_per_s:.1f} photos/s" if result.num_new else ""
    if result.stopped:
        say(f"stopped: {result.num_new:,} photos more are kept{speed}; the same command goes on")
        raise typer.Exit(1)
    say(f"{out / 'features.npz'}: {result.num_photos:,} photos, {result.seconds:.1f} s{speed}")
    if result.unreadable:
        say(f"{len(result.unreadable)} photos could not be read and were left out")
        raise typer.Exit(1)


def joint(
    photos: Photos,
    weights: Weights = None,
    size: Size = 480,
    foreground: Annotated[
        float | None,
        typer.Option(
            help="Take only patches that hold this share of the attention, such as 0.6. "
            "Default: all patches.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder the results go to.")] = Path("out"),
    key: Key = "teacher",
    device: Device = "auto",
    precision: PrecisionOption = Precision.auto,
) -> None:
    """Paint the patches of several photos by the same three principal components.

    Writes joint-pca.png, joint-points.csv, joint-points.html and joint.npz.
    """
    from dino.attention.mass import check_mass
    from dino.errors import UserError
    from dino.features.files import joint_files, joint_photo
    from dino.media.images import find_images, read
    from dino.system.files import write_atomically

    if foreground is not None:
        check_mass(foreground)
    found = find_images(photos)
    if not found:
        raise UserError("there are no photos; name some, or folders with some")
    backbone = _load(weights, key, device, precision)
    looks = []
    for number, path in enumerate(found, start=1):
        looks.append(
            joint_photo(backbone, read(path), name=path.name, size=size, foreground=foreground)
        )
        say(f"[{number}/{len(found)}] {path}")
    for name, content in joint_files(looks, random=backbone.is_random):
        write_atomically(content, out / name)
    say(f"{out}: one basis for {len(looks)} photos")


def register(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    for command in (embed, joint):
        app.command()(command)


def _load(weights: str | None, key: str, device: str, precision: Precision) -> "Backbone":
    from dino.weights import default_source, load

    backbone = load(weights or default_source(), key=key, device=device, precision=precision.value)
    say(f"{backbone.name}: {backbone.description} [{backbone.device}, {backbone.precision}]")
    return backbone


def _shown() -> "Callable[[EmbeddingProgress], None]":
    """A line about the progress: renewed in place on a terminal, else one now and then."""
    from dino.system.words import duration

    terminal, last = sys.stderr.isatty(), [time.monotonic()]

    def show(progress: "EmbeddingProgress") -> None:
        now, end = time.monotonic(), progress.status != "running"
        if (now - last[0] < (_RENEW_S if terminal else _SPARSE_S) and not (terminal and end)) or (
            progress.images_per_s is None
        ):
            return
        last[0] = now
        left = f", {duration(progress.left_s)} left" if progress.left_s and not end else ""
        line = f"{progress.done:,} of {progress.total:,} photos, {progress.images_per_s:.1f} photos/s{left}"
        close = "\r" if terminal and not end else "\n"
        print(f"{line:<78}" if terminal else line, end=close, file=sys.stderr, flush=True)

    return show
