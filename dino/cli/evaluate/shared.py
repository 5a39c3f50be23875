"""What the evaluations of frozen features share: weights, kept features, random twins, and the report."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.system.words import counted

if TYPE_CHECKING:
    from dino.evaluation.report import Report
    from dino.features.cache import FeatureCache
    from dino.media.photo_folders import PhotoFolder
    from dino.model.backbone import Backbone
    from dino.system.distributed import World

SquareSize = Annotated[
    int,
    typer.Option(
        help="Both sides in px that photos are stretched to, down to whole patches.", min=1
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(help="Folder that keeps features. Default: cache/ in the checkpoints folder."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Keep no features, use no kept ones.")]
RandomTwin = Annotated[
    bool, typer.Option("--random/--no-random", help="The same network with random weights too.")
]


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that has begun, with its weights loaded; `begin` makes it.

    `world` is all processes that torchrun started; `cache` keeps features.
    """

    backbone: "Backbone"
    cache: "FeatureCache"
    world: "World"
    out: Path
    loading: run.Loading
    started: float

    def networks(
        self, *, random: bool, twin: str | None = None, vit_only: bool = False
    ) -> "dict[str, Backbone]":
        """Collect the networks to measure, by their names in reports: the weights, other weights beside
        them, and their twin of random weights.

        Args:
            vit_only: a network that is no ViT, and so has no random twin, is an error.
        Raises:
            UserError: it is none.
        """
        from dino.evaluation.random_twin import random_twin

        networks = {"weights": self.backbone}
        if twin:
            networks["twin"] = self.loading.of_other(twin).load()
        if random and (vit_only or self.backbone.has_attention):
            networks["random weights"] = random_twin(self.backbone)
        elif random:
            run.print_status(f"{self.backbone.name} is no ViT: no random weights beside it")
        return networks

    def finish(
        self,
        task: str,
        *,
        data: run.Row,
        settings: run.Row,
        rows: list[run.Row],
        table: Sequence[dict[str, str]],
        unreadable: Sequence[Path],
        note: str = "",
    ) -> None:
        """Write the report, print a table and a note; exit 1 if photos were unreadable."""
        from dino.evaluation.report import make_report

        if self.world.leads:
            seconds = time.perf_counter() - self.started
            report = make_report(
                task, self.backbone, data=data, settings=settings, rows=rows, seconds=seconds
            )
            finish_report(report, self.out, table, note)
        if unreadable:
            run.fail(
                f"{counted(len(unreadable), 'photo')} could not be read, left out: "
                f"{run.list_some(unreadable)}"
            )


@contextmanager
def begin(
    loading: run.Loading,
    *,
    threads: int | None,
    out: Path,
    cache: Path | None = None,
    no_cache: bool = False,
) -> Iterator[Evaluation]:
    """Begin an evaluation: make its folder, join the processes of torchrun, load its weights.

    Only the first of several processes writes and prints. Where "auto" is measured, all compute in the
    arithmetic that the first chose.

    Args:
        threads: of torch; None: as many as cores.
        cache: the folder that keeps features; None: cache/ in the checkpoints folder.
    """
    from dino.features.cache import FeatureCache
    from dino.system.distributed import from_first_process, joined
    from dino.system.folders import checkpoints_folder

    started = time.perf_counter()
    run.make_folder(out)
    run.limit_resources(threads)
    with joined(loading.device, exchange_on="cpu") as world:
        backbone = loading.load()
        loading = replace(loading, precision=run.Precision(from_first_process(backbone.precision)))
        if backbone.precision != loading.precision:
            backbone = loading.load()
        folder = None if no_cache else cache or checkpoints_folder() / "cache"
        kept = FeatureCache(folder, run.print_status, world)
        yield Evaluation(backbone, kept, world, out, loading, started)


def identities(networks: "dict[str, Backbone]") -> dict[str, list[str]]:
    """Name the networks of a report by their weights' digests."""
    return {role: [n.name, n.weights_sha256] for role, n in networks.items()}


def name_networks(rows: Sequence[run.Row], networks: "dict[str, Backbone]") -> list[run.Row]:
    """Copy rows for a table, with the own name of each network in place of what reports call it."""
    from dino.evaluation.report import own_names

    names = own_names({role: network.name for role, network in networks.items()})
    return [{**row, "network": names.get(row["network"], row["network"])} for row in rows]


def as_text(rows: Sequence[run.Row], columns: dict[str, tuple[str, str]]) -> list[dict[str, str]]:
    """Write values of rows under their titles, – for nothing.

    Args:
        columns: title → key and format, such as {"mAP %": ("map", ".2f")}.
    """
    return [
        {
            title: "–" if row[key] is None else format(row[key], spec)
            for title, (key, spec) in columns.items()
        }
        for row in rows
    ]


def finish_report(
    report: "Report", out: Path, rows: Sequence[dict[str, str]], note: str = ""
) -> None:
    """Write a report below `out`, and print its table and a note."""
    from dino.evaluation.report import table, write_report

    write_report(report, out)
    print(table(rows), note, sep="\n", end="\n" if note else "")
    run.print_status(f"{out / 'results.json'}, {report.seconds:.1f} s, {report.threads} threads")


def open_two_folders(train: Path, val: Path, purpose: str) -> "tuple[PhotoFolder, PhotoFolder]":
    """Open two folders with the same classes, numbered alike, and warn where both are one."""
    from dino.media.photo_folders import open_folder, require_classes

    first = open_folder(train)
    require_classes(first, purpose)
    if train.resolve() == val.resolve():
        run.print_status(
            f"--train and --val are both {train}: photos are told by themselves, so these figures say "
            "nothing of new ones"
        )
    return first, open_folder(val, classes=first.classes)
