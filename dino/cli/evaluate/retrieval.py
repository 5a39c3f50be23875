"""`eval retrieval`: does the nearest photo show the same thing?"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.cli.evaluate import shared
from dino.system.words import counted

if TYPE_CHECKING:
    from torch import Tensor

    from dino.evaluation.retrieval import SearchResult, Truth
    from dino.evaluation.retrieval_data import PhotoSet, RetrievalData
    from dino.model.backbone import Backbone

_KAPPAS = (1, 5, 10)
_TOP = 5
_COLUMNS = {
    "network": ("network", ""),
    "relevant": ("protocol", ""),
    "mAP %": ("map", ".2f"),
    **{f"P@{k} %": (f"p{k}", ".2f") for k in _KAPPAS},
    "queries": ("num_queries", ""),
}


@run.with_options
def retrieval(
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder with jpg/ and gnd_*.pkl (revisited Oxford or Paris), or one with a sub-folder "
            "a class, where each photo asks the others."
        ),
    ] = None,
    database: Annotated[
        Path | None, typer.Option(help="Instead of --data: folder to search, a sub-folder a class.")
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(help="With --database: folder of the photos that ask, of the same classes."),
    ] = None,
    loading: run.Loading = run.Loading(),
    size: Annotated[
        int, typer.Option(help="Longer side in px; shorter photos keep theirs.", min=1)
    ] = 224,
    multiscale: Annotated[
        bool,
        typer.Option(
            "--multiscale/--no-multiscale", help="Features of three scales (1, 1/√2, 1/2) added up."
        ),
    ] = True,
    boxes: Annotated[
        bool,
        typer.Option(
            "--boxes/--no-boxes",
            help="Revisited sets: queries cut to their boxes; the original's script takes whole photos.",
        ),
    ] = True,
    limit: Annotated[
        int | None, typer.Option(help="Classes: so many photos of a folder, evenly spread.", min=1)
    ] = None,
    random: shared.RandomTwin = True,
    pages: Annotated[
        int, typer.Option(help="Queries to show with their first five in retrieval.png.", min=0)
    ] = 0,
    out: run.Out = Path("results"),
    cache: shared.Cache = None,
    no_cache: shared.NoCache = False,
    workers: run.Workers = 2,
    threads: run.Threads = None,
) -> None:
    """Measure the mean average precision of image retrieval by cosine of CLS tokens, as in the paper's Table 3."""
    from dino.evaluation.scales import SCALES, SINGLE_SCALE

    found = _open(data, database, queries, boxes=boxes, limit=limit)
    options: run.Row = {"size": size, "scales": SCALES if multiscale else SINGLE_SCALE}
    with shared.begin(
        loading, threads=threads, out=out, cache=cache, no_cache=no_cache
    ) as evaluation:
        networks = evaluation.networks(random=random)
        searches = {
            role: _search(evaluation, network, found, workers=workers, **options)
            for role, network in networks.items()
        }
        rows = [row for role, searched in searches.items() for row in _rows(role, searched)]
        first = searches["weights"]
        if found.lonely:
            run.print_status(
                f"without another of their class to find, counted nowhere: {counted(len(found.lonely), 'photo')}, "
                f"{run.list_some(found.lonely)}"
            )
        if pages and evaluation.world.leads:
            _write_sheet(evaluation.backbone.name, found, first, pages, out)
        evaluation.finish(
            "retrieval",
            data={
                "path": str(found.database.root),
                "layout": found.layout,
                "num_images": len(first.database),
                "queries_path": str(found.asking.root),
                "num_queries": len(first.queries),
                "num_without_match": len(found.lonely),
            },
            settings={
                **options,
                "boxes": boxes,
                "limit": limit,
                "networks": shared.identities(networks),
            },
            rows=rows,
            table=shared.as_text(shared.name_networks(rows, networks), _COLUMNS),
            unreadable=first.unreadable,
        )
        if found.lonely:
            raise typer.Exit(1)


