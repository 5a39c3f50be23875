"""COCO annotation files: which objects a photo has, and their outlines as masks.

    file = read_coco("instances.json")
    decode_outline(file.images[0].outlines[0], file.images[0].shape)      # bool [H, W]

Written out here because pycocotools needs a compiler where no wheel fits; a pixel belongs to a polygon
when its centre does.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dino.errors import UserError
from dino.masks.settings import Mask
from dino.media.regions import decode_counts, polygon_mask, run_length_mask, run_lengths
from dino.system.files import parse_json

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class CocoImage:
    """One photo of a COCO file.

    `shape` (H, W) in px; `outlines` of its objects and `crowds` (regions of many objects drawn as
    one), both as the file has them: polygons, or run lengths; `boxes` of the objects, (top, left,
    bottom, right) in px, None where the file has none.
    """

    file_name: str
    shape: tuple[int, int]
    outlines: tuple[Any, ...]
    crowds: tuple[Any, ...]
    boxes: tuple[Box | None, ...] = ()


def read_coco(path: str | Path) -> tuple[CocoImage, ...]:
    """The photos of a COCO JSON that have at least one object, in the file's order.

    Raises:
        UserError: not JSON, or not a COCO annotation file.
    """
    path = Path(path)
    try:
        document = parse_json(path.read_bytes())
        found: dict[Any, tuple[list[Any], list[Any], list[Box | None]]] = {}
        for annotation in document["annotations"]:
            objects, crowds, boxes = found.setdefault(annotation["image_id"], ([], [], []))
            if annotation.get("iscrowd"):
                crowds.append(annotation["segmentation"])
            else:
                objects.append(annotation["segmentation"])
                boxes.append(_box(annotation.get("bbox")))
        return tuple(
            CocoImage(
                image["file_name"],
                (int(image["height"]), int(image["width"])),
                *map(tuple, found[image["id"]]),
            )
            for image in document["images"]
            if found.get(image["id"], ((),))[0]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is not a COCO annotation file ({type(error).__name__}: {error}); expected JSON "
            "with images (id, file_name, height, width) and annotations (image_id, segmentation)"
        ) from error


def _box(bbox: Any) -> Box | None:
    """COCO's [left, top, width, height] as (top, left, bottom, right)."""
    if not bbox:
        return None
    left, top, width, height = map(float, bbox)
    return top, left, top + height, left + width


def decode_outline(outline: Any, shape: tuple[int, int]) -> np.ndarray:
    """The mask of a COCO `segmentation`.

    Args:
        outline: a list of polygons [x0, y0, x1, y1, …] in px, joined; or run lengths, a dict with
            `size` [H, W] and `counts`, a list or COCO's compressed text.
        shape: (H, W) in px.
    Returns:
        bool [H,W].
    Raises:
        UserError: neither of them, or of another size.
    Source: the format of pycocotools' maskApi.c.
    """
    if isinstance(outline, dict) and {"size", "counts"} <= outline.keys():
        if outline["size"] != list(shape):
            raise UserError(
                f"got run lengths of size {outline['size']} for a photo of {list(shape)}, expected "
                "the same; export the annotations again"
            )
        counts = outline["counts"]
        return run_length_mask(decode_counts(counts) if isinstance(counts, str) else counts, shape)
    if not isinstance(outline, list) or not outline:
        raise UserError(
            f"got a segmentation of type {type(outline).__name__}, expected polygons or run lengths "
            "with size and counts; export the annotations again"
        )
    mask = np.zeros(shape, dtype=bool)
    for polygon in outline:
        mask |= polygon_mask(polygon, shape)
    return mask


def coco_json(items: Iterable[tuple[str, Mask | Sequence[Mask]]]) -> bytes:
    """A COCO annotation file; `items` are (file name, the mask or the masks of a photo's objects).

    Masks are run lengths (exact, holes included), boxes [x, y, width, height] in px. Photos whose
    mask is empty are listed without an annotation.
    """
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, (file_name, masks) in enumerate(items, start=1):
        own = [masks] if isinstance(masks, Mask) else masks
        height, width = own[0].pixels.shape
        images.append({"id": number, "file_name": file_name, "height": height, "width": width})
        for mask in own:
            if mask.pixels.any():
                annotations.append(_annotation(len(annotations) + 1, number, mask.pixels))
    categories = [{"id": 1, "name": "object", "supercategory": ""}]
    return json.dumps(
        {"images": images, "annotations": annotations, "categories": categories}, indent=1
    ).encode()


def _annotation(number: int, image: int, pixels: np.ndarray) -> dict[str, object]:
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,  # an object to count; the readers tell run lengths by their form
        "area": int(np.count_nonzero(pixels)),
        "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        "segmentation": {"size": list(pixels.shape), "counts": run_lengths(pixels)},
    }
