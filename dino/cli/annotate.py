"""`annotate new|list|export`: sessions of masks that are proposed, looked through and exported.

The looking through is done on the app's Annotate page, on the same sessions.
"""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run, segment
from dino.system.words import counted

if TYPE_CHECKING:
    from dino.annotation.session import Session
    from dino.model.backbone import Backbone

Format = StrEnum("Format", ["coco", "yolo", "png", "cutouts"])

Root = Annotated[
    Path | None,
    typer.Option(
        "--sessions",
        help="Folder the sessions are in. Default: annotations in the checkpoints folder.",
    ),
]


@run.with_options
def new(
    photos: Annotated[Path, typer.Argument(help="A folder of photos, or a ZIP of them.")],
    name: Annotated[str, typer.Option(help="Name of the session.")],
    classes: Annotated[
        str, typer.Option(help="Names of the classes, with commas between.")
    ] = "object",
    loading: run.Loading = run.Loading(),
    size: run.Size = 480,
    mass: run.Mass = run.DEFAULT_MASS,
    heads: segment.Heads = None,
    combine: segment.CombineOption = segment.Combine.mean,
    method: segment.MethodOption = segment.Method.mass,
    clusters: segment.Clusters = 4,
    min_area: segment.MinArea = 0.0,
    largest: segment.Largest = False,
    fill_holes: segment.FillHoles = False,
    refine: segment.RefineOption = segment.Refine.none,
    propose: Annotated[
        bool,
        typer.Option(
            "--propose", help="Make all proposals now, not each when its photo is opened."
        ),
    ] = False,
    sessions: Root = None,
) -> None:
    """Begin a session with the photos of a folder or a ZIP."""
    from dino.annotation.creation import create
    from dino.annotation.session import annotations_folder
    from dino.masks.settings import MaskSettings
    from dino.weights import default_source

    chosen = loading.weights or str(default_source())
    settings = MaskSettings(
        size=size,
        mass=mass,
        heads=segment.parse_heads(heads),
        combine=combine.value,
        method=method.value,
        clusters=clusters,
        largest=largest,
        fill_holes=fill_holes,
        min_area=min_area,
        refine=refine.value,
    )
    backbone = replace(loading, weights=chosen).load(summary=False)
    session = create(
        (sessions or annotations_folder()) / name,
        photos,
        classes=classes.split(","),
        settings=settings,
        weights=chosen,
        weights_sha256=backbone.weights_sha256,
        progress=run.progress("reading", "photos"),
    )
    run.print_status(
        f"{name}: {counted(len(session.photos), 'photo')}, proposals by {backbone.name}, {session.folder}"
    )
    if propose and (failed := _propose_all(session, backbone)):
        run.fail(f"{failed} of {len(session.photos):,} could not be proposed")


def list_(sessions: Root = None) -> None:
    """List the sessions there are, the one worked on last first."""
    from dino.annotation.overview import Overview, missing_photos
    from dino.annotation.session import annotations_folder, list_sessions, open_session
    from dino.errors import UserError

    root = sessions or annotations_folder()
    for name in list_sessions(root):
        try:
            session = open_session(root / name)
        except UserError as error:
            print(f"{name}: {error}")
            continue
        overview = Overview(session)
        counts = ", ".join(f"{number:,} {status}" for status, number in overview.counts().items())
        print(
            f"{name}: {counted(len(session.photos), 'photo')} ({counts}), {', '.join(session.classes)}"
        )
        for problem in [*overview.problems.values(), *missing_photos(session).values()]:
            print(f"  {problem}")


def export(
    name: Annotated[str, typer.Argument(help="Name of the session.")],
    format_: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.coco,
    polygons: Annotated[
        float | None,
        typer.Option(
            help="COCO and YOLO: px an outline may be off; 0 keeps every corner. Default: 1. "
            "Objects with holes go to COCO as run lengths.",
            min=0.0,
        ),
    ] = None,
    rle: Annotated[
        bool, typer.Option("--rle", help="COCO: exact run lengths in place of polygons.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder the files go to.")] = Path("out"),
    sessions: Root = None,
) -> None:
    """Write what was accepted: COCO JSON, YOLO segmentation, label PNGs, or cut-outs."""
    from dino.annotation.exports import export_files
    from dino.annotation.session import annotations_folder, find_session, open_session
    from dino.errors import UserError
    from dino.media.regions import DEFAULT_TOLERANCE_PX

    if rle and (polygons is not None or format_ is not Format.coco):
        raise UserError("--rle is COCO's other choice; give it without --polygons, for coco only")
    tolerance = DEFAULT_TOLERANCE_PX if polygons is None else polygons
    session = open_session(find_session(name, sessions or annotations_folder()))
    failed: list[str] = []
    files = export_files(
        session, format_.value, polygons=None if rle else tolerance, failed=failed.append
    )
    run.print_status(f"{counted(run.write_files(files, out), 'file')} in {out}")
    for problem in failed:
        run.print_status(f"left out: {problem}")
    if failed:
        raise typer.Exit(1)


def _propose_all(session: "Session", backbone: "Backbone") -> int:
    """Propose a mask for every photo; how many could not be."""
    from dino.annotation.editing import proposed_state
    from dino.errors import UserError
    from dino.masks.settings import MaskSettings
    from dino.media.images import decode

    settings, failed = MaskSettings.from_dict(session.settings), 0
    show = run.progress("proposals", "photos")
    for index, photo in enumerate(session.photos):
        try:
            rgb = decode(session.read_photo(index))
            session.save(index, proposed_state(backbone, rgb, settings))
        except UserError as error:
            failed += 1
            run.print_status(f"{photo.file}: {error}")
        show(index + 1, len(session.photos))
    return failed
