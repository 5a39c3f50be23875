"""What the evaluations of `evaluate` share: weights, kept features, and what is left at the end."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from dino.cli.options import Precision
from dino.cli.progress import is_first, progress

if TYPE_CHECKING:
    from dino.evaluation.report import Report
    from dino.features.cache import FeatureCache
    from dino.media.photo_folders import PhotoFolder
    from dino.model.backbone import Backbone

Out = Annotated[Path, typer.Option(help="Folder the results go to.")]
Threads = Annotated[
    int | None,
    typer.Option(help="Threads of torch. Default: as many as cores.", min=1, show_default=False),
]

Row = dict[str, Any]


class Measurement:
    """One evaluation, from the loading of its weights to its report below `out`.

        with Measurement(weights, …) as run:
            … run.backbone, run.cache, run.world …
            run.finish("knn", …)

    Processes that torchrun started join `world` on entering; only the first of them writes and
    prints. `threads` of torch (None: as many as cores); `cache` keeps features (None: in the checkpoints
    folder), unless `no_cache`.
    """

    def __init__(
        self,
        weights: str | None,
        *,
        key: str,
        device: str,
        precision: Precision,
        threads: int | None,
        out: Path,
        cache: Path | None = None,
        no_cache: bool = False,
    ) -> None:
        import torch

        from dino.weights import default_source

        self.started = time.perf_counter()
        make_out(out)
        if threads is not None:
            torch.set_num_threads(threads)
        self.out, self._cache, self._no_cache = out, cache, no_cache
        self._loading: Row = {"key": key, "device": device, "precision": precision.value}
        self._weights, self._joined = weights or default_source(), ExitStack()

    def __enter__(self) -> Self:
        from dino.system.distributed import joined

        with ExitStack() as stack:
            device = self._loading["device"]
            self.world = stack.enter_context(joined(device, exchange_on="cpu"))
            self.backbone = self._load_alike()
            self._joined = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._joined.close()

    def _load_alike(self) -> "Backbone":
        """The weights; where "auto" is measured, in the arithmetic the first process chose."""
        from dino.system.distributed import from_first_process

        backbone = self.load(self._weights)
        self._loading["precision"] = from_first_process(backbone.precision)
        same = backbone.precision == self._loading["precision"]
        return backbone if same else self.load(self._weights)

    def load(self, weights: Any) -> "Backbone":
        """Weights in the same arithmetic, on the same device as the others."""
        from dino.weights import load

        backbone = load(weights, **self._loading)
        say(f"{backbone.name}: {backbone.description} [{backbone.device}, {backbone.precision}]")
        return backbone

    @property
    def cache(self) -> "FeatureCache":
        """Where features are kept."""
        from dino.features.cache import FeatureCache
        from dino.system.folders import checkpoints_folder

        folder = self._cache or checkpoints_folder() / "cache"
        return FeatureCache(None if self._no_cache else folder, say, self.world)

    def finish(
        self,
        task: str,
        *,
        data: Row,
        settings: Row,
        rows: list[Row],
        shown: Sequence[dict[str, str]],
        unreadable: Sequence[Path],
        note: str = "",
    ) -> None:
        """Write the report, print `shown` as a table and `note`; exit 1 if photos were unreadable."""
        if self.world.leads:
            self._write(task, data, settings, rows, shown, note)
        if unreadable:
            names = ", ".join(str(path) for path in unreadable[:10])
            more = f" and {len(unreadable) - 10} more" if len(unreadable) > 10 else ""
            say(f"{len(unreadable)} photos could not be read and were left out: {names}{more}")
            raise typer.Exit(1)

    def _write(
        self,
        task: str,
        data: Row,
        settings: Row,
        rows: list[Row],
        shown: Sequence[dict[str, str]],
        note: str,
    ) -> None:
        from dino.evaluation.report import make_report

        seconds = time.perf_counter() - self.started
        report = make_report(
            task, self.backbone, data=data, settings=settings, rows=rows, seconds=seconds
        )
        leave(report, self.out, shown, note)


def make_out(out: Path) -> None:
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


def leave(report: "Report", out: Path, shown: Sequence[dict[str, str]], note: str = "") -> None:
    """Write a report below `out`, and print `shown` as a table and `note`."""
    from dino.evaluation.report import table, write_report

    write_report(report, out)
    print(table(shown), note, sep="\n", end="\n" if note else "")
    say(f"{out / 'results.json'}, {report.seconds:.1f} s, {report.threads} threads")


def with_random_twin(run: Measurement, *, random: bool) -> "dict[str, Backbone]":
    """The network measured and, with `random`, its twin of random weights, by their names in reports."""
    from dino.evaluation.random_twin import random_twin

    networks = {"weights": run.backbone}
    if random and run.backbone.has_attention:
        networks["random weights"] = random_twin(run.backbone)
    elif random:
        say(f"{run.backbone.name} is no ViT: no random weights beside it")
    return networks


def open_classes(train: Path, val: Path, purpose: str) -> "tuple[PhotoFolder, PhotoFolder]":
    """Two folders with the same classes, numbered alike."""
    from dino.media.photo_folders import open_folder, require_classes

    first = open_folder(train)
    require_classes(first, purpose)
    return first, open_folder(val, classes=first.classes)


def reading(folder: "PhotoFolder", workers: int) -> Row:
    """How a folder's photos are read and told about."""
    return {"workers": workers, "progress": progress(f"features of {folder.root}", "photos")}


def data_row(folders: "Sequence[PhotoFolder]", num_train: int, num_val: int) -> Row:
    """What was measured on: val, and what it was compared with."""
    train, val = folders
    return {
        "path": str(val.root),
        "num_images": num_val,
        "train_path": str(train.root),
        "num_train": num_train,
        "num_classes": len(train.classes),
    }


def numbers(text: str, kind: Callable[[str], Any], option: str) -> list[Any]:
    """Numbers between commas, each once, in the order given.

    Raises:
        UserError: anything else.
    """
    from dino.errors import UserError

    try:
        return list(dict.fromkeys(kind(word) for word in text.split(",")))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise UserError(f"{option} is {text!r}; expected {what} with commas between") from None


def say(line: str) -> None:
    """A line on stderr, of the first process only."""
    if is_first():
        print(line, file=sys.stderr, flush=True)
