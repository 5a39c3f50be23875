"""What every command shares: options, threads, weights, lines on the way, results and how a command ends.

    @run.with_options
    def command(photos: run.Photos, loading: run.Loading, …) -> None:
        found = run.find_photos(photos)
        backbone = loading.load()
        run.write_files(files, out)

Results go to stdout, everything about their making to stderr. Exit codes: 0 all worked, 1 some inputs
failed and are named, 2 wrong use. Only typer is imported at the top, so that `--help` answers at once.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from dino.cli.options import with_options  # noqa: F401 (commands find it here)
from dino.system.processes import importing

if TYPE_CHECKING:
    import numpy as np

    from dino.model.backbone import Backbone
    from dino.system.files import File

# Choices of the library, spelled again because its own lie beside torch; tests hold that they agree.
Fit = StrEnum("Fit", ["floor", "pad", "stretch"])
Precision = StrEnum("Precision", ["auto", "fp32", "bf16"])
# A dict, since a list's names would become small letters.
Colormap = StrEnum(
    "Colormap",
    {
        "viridis": "viridis",
        "cividis": "cividis",
        "inferno": "inferno",
        "magma": "magma",
        "plasma": "plasma",
        "cubehelix": "cubehelix",
        "afmhot": "afmhot",
        "gray": "gray",
        "bone": "bone",
        "YlGnBu_r": "YlGnBu_r",
    },
)
Keys = StrEnum("Keys", ["auto", "plain", "unbiased", "centered"])
Channels = StrEnum("Channels", ["mean", "first"])

Photos = Annotated[list[Path], typer.Argument(help="Photos, or folders searched for them.")]
Weights = Annotated[
    str | None,
    typer.Option(
        help="Zoo name (see `weights list`), timm name, hub name (ORG/NAME), https:// address, or a "
        "checkpoint's path. Default: $DINO_WEIGHTS, else what `weights fetch default` brought."
    ),
]
Key = Annotated[str, typer.Option(help="Which network of a full checkpoint: teacher or student.")]
NumHeads = Annotated[
    int | None,
    typer.Option(help="Heads, where the file does not say and width / 64 is wrong.", min=1),
]
Arch = Annotated[str | None, typer.Option(help="timm architecture, where tensors do not show it.")]
ChannelsOption = Annotated[
    Channels | None,
    typer.Option(
        help="RGB from weights for one channel (mean), or for four and more (first three)."
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
PrecisionOption = Annotated[Precision, typer.Option(help="auto measures what is fast here.")]
Out = Annotated[Path, typer.Option(help="Folder the results go to.")]
Size = Annotated[
    int,
    typer.Option(
        help="Longer side in px the photo is resized to (both sides with --fit stretch).", min=8
    ),
]
FitOption = Annotated[
    Fit,
    typer.Option(
        help="floor: sides down to whole patches; pad: to a square; stretch: to a square, aspect lost."
    ),
]
Mass = Annotated[
    float, typer.Option(help="Share of a head's attention a mask holds, above 0 up to 1.")
]
KeysOption = Annotated[
    Keys,
    typer.Option(
        help="What lost, tokencut and maskcut compare. plain: keys as they are, as the papers; "
        "unbiased: less the block's bias; centered: less the photo's mean; auto: unbiased, and "
        "centered where the mean outweighs the rest."
    ),
]
Workers = Annotated[int, typer.Option(help="Processes that read photos.", min=0)]
Threads = Annotated[
    int | None, typer.Option(help="Threads of torch. Default: as many as cores.", min=1)
]
Nice = Annotated[
    int, typer.Option(help="Niceness added, so that other work goes first.", min=0, max=19)
]

# The paper's share, `dino.attention.mass.DEFAULT_MASS`.
DEFAULT_MASS = 0.6
Row = dict[str, Any]  # of a report: figures by name

_RENEW_S = 0.1
_MAX_NAMED = 10


@dataclass(frozen=True)
class Shape:
    """What a checkpoint may not say of its network: the options of every command that opens one."""

    num_heads: NumHeads = None
    arch: Arch = None
    channels: ChannelsOption = None

    def options(self) -> Row:
        """Give them as `dino.load` takes them."""
        channels = None if self.channels is None else str(self.channels)
        return {"num_heads": self.num_heads, "arch": self.arch, "channels": channels}


@dataclass(frozen=True)
class Opening(Shape):
    """How a checkpoint is read, which may hold several networks."""

    key: Key = "teacher"

    def options(self) -> Row:
        """Give them as `dino.load` takes them."""
        return {"key": self.key, **super().options()}


@dataclass(frozen=True)
class Loading(Opening):
    """Which network is opened, and where it computes: the options of every command that looks with one."""

    weights: Weights = None
    device: Device = "auto"
    precision: PrecisionOption = Precision.auto

    def load(self, *, summary: bool = True) -> "Backbone":
        """Load what --weights names, or the default; say what was assumed, and, unless `summary` is off,
        what it is."""
        from dino.weights import default_source, load

        with importing("timm"):
            backbone = load(
                self.weights or default_source(),
                device=self.device,
                precision=str(self.precision),
                **self.options(),
            )
        if summary:
            # The notes, which a description ends with, have lines of their own.
            told = backbone.description.removesuffix(" ".join(backbone.notes)).rstrip()
            print_status(f"{backbone.name}: {told} [{backbone.device}, {backbone.precision}]")
        print_notes(backbone.notes)
        return backbone

    def of_other(self, weights: str) -> "Loading":
        """Say how weights beside these are loaded: what is said of the architecture is not theirs."""
        return replace(self, weights=weights, num_heads=None, arch=None, channels=None)


def small_print(backbone: "Backbone") -> list[str]:
    """Say below a figure which network made it, and that it is random where it is."""
    from dino.media.draw import RANDOM_MARK

    return [backbone.name, RANDOM_MARK] if backbone.is_random else [backbone.name]


def import_torch() -> None:
    """Import torch, before a command imports what needs it; its objects are not searched for garbage."""
    with importing("torch"):
        import torch  # noqa: F401


def limit_resources(threads: int | None, *, nice: int = 0) -> None:
    """Take so many threads of torch, None for as many as there are cores, and stand back for other programs."""
    import torch

    from dino.system.processes import lower_priority

    lower_priority(nice)
    if threads is not None:
        torch.set_num_threads(threads)


def is_first() -> bool:
    """Whether this process is alone, or the first of those torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def print_status(line: str) -> None:
    """Print a line to stderr, from the first process only."""
    if is_first():
        print(line, file=sys.stderr, flush=True)


