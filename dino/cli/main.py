"""`python -m dino`: one module a group of commands, one typed function a command.

Only typer is imported here; torch, timm and the rest come with the command that needs them, so that
`--help` answers at once.
"""

import errno
import sys

import typer

from dino.cli import annotate, embed, evaluate, film, match, photos, train, weights

app = typer.Typer(
    name="dino",
    help="See what a self-supervised vision transformer sees: attention, masks and features of photos.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
photos.register(app)
embed.register(app)
match.register(app)
film.register(app)
train.register(app)
app.add_typer(weights.app, name="weights")
app.add_typer(evaluate.app, name="eval")
app.add_typer(annotate.app, name="annotate")

_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


def run() -> None:
    """Run the command line; bad input ends in one sentence on stderr and exit code 2, a disk that is
    full or that may not be written in one and exit code 1."""
    from dino.errors import UserError

    try:
        app(prog_name="python -m dino")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in _DISK_TROUBLE:
            raise
        print(
            f"error: {error.filename or 'a file'} cannot be written ({error.strerror}); free space or "
            "choose another folder",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