@dataclass(frozen=True)
class _Searched:
    """A network's search: over the rows of the database and the queries that could be read."""

    database: list[int]
    queries: list[int]
    protocols: "dict[str, list[Truth]]"
    result: "SearchResult"
    unreadable: list[Path]


def _open(
    data: Path | None,
    database: Path | None,
    queries: Path | None,
    *,
    boxes: bool,
    limit: int | None,
) -> "RetrievalData":
    from dino.errors import UserError
    from dino.evaluation.retrieval_data import is_benchmark, open_benchmark, open_classes

    searched = data or database
    if searched is None or (data and database) or (database is None) != (queries is None):
        raise UserError("expected --data, or else --database and --queries together")
    if data is None or not is_benchmark(data):
        return open_classes(searched, queries, limit=limit)
    if limit is not None:
        raise UserError(
            f"--limit belongs to folders with classes; {data} is a benchmark, a whole one"
        )
    return open_benchmark(data, crop=boxes)


def _search(
    evaluation: shared.Evaluation,
    network: "Backbone",
    data: "RetrievalData",
    *,
    size: int,
    scales: tuple[float, ...],
    workers: int,
) -> _Searched:
    from dino.evaluation.retrieval import search
    from dino.evaluation.scales import kept_features

    def read(photos: "PhotoSet") -> "tuple[Tensor, list[int]]":
        shown = run.progress(f"features of {photos.root} by {network.name}", "photos")
        options: run.Row = {"size": size, "scales": scales, "workers": workers, "progress": shown}
        return kept_features(evaluation.cache, network, photos, **options)

    features, rows = read(data.database)
    asked, asking = (features, rows) if data.queries is None else read(data.queries)
    protocols = data.without(rows, asking)
    result = search(features, asked, protocols, kappas=_KAPPAS, top=_TOP)
    left_out = [
        path
        for photos, kept in ((data.database, set(rows)), (data.asking, set(asking)))
        for row, path in enumerate(photos.paths)
        if row not in kept
    ]
    return _Searched(rows, asking, protocols, result, list(dict.fromkeys(left_out)))


def _rows(role: str, searched: _Searched) -> list[run.Row]:
    """Make a row a protocol, in percent; queries without a relevant photo count nowhere."""
    import numpy as np

    return [
        {
            "network": role,
            "protocol": protocol,
            "map": 100 * scores.map,
            **{f"p{k}": 100 * float(p) for k, p in zip(_KAPPAS, scores.pr, strict=True)},
            "num_queries": int((~np.isnan(scores.aps)).sum()),
        }
        for protocol, scores in searched.result.scores.items()
    ]


def _write_sheet(
    network: str, data: "RetrievalData", searched: _Searched, num: int, out: Path
) -> None:
    """Draw queries spread over the set, each with what came first, right or wrong."""
    from dino.evaluation.retrieval_data import spread
    from dino.evaluation.scales import thumbnail
    from dino.evaluation.sheets import search_sheet
    from dino.media.draw import encode_png
    from dino.media.images import read

    def name(path: Path) -> str:
        return path.parent.name if protocol == "class" else path.stem

    protocol, truths = next(iter(searched.protocols.items()))
    asked, found = [], []
    for at in spread(len(searched.queries), num):
        row = searched.queries[at]
        photo, box = data.asking.paths[row], data.asking.boxes[row]
        asked.append((f"query: {name(photo)}", thumbnail(read(photo), 320, box)))
        relevant = set(truths[at].ok) - set(truths[at].junk)
        found.append(
            [
                (name(path), path, near in relevant)
                for near in searched.result.first[at].tolist()
                if near >= 0
                for path in [data.database.paths[searched.database[near]]]
            ]
        )
    title = f"{network}: what each query finds first ({protocol})"
    sheet = encode_png(search_sheet(asked, found, title=title))
    run.write_files([("retrieval.png", sheet)], out)
    run.print_status(f"{out / 'retrieval.png'}: {len(asked)} queries")
