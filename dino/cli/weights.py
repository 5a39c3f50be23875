"""`weights list|fetch|verify|convert|info`: what is known by name, and any checkpoint made plain."""

import sys
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dino.cli.options import Key

app = typer.Typer(
    help="Weights: list, fetch, verify, convert, inspect.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Source = Annotated[
    str, typer.Argument(help="Zoo name, timm name, or path of a checkpoint.", show_default=False)
]


class Dtype(StrEnum):
    """Number format of converted weights."""

    fp16 = "fp16"
    fp32 = "fp32"


@app.command("list")
def list_() -> None:
    """The weights known by name; those already on this machine carry a *."""
    from dino.system.folders import checkpoints_folder
    from dino.weights import ZOO
    from dino.weights.fetching import downloaded_path

    folder = checkpoints_folder()
    for entry in ZOO.values():
        path = downloaded_path(entry.name, folder)
        here = path is None or path.exists()
        size = "drawn here" if entry.size_bytes is None else f"{entry.size_bytes / 1e6:,.0f} MB"
        print(
            f"{'*' if here else ' '} {entry.name:24} patch {entry.patch_size:2} px {size:>12}  "
            f"{entry.license}\n    {entry.description}"
        )


@app.command()
def fetch(
    name: Annotated[
        str, typer.Argument(help="Zoo name, or default: the first that can be had.")
    ] = "default",
) -> None:
    """Download weights; interrupted downloads go on where they stopped."""
    from dino.errors import UserError
    from dino.weights import ZOO
    from dino.weights import fetch as fetch_weights

    if name not in ("default", *ZOO):
        raise UserError(f"{name!r} is not in the zoo; expected default or one of {', '.join(ZOO)}")
    try:
        result = fetch_weights(name, progress=_progress(), say=_say)
    except UserError as error:
        _say(f"error: {error}")
        raise typer.Exit(1) from None
    where = f", {result.path}" if result.path else ""
    print(f"{result.name}: {result.source}{where}")


@app.command()
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

    folder = checkpoints_folder()
    fetched = [n for n in ZOO if (p := downloaded_path(n, folder)) is not None and p.exists()]
    bad = 0
    for name in names or fetched:
        entry = ZOO.get(name)
        path = (downloaded_path(name, folder) if entry else None) or Path(name)
        try:
            known = verify_file(path, sha256=entry.sha256 if entry else None)
        except (UserError, OSError) as error:
            bad += 1
            _say(f"{name}: {error}")
            continue
        print(f"{name}: {'as recorded' if known else 'no hash is pinned or recorded'}")
    if not (names or fetched):
        print("nothing was fetched yet")
    if bad:
        raise typer.Exit(1)


@app.command()
def convert(
    source: Source,
    destination: Annotated[Path, typer.Argument(help="File to write, .safetensors.")],
    dtype: Annotated[Dtype, typer.Option(help="fp16 halves the file.")] = Dtype.fp16,
    key: Key = "teacher",
) -> None:
    """Write any readable checkpoint's backbone as safetensors in timm's layout."""
    from dino.errors import UserError
    from dino.weights import convert as convert_weights

    if destination.suffix != ".safetensors":
        raise UserError(
            f"{destination} would hold safetensors; name it so: {destination.stem}.safetensors"
        )
    path = convert_weights(source, destination, dtype=dtype.value, key=key)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


@app.command()
def average(
    sources: Annotated[list[str], typer.Argument(help="Two or more, of one shape.")],
    out: Annotated[Path, typer.Option(help="File to write, .safetensors.", show_default=False)],
    shares: Annotated[
        str | None, typer.Option(help="One a source, such as 1,2. Default: all alike.")
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="fp16 halves the file.")] = Dtype.fp16,
    key: Key = "teacher",
) -> None:
    """Write the mean of several weights, such as of a run and of one that went on from it."""
    from dino.errors import UserError
    from dino.weights.conversion import average as average_weights

    if out.suffix != ".safetensors":
        raise UserError(f"{out} would hold safetensors; name it so: {out.stem}.safetensors")
    try:
        parts = [float(word) for word in shares.split(",")] if shares else None
    except ValueError:
        raise UserError(f"--shares is {shares!r}; expected numbers with commas between") from None
    path = average_weights(sources, out, shares=parts, dtype=dtype.value, key=key)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


@app.command()
def info(source: Source, key: Key = "teacher") -> None:
    """Architecture, layout and digest of any readable checkpoint."""
    from dino.weights import info as weights_info

    for name, value in weights_info(source, key=key).items():
        print(f"{name:16} {value}")


def _progress() -> Callable[[int, int | None], None]:
    """A line on stderr, renewed in place on a terminal, else every tenth of the way."""
    terminal = sys.stderr.isatty()
    started, last = time.monotonic(), [-1.0]

    def show(done: int, total: int | None) -> None:
        now = time.monotonic()
        share = done / total if total else 0.0
        due = now - last[0] > 0.1 if terminal else share - last[0] >= 0.1
        if not due and done != total:
            return
        last[0] = now if terminal else share
        rate = done / max(now - started, 1e-3)
        of = f" of {total / 1e6:.1f} MB ({share:.0%})" if total else " MB"
        line = f"  {done / 1e6:.1f}{of}, {rate / 1e6:.1f} MB/s"
        end = "\n" if not terminal or done == total else "\r"
        print(line, end=end, file=sys.stderr, flush=True)

    return show


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
