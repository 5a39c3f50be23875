"""`embed` and `joint`: features of a folder of photos, and the patches of several in one basis.

    python -m dino embed holiday/ --weights dino_vits16 --size 224 --out out
    python -m dino joint cat-1.jpg cat-2.jpg --foreground 0.6 --out out

`embed` writes features.npz and features.parquet; repeated, it computes only what is new or changed.
Stopped by Ctrl-C or SIGTERM it keeps what is done, and ends with exit code 1.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.system.words import counted

if TYPE_CHECKING:
    from dino.features.folder.jobs import EmbeddingProgress

Fit = StrEnum("Fit", ["crop", "floor", "pad", "stretch"])

_MAX_NAMED = 20


@run.with_options
def embed(
    photos: Annotated[Path, typer.Argument(help="Folder of photos, or a ZIP of them.")],
    loading: run.Loading = run.Loading(),
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
    workers: run.Workers = 2,
    threads: run.Threads = None,
    nice: run.Nice = 0,
) -> None:
    """Keep the features (CLS tokens) of all photos in a folder.

    Writes features.npz, features.parquet and thumbnails.npz; only what is new or changed is computed.
    """
    run.import_torch()
    from dino.features.folder.engine import embed_photos
    from dino.features.folder.preparation import Preparation
    from dino.features.folder.store import kept_precision

    run.limit_resources(threads, nice=nice)
    preparation = Preparation(size=size, fit=fit.value, resize=resize)
    if loading.precision is run.Precision.auto and (kept := kept_precision(out)):
        loading = replace(loading, precision=run.Precision(kept))
    backbone = loading.load()
    result = embed_photos(
        backbone,
        photos,
        out,
        preparation=preparation,
        batch_size=batch_size,
        workers=workers,
        progress=_show_speed(),
        say=run.print_status,
    )
    for name, problem in result.unreadable[:_MAX_NAMED]:
        run.print_status(f"{name}: left out: {problem}")
    if (more := len(result.unreadable) - _MAX_NAMED) > 0:
        run.print_status(f"and {more} more")
    speed = f", {result.images_per_s:.1f} photos/s" if result.num_new else ""
    if result.stopped:
        run.fail(
            f"stopped: {counted(result.num_new, 'photo')} more kept{speed}; the same command goes on"
        )
    run.print_status(
        f"{out / 'features.npz'}: {counted(result.num_photos, 'photo')}, {result.seconds:.1f} s{speed}"
    )
    if result.unreadable:
        run.fail(f"{counted(len(result.unreadable), 'photo')} could not be read, left out")


@run.with_options
def joint(
    photos: run.Photos,
    loading: run.Loading = run.Loading(),
    size: run.Size = 480,
    foreground: Annotated[
        float | None,
        typer.Option(
            help="Take only patches that hold this share of the attention, such as 0.6. "
            "Default: all patches."
        ),
    ] = None,
    out: run.Out = Path("out"),
) -> None:
    """Paint the patches of several photos by the same three principal components.

    Writes joint-pca.png, joint-points.csv, joint-points.html and joint.npz.
    """
    run.import_torch()
    from dino.attention.mass import check_mass
    from dino.features.files import joint_files, joint_photo
    from dino.media.images import read

    if foreground is not None:
        check_mass(foreground)
    found = run.find_photos(photos)
    backbone = loading.load()
    embedded = []
    for number, path in enumerate(found, start=1):
        photo = joint_photo(backbone, read(path), name=path.name, size=size, foreground=foreground)
        embedded.append(photo)
        run.print_status(f"[{number}/{len(found)}] {path}")
    run.write_files(joint_files(embedded, random=backbone.is_random), out)
    run.print_status(f"{out}: one basis for {len(embedded)} photos")


def _show_speed() -> "Callable[[EmbeddingProgress], None]":
    """Make a function that shows how far an embedding is, and how quick."""
    from dino.system.words import duration

    status = run.StatusLine(every_s=20.0, every_share=0.0)

    def show(now: "EmbeddingProgress") -> None:
        if now.images_per_s is None:
            return
        is_end = now.status != "running"
        left = f", {duration(now.left_s)} left" if now.left_s and not is_end else ""
        line = f"{now.done:,} of {now.total:,} photos, {now.images_per_s:.1f} photos/s{left}"
        status.show(1.0 if is_end else min(now.done / max(now.total, 1), 0.99), lambda: line)

    return show