class StatusLine:
    """A line about the progress, on stderr: renewed in place on a terminal, else one now and then.

    Args:
        every_s, every_share: elsewhere than on a terminal, what must have passed since the last line:
            so many seconds, and so much of the way.
        ends: elsewhere too, the first line and the last are written in any case.
    """

    def __init__(
        self, *, every_s: float = 30.0, every_share: float = 0.1, ends: bool = False
    ) -> None:
        self.started = self._last = time.monotonic()
        self._share, self._ends = -1.0 if ends else 0.0, ends
        self._every_s, self._every_share = every_s, every_share
        self._on_terminal = sys.stderr.isatty()

    def show(self, share: float, line: Callable[[], str]) -> None:
        """Write the line if it is due; a share of 1 is the end."""
        now, is_end = time.monotonic(), share >= 1
        waited = now - self._last
        if self._on_terminal:
            is_due = waited > _RENEW_S or is_end
        else:
            is_due = waited > self._every_s and share - self._share >= self._every_share
            is_due = is_due or (is_end and self._ends)
        if not (is_due and is_first()):
            return
        self._last, self._share = now, share
        # Padded, so that a longer line before it does not show through.
        text = f"{line():<78}" if self._on_terminal else line()
        end = "\r" if self._on_terminal and not is_end else "\n"
        print(text, end=end, file=sys.stderr, flush=True)


def progress(label: str, unit: str) -> Callable[[int, int], None]:
    """Make a function of (done, total) that shows `label`, the share, and the time left.

    Args:
        unit: what is counted, such as "photos".
    """
    from dino.system.words import duration

    status = StatusLine()

    def show(done: int, total: int) -> None:
        left_s = (time.monotonic() - status.started) * (total - done) / max(done, 1)
        text = f"{label}: {done:,} of {total:,} {unit}, {duration(left_s)} left"
        status.show(done / total, lambda: text)

    return show


