"""`annotate new|list|export`: sessions of masks that are proposed, looked through and exported.

The looking through is done on the app's Annotate page, on the same sessions.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli.options import (
    Combine,
    Device,
    Key,
    MaskMethod,
    Mass,
    Precision,
    PrecisionOption,
    Refine,
    Size,
    Weights,
)
from dino.cli.segment import (
    Clusters,
    FillHoles,
    Heads,
    Largest,
    MethodOption,
    MinArea,
    RefineOption,
    parse_heads,
)

if TYPE_CHECKING:
    from dino.annotation.session import Session
    from dino.model.backbone import Backbone

app = typer.Typer(
    help="Annotation sessions: begin one, list them, export what was accepted.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Root = Annotated[
    Path | None,
    typer.Option(
        "--sessions",
        help="Folder the sessions are in. Default: annotations in the checkpoints folder.",
        show_default=False,
    ),
]


class Format(StrEnum):
    """What is exported."""

    coco = "coco"
    yolo = "yolo"
    png = "png"
    cutouts = "cutouts"


@app.command()
def new(
    photos: Annotated[
        Path, typer.Argument(help="A folder of photos, or a ZIP of them.", show_default=False)
    ],
    name: Annotated[str, typer.Option(help="Name of the session.", show_default=False)],
    classes: Annotated[
        str, typer.Option(help="Names of the classes, with commas between.")
    ] = "object",
    weights: Weights = None,
    size: Size = 480,
    mass: Mass = 0.6,
    heads: Heads = None,
    combine: Annotated[
        Combine, typer.Option(help="union of the heads' masks, or the mask of their mean.")
    ] = Combine.mean,
    method: MethodOption = MaskMethod.mass,
    clusters: Clusters = 4,
    min_area: MinArea = 0.0,
    largest: Largest = False,
    fill_holes: FillHoles = False,
    refine: RefineOption = Refine.none,
    propose: Annotated[
        bool,
        typer.Option(
            "--propose", help="Make all proposals now, not each when its photo is opened."
        ),
    ] = False,
    sessions: Root = None,
    key: Key = "teacher",
    device: Device = "auto",
    precision: PrecisionOption = Precision.auto,
) -> None:
    """Begin a session with the photos of a folder or a ZIP."""
    from dino.annotation.creation import create
    from dino.annotation.session import annotations_folder
    from dino.cli.progress import progress
    from dino.masks.proposals import MaskSettings
    from dino.weights import default_source, load

    chosen = weights or str(default_source())
    settings = MaskSettings(
        size=size,
        mass=mass,
        heads=parse_heads(heads),
        combine=combine.value,
        method=method.value,
        clusters=clusters,
        largest=largest,
        fill_holes=fill_holes,
        min_area=min_area,
        refine=refine.value,
    )
    backbone = load(chosen, key=key, device=device, precision=precision.value)
    session = create(
        (sessions or annotations_folder()) / name,
        photos,
        classes=classes.split(","),
        settings=settings,
        weights=chosen,
        weights_sha256=backbone.weights_sha256,
        progress=progress("reading", "photos"),
    )
    _say(f"{name}: {len(session.photos):,} photos, proposals by {backbone.name}, {session.folder}")
    if propose and (failed := _propose_all(session, backbone)):
        _say(f"{failed} of {len(session.photos):,} could not be proposed")
        raise typer.Exit(1)


@app.command("list")
def list_(sessions: Root = None) -> None:
    """The sessions there are, the one worked on last first."""
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
        print(f"{name}: {len(session.photos):,} photos ({counts}), {', '.join(session.classes)}")
        for problem in [*overview.problems.values(), *missing_photos(session).values()]:
            print(f"  {problem}")


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="Name of the session.", show_default=False)],
    format_: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.coco,
    polygons: Annotated[
        float | None,
        typer.Option(
            help="COCO and YOLO: px an outline may be off; 0 keeps every corner. Default: 1. "
            "Objects with holes go to COCO as run lengths.",
            min=0.0,
            show_default=False,
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
    from dino.system.files import write_atomically

    if rle and (polygons is not None or format_ is not Format.coco):
        raise UserError("--rle is COCO's other choice; give it without --polygons, for coco only")
    tolerance = DEFAULT_TOLERANCE_PX if polygons is None else polygons
    session = open_session(find_session(name, sessions or annotations_folder()))
    failed: list[str] = []
    number = 0
    for file_name, content in export_files(
        session, format_.value, polygons=None if rle else tolerance, failed=failed.append
    ):
        write_atomically(content, out / file_name)
        number += 1
    _say(f"{number:,} files in {out}")
    for problem in failed:
        _say(f"left out: {problem}")
    if failed:
        raise typer.Exit(1)


def _propose_all(session: "Session", backbone: "Backbone") -> int:
    """Propose a mask for every photo; how many could not be."""
    from dino.annotation.editing import proposed_state
    from dino.cli.progress import progress
    from dino.errors import UserError
    from dino.masks.proposals import MaskSettings
    from dino.media.images import decode

    settings, failed = MaskSettings.from_dict(session.settings), 0
    show = progress("proposals", "photos")
    for index, photo in enumerate(session.photos):
        try:
            rgb = decode(session.read_photo(index))
            session.save(index, proposed_state(backbone, rgb, settings))
        except UserError as error:
            failed += 1
            _say(f"{photo.file}: {error}")
        show(index + 1, len(session.photos))
    return failed


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
