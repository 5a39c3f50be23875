"""The command line's table of contents: `python -m dino`, one typed function a command.

Torch, timm and the rest come with the command that needs them, so that `--help` answers at once.
"""

import errno
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from dino.cli import annotate, attend, embed, film, match, project, segment, train, weights
from dino.cli.evaluate import (
    ablation,
    classification,
    copies,
    cost,
    report,
    retrieval,
    segmentation,
    video,
)

_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


def _group(summary: str, *commands: Callable[..., None], **options: Any) -> typer.Typer:
    """Make a group of commands, each called as its function (an underscore at the end is dropped)."""
    group = typer.Typer(help=summary, no_args_is_help=True, rich_markup_mode=None, **options)
    for command in commands:
        group.command(command.__name__.rstrip("_"))(command)
    return group


def _is_disk_trouble(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it came from, is of a disk that is full or that may not be written."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_TROUBLE:
            return True
        error = error.__cause__
    return False


app = _group(
    "See what a self-supervised vision transformer sees: attention, masks and features of photos.",
    attend.attend,
    segment.segment,
    project.project,
    embed.embed,
    embed.joint,
    match.match,
    film.film,
    train.train,
    train.resume,
    train.export,
    train.runs,
    name="dino",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.add_typer(
    _group(
        "Weights: list, fetch, verify, convert, inspect.",
        weights.list_,
        weights.fetch,
        weights.verify,
        weights.convert,
        weights.average,
        weights.info,
    ),
    name="weights",
)
app.add_typer(
    _group(
        "Measure what the paper measures: k-NN, linear probe, segmentation, video, retrieval, copies …",
        classification.knn,
        classification.linear,
        segmentation.segmentation,
        ablation.ablation,
        cost.cost,
        report.report,
        video.video,
        retrieval.retrieval,
        copies.copies,
    ),
    name="eval",
)
app.add_typer(
    _group(
        "Annotation sessions: begin one, list them, export what was accepted.",
        annotate.new,
        annotate.list_,
        annotate.export,
    ),
    name="annotate",
)


def _program() -> str:
    """Name what was called: the script that an installed package has, or the module."""
    return "dino" if Path(sys.argv[0]).stem == "dino" else "python -m dino"


def run() -> None:
    """Run the command line; bad input ends in one sentence on stderr and exit code 2, a disk that is
    full or that may not be written in one and exit code 1."""
    from dino.errors import UserError

    # timm's own indexing, on every network with relative positions at another size
    warnings.filterwarnings("ignore", module=r"timm\.layers\.interpolate")
    try:
        app(prog_name=_program())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1 if _is_disk_trouble(error.__cause__) else 2) from None
    except OSError as error:
        if not _is_disk_trouble(error):
            raise
        print(
            f"error: {error.filename or 'a file'} cannot be written ({error.strerror}); free space or "
            "choose another folder",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
