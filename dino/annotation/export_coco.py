"""Accepted photos as one COCO JSON, instances of `pycocotools` and everything built on it.

Masks are polygons, or COCO's compressed run lengths ("counts" is text), which are exact. `iscrowd` is
0 for both: every object is one object, and 1 would have COCO's evaluation, and most training code,
leave it out as a crowd. `pycocotools`, Detectron2 and MMDetection take either by its type; a tool that
reads `iscrowd` as "this is run lengths" wants polygons.
"""

import json
from typing import Any

import numpy as np

from dino.annotation.accepted import AcceptedObject, accepted_photos
from dino.annotation.session import Session
from dino.errors import UserError
from dino.media import regions
from dino.media.regions import DEFAULT_TOLERANCE_PX, outlines


def coco_bytes(session: Session, *, polygons: float | None = DEFAULT_TOLERANCE_PX) -> bytes:
    """`annotations.json` of a session.

    Args:
        polygons: how far in px an outline may be from the mask's (`polygons.simplify`); 0 keeps
            every corner. An object with holes has run lengths instead. None: run lengths for all.
    Raises:
        UserError: nothing accepted, a damaged mask, or a tolerance below 0.
    """
    if polygons is not None and not 0 <= polygons < float("inf"):
        raise UserError(f"the polygons' tolerance is {polygons} px; expected 0 or more, such as 1")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for photo in accepted_photos(session):
        height, width = photo.size
        number = photo.index + 1
        image = {"id": number, "file_name": photo.photo.file, "height": height, "width": width}
        images.append({**image, "sha256": photo.photo.sha256})
        for found in photo.objects:
            annotation = _annotation(found, polygons)
            annotations.append({"id": len(annotations) + 1, "image_id": number, **annotation})
    last_used = max((entry["category_id"] for entry in annotations), default=0)
    categories = [
        {"id": number + 1, "name": session.class_name(number), "supercategory": ""}
        for number in range(max(len(session.classes), last_used))
    ]
    document = {"images": images, "annotations": annotations, "categories": categories}
    return (json.dumps(document, indent=1) + "\n").encode()


def _annotation(found: AcceptedObject, tolerance: float | None) -> dict[str, Any]:
    left, top, width, height = _box(found.mask)
    crop = found.mask[top : top + height, left : left + width]
    parts = None if tolerance is None else outlines(crop, tolerance)
    if parts is None:
        size = list(found.mask.shape)
        segmentation: Any = {"size": size, "counts": regions.encode(found.mask)}
    else:
        segmentation = [(part + np.array([left, top])).ravel().tolist() for part in parts]
    return {
        "category_id": found.class_index + 1,
        "iscrowd": 0,
        "area": int(np.count_nonzero(found.mask)),
        "bbox": [left, top, width, height],
        "segmentation": segmentation,
    }


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(left, top, width, height) in px of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1
