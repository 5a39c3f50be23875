"""`weights list|fetch|verify|convert|average|info`: what is known by name, and any checkpoint made plain."""

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dino.cli import run

Dtype = StrEnum("Dtype", ["fp16", "fp32"])
DtypeOption = Annotated[Dtype, typer.Option(help="fp16 halves the file.")]
Source = Annotated[
    str,
    typer.Argument(help="Zoo, timm or hub name, https:// address, or path of a checkpoint."),
]


def list_() -> None:
    """List the weights known by name; those already on this machine carry a *."""
    from dino.weights import ZOO
    from dino.weights.fetching import is_here

    for entry in ZOO.values():
        here = is_here(entry.name)
        size = "drawn here" if entry.size_bytes is None else f"{entry.size_bytes / 1e6:,.0f} MB"
        print(
            f"{'*' if here else ' '} {entry.name:24} patch {entry.patch_size:2} px {size:>12}  "
            f"{entry.license}\n    {entry.description}"
            + (f"\n    {entry.terms}" if entry.terms else "")
        )


def fetch(
    name: Annotated[
        str, typer.Argument(help="Zoo name, or default: the first that can be had.")
    ] = "default",
) -> None:
    """Download weights; interrupted downloads go on where they stopped."""
    from dino.errors import UserError
    from dino.weights import ZOO
    from dino.weights import fetch as fetch_weights

    name = name.strip().casefold()
    if name not in ("default", *ZOO):
        raise UserError(f"{name!r} is not in the zoo; expected default or one of {', '.join(ZOO)}")
    try:
        result = fetch_weights(name, progress=_show_download(), say=run.print_status)
    except UserError as error:
        run.fail(f"error: {error}")
    where = f", {result.path}" if result.path else ""
    print(f"{result.name}: {result.source}{where}")


def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Zoo names or files. Default: all that were fetched.")
    ] = None,
) -> None:
    """Compare files with their pinned or recorded sha256."""
    from dino.errors import UserError
    from dino.system.folders import checkpoints_folder
    from dino.weights import ZOO
    from dino.weights import verify as verify_file
    from dino.weights.fetching import downloaded_path
    from dino.weights.hub import sha256_of

    folder = checkpoints_folder()
    fetched = [n for n in ZOO if (p := downloaded_path(n, folder)) is not None and p.exists()]
    bad = 0
    for name in names or fetched:
        entry = ZOO.get(name)
        path = (downloaded_path(name, folder) if entry else None) or Path(name)
        try:
            pinned = entry.sha256 if entry else None
            known = verify_file(path, sha256=pinned or sha256_of(path))
        except (UserError, OSError) as error:
            bad += 1
            run.print_status(f"{name}: {error}")
            continue
        print(f"{name}: {'as recorded' if known else 'no hash is pinned or recorded'}")
    if not (names or fetched):
        print("nothing was fetched yet")
    if bad:
        raise typer.Exit(1)


@run.with_options
def convert(
    source: Source,
    destination: Annotated[Path, typer.Argument(help="File to write, .safetensors.")],
    opening: run.Opening = run.Opening(),
    dtype: DtypeOption = Dtype.fp16,
) -> None:
    """Write any readable checkpoint's backbone as safetensors in timm's layout."""
    from dino.weights import convert as convert_weights

    _check_name(destination)
    _print_size(convert_weights(source, destination, dtype=dtype.value, **opening.options()))


@run.with_options
def average(
    sources: Annotated[list[str], typer.Argument(help="Two or more, of one shape.")],
    out: Annotated[Path, typer.Option(help="File to write, .safetensors.")],
    opening: run.Opening = run.Opening(),
    shares: Annotated[
        str | None, typer.Option(help="One a source, such as 1,2. Default: all alike.")
    ] = None,
    dtype: DtypeOption = Dtype.fp16,
) -> None:
    """Write the mean of several weights, such as of a run and of one that went on from it."""
    from dino.weights.conversion import average as average_weights

    _check_name(out)
    parts = run.numbers(shares, float, "--shares") if shares else None
    options = opening.options()
    _print_size(average_weights(sources, out, shares=parts, dtype=dtype.value, **options))


@run.with_options
def info(source: Source, opening: run.Opening = run.Opening()) -> None:
    """Print architecture, layout and digest of any readable checkpoint."""
    from dino.weights import info as weights_info

    for name, value in weights_info(source, **opening.options()).items():
        for line in value if name == "notes" else [value]:
            print(f"{name:16} {line}")


def _check_name(path: Path) -> None:
    from dino.errors import UserError

    if path.suffix != ".safetensors":
        raise UserError(f"{path} would hold safetensors; name it so: {path.stem}.safetensors")


def _print_size(path: Path) -> None:
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


def _show_download() -> Callable[[int, int | None], None]:
    """Make a function of (done, total) bytes that shows how far a download is, and how quick."""
    status = run.StatusLine(every_s=0.0, ends=True)

    def show(done: int, total: int | None) -> None:
        share = done / total if total else 0.0
        seconds = max(time.monotonic() - status.started, 1e-3)
        of = f" of {total / 1e6:.1f} MB ({share:.0%})" if total else " MB"
        status.show(share, lambda: f"  {done / 1e6:.1f}{of}, {done / seconds / 1e6:.1f} MB/s")

    return show
