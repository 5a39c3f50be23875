"""`eval copies`: is a distorted photo still found?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.cli.evaluate import shared
from dino.system.words import counted

if TYPE_CHECKING:
    import numpy as np

    from dino.evaluation.copies import CopyResult
    from dino.evaluation.copies_data import CopyData
    from dino.model.backbone import Backbone

_SHEET_COLUMNS = 7


@run.with_options
def copies(
    data: Annotated[
        Path,
        typer.Option(
            help="INRIA Copydays (original/, strong/, …), or any folder of photos, of which copies are made."
        ),
    ],
    loading: run.Loading = run.Loading(),
    distractors: Annotated[
        Path | None,
        typer.Option(
            help="Folder of other photos to search among. Default: every other photo of --data."
        ),
    ] = None,
    whitening: Annotated[
        Path | None,
        typer.Option(help="Folder whitening is learned from. Default: the distractors."),
    ] = None,
    size: shared.SquareSize = 320,
    whiten: Annotated[
        bool, typer.Option("--whiten/--no-whiten", help="Whiten descriptors by PCA.")
    ] = True,
    components: Annotated[
        int | None,
        typer.Option(
            help="Directions that whitening keeps. Default: half as many as photos.", min=1
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Take so many photos of --data, evenly spread.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the copies made here.", min=0)] = 0,
    random: shared.RandomTwin = True,
    pages: Annotated[
        int, typer.Option(help="Originals to show with their copies in copies.png.", min=0)
    ] = 0,
    out: run.Out = Path("results"),
    cache: shared.Cache = None,
    no_cache: shared.NoCache = False,
    workers: run.Workers = 2,
    threads: run.Threads = None,
) -> None:
    """Measure copy detection by whitened CLS and GeM-pooled patches, as in the paper's Table 4."""
    from dino.evaluation.copies import copy_detection
    from dino.evaluation.copies_data import is_copydays, open_copydays, open_photos
    from dino.features.data import whole_patches

    opened = open_copydays if is_copydays(data) else open_photos
    found = opened(data, distractors=distractors, whitening=whitening, limit=limit)
    with shared.begin(
        loading, threads=threads, out=out, cache=cache, no_cache=no_cache
    ) as evaluation:
        if pages and evaluation.world.leads:
            _write_sheet(found, pages, seed, out)
        options: run.Row = {
            "size": whole_patches(size, evaluation.backbone.patch_size),
            "seed": seed,
            "whiten": whiten,
            "components": components,
        }
        networks = evaluation.networks(random=random)
        results = {
            role: copy_detection(
                network,
                found,
                cache=evaluation.cache,
                workers=workers,
                progress=run.progress(f"copies by {network.name}", "photos"),
                **options,
            )
            for role, network in networks.items()
        }
        first = results["weights"]
        evaluation.finish(
            "copies",
            data={
                "path": str(data),
                "layout": found.layout,
                "num_images": first.num_originals,
                "num_queries": first.scores["all"].num_queries,
                "num_distractors": first.num_distractors,
                "distractors": found.distractors_are,
            },
            settings={
                **options,
                "whitening": found.whitening_is if whiten else None,
                "kept_components": first.components,
                "networks": shared.identities(networks),
            },
            rows=[row for role, result in results.items() for row in _rows(role, result)],
            table=_table(results, networks),
            note=_note(found, first),
            unreadable=first.unreadable,
        )


def _note(data: "CopyData", result: "CopyResult") -> str:
    searched = f"searched: {result.num_originals} originals, {result.num_distractors} distractors"
    if data.distractors is not None:
        searched += f" ({data.distractors_are})"
    if result.components is None:
        return f"{searched}; not whitened"
    return f"{searched}; whitened on {data.whitening_is}, {result.components} directions"


def _rows(role: str, result: "CopyResult") -> list[run.Row]:
    """Make a row a distortion and one of all queries, in percent."""
    return [
        {
            "network": role,
            "distortion": name,
            "map": 100 * score.map,
            "first": 100 * score.first,
            "num_queries": score.num_queries,
        }
        for name, score in result.scores.items()
    ]


def _table(
    results: "dict[str, CopyResult]", networks: "dict[str, Backbone]"
) -> list[dict[str, str]]:
    """Write a line a distortion, the networks side by side."""
    from dino.evaluation.report import own_names

    names = own_names({role: network.name for role, network in networks.items()})
    return [
        {
            "distortion": name,
            "queries": str(score.num_queries),
            **{
                f"mAP % ({names[role]})": f"{100 * r.scores[name].map:.2f}"
                for role, r in results.items()
            },
            "original first %": f"{100 * score.first:.2f}",
        }
        for name, score in results["weights"].scores.items()
    ]


def _write_sheet(data: "CopyData", num: int, seed: int, out: Path) -> None:
    """Draw some originals with their copies, those that are searched for."""
    from dino.errors import ImageError
    from dino.evaluation.retrieval_data import spread
    from dino.evaluation.sheets import picture_sheet
    from dino.media.draw import encode_png

    rows = []
    for row in spread(len(data.originals), num):
        try:
            rows.append(_pictures(data, row, seed))
        except (ImageError, OSError):  # it is named with the other unreadable ones
            continue
    if rows:
        title = f"originals and their copies: {data.originals.root}"
        picture = picture_sheet(rows, title=title, columns=_SHEET_COLUMNS)
        run.write_files([("copies.png", encode_png(picture))], out)
        run.print_status(f"{out / 'copies.png'}: copies of {counted(len(rows), 'photo')}")


def _pictures(data: "CopyData", row: int, seed: int) -> "list[tuple[str, np.ndarray]]":
    """Collect the captions and pictures of an original and its copies."""
    import numpy as np

    from dino.evaluation.distortions import copies as made_of
    from dino.media.images import read

    original = data.originals.read(row)
    shown = [(f"original: {data.originals.paths[row].stem}", original)]
    if data.blocks is None:
        return [*shown, *made_of(original, np.random.default_rng((seed, 0, row))).items()]
    for name, block in data.blocks.items():
        asking = [at for at, original_row in enumerate(block.originals) if original_row == row]
        paths = [block.photos.paths[at] for at in asking]
        shown += [(f"{name}: {path.stem}", read(path)) for path in paths]
    return shown