def list_some(items: Sequence[object]) -> str:
    """Name the first ten of several things, and how many more there are."""
    more = len(items) - _MAX_NAMED
    names = ", ".join(map(str, items[:_MAX_NAMED]))
    return f"{names} and {more} more" if more > 0 else names


def fail(line: str) -> NoReturn:
    """End the command with exit code 1, after a sentence that says what failed."""
    print_status(line)
    raise typer.Exit(1)


def print_notes(notes: Iterable[str]) -> None:
    """Say on stderr what was assumed when weights were opened."""
    for note in notes:
        print_status(f"note: {note}")


def numbers(text: str, kind: Callable[[str], Any], option: str, *, expected: str = "") -> list[Any]:
    """Read the numbers between commas.

    Args:
        expected: what the error asks for. Default: numbers with commas between.
    Raises:
        UserError: anything else.
    """
    from dino.errors import UserError

    expected = expected or f"{'whole ' if kind is int else ''}numbers with commas between"
    try:
        return [kind(word) for word in text.split(",")]
    except ValueError:
        raise UserError(f"{option} is {text!r}; expected {expected}") from None


def distinct_numbers(text: str, kind: Callable[[str], Any], option: str) -> list[Any]:
    """Read the numbers between commas, each once, in the order given."""
    return list(dict.fromkeys(numbers(text, kind, option)))


def words(text: str) -> list[str]:
    """Split a text at its commas, without spaces and what is empty."""
    return [word.strip() for word in text.split(",") if word.strip()]


def make_folder(out: Path) -> None:
    """Make the folder results go to, before anything slow is done.

    Raises:
        UserError: it cannot be made.
    """
    from dino.errors import UserError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be made a folder ({error.strerror}); choose another"
        ) from error


def write_files(files: "Iterable[File]", out: Path) -> int:
    """Write files below a folder; how many there were."""
    from dino.system.files import write_atomically

    num_files = 0
    for name, content in files:
        write_atomically(content, out / name)
        num_files += 1
    return num_files


def find_photos(paths: list[Path]) -> list[Path]:
    """Find the photos named or below the folders named, before anything slow is done.

    Raises:
        UserError: there is none.
    """
    from dino.errors import UserError
    from dino.media.images import find_images

    found = find_images(paths)
    if not found:
        raise UserError(
            f"no photos in {', '.join(map(str, paths))}; name photos, or folders with some"
        )
    return found


def write_each_photo(
    photos: list[Path],
    out: Path,
    results: "Callable[[np.ndarray, str], Iterable[File]]",
    *,
    at_once: int,
    finish: Callable[[list[str]], None] = lambda _: None,
) -> None:
    """Decode each photo and write its results, a folder a photo; failures are named, the rest goes on.

    Args:
        results: what to write of a photo and its name; called in `at_once` threads.
        finish: called with the names of the photos that went well, in order, if any did.
    """
    from dino.errors import UserError
    from dino.media.images import decode
    from dino.model.parallel import map_photos
    from dino.system.files import content_id, results_name

    unique = len({path.name for path in photos}) == len(photos)
    names = [path.name if unique else path.as_posix() for path in photos]

    def write(photo: tuple[Path, str]) -> tuple[bool, str]:
        """Write a photo's results; whether that went well, and the end of its line."""
        path, name = photo
        started = time.perf_counter()
        try:
            data = path.read_bytes()
            folder = out / results_name(path.name, content_id(data))
            write_files(results(decode(data), name), folder)
        except (UserError, OSError) as error:
            return False, f": failed: {str(error) or type(error).__name__}"
        return True, f" → {folder}, {time.perf_counter() - started:.2f} s"

    failed, done = [], []
    written = map_photos(write, list(zip(photos, names, strict=True)), at_once=at_once)
    for number, (worked, line) in enumerate(written, start=1):
        path, name = photos[number - 1], names[number - 1]
        print_status(f"[{number}/{len(photos)}] {path}{line}")
        if worked:
            done.append(name)
        else:
            failed.append(path)
    if done:
        finish(done)
    if failed:
        fail(f"{len(failed)} of {len(photos)} failed: {', '.join(map(str, failed))}")
