"""The exports by name: the same files for the command line and the app."""

from collections.abc import Callable, Iterator

from dino.annotation.export_coco import coco_bytes
from dino.annotation.export_cutouts import cutout_files
from dino.annotation.export_png import label_files
from dino.annotation.export_yolo import yolo_files
from dino.annotation.session import Session
from dino.errors import UserError
from dino.media.regions import DEFAULT_TOLERANCE_PX
from dino.system.files import File

FORMATS = ("coco", "yolo", "png", "cutouts")


def export_files(
    session: Session,
    kind: str,
    *,
    polygons: float | None = DEFAULT_TOLERANCE_PX,
    failed: Callable[[str], None] | None = None,
) -> Iterator[File]:
    """What a format writes, as (name, bytes).

    Args:
        kind: one of `FORMATS`.
        polygons: tolerance in px of COCO's and YOLO's outlines; None: COCO's run lengths.
        failed: as in `cutout_files`.
    Raises:
        UserError: an unknown format, YOLO without polygons, and as the format says.
    """
    if kind == "coco":
        return iter([("annotations.json", coco_bytes(session, polygons=polygons))])
    if kind == "yolo":
        if polygons is None:
            raise UserError("YOLO has polygons only; give a tolerance in px")
        return yolo_files(session, tolerance=polygons)
    if kind == "png":
        return label_files(session)
    if kind == "cutouts":
        return cutout_files(session, failed=failed)
    raise UserError(f"the format is {kind!r}; expected one of {', '.join(FORMATS)}")
