"""COCO annotation files, read and written: which objects a photo has, and their outlines as masks.

    images = read_coco("instances.json")
    decode_outline(images[0].outlines[0], images[0].shape)      # bool [H, W]
    coco_json([("a.jpg", masks)])                               # bytes: run lengths, one class

Written out here because pycocotools needs a compiler where no wheel fits.

A `segmentation` has three forms: polygons, run lengths as a list, and run lengths in COCO's compressed
text; both of the latter are exact. `iscrowd` is 0 for all that is written: every object is one object,
and 1 would have COCO's evaluation, and most training code, leave it out as a crowd. `pycocotools`,
Detectron2 and MMDetection take any form by its type; a tool that reads `iscrowd` as "this is run
lengths" wants polygons.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dino.errors import UserError
from dino.masks.settings import Mask
from dino.media import regions
from dino.system.files import parse_json

# (top, left, bottom, right) in px.
PixelBox = tuple[float, float, float, float]


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
    boxes: tuple[PixelBox | None, ...] = ()


def read_coco(path: str | Path) -> tuple[CocoImage, ...]:
    """Read the photos of a COCO JSON that have at least one object, in the file's order.

    Raises:
        UserError: not JSON, or not a COCO annotation file.
    """
    path = Path(path)
    try:
        document = parse_json(path.read_bytes())
        found: dict[Any, tuple[list[Any], list[Any], list[PixelBox | None]]] = {}
        for annotation in document["annotations"]:
            objects, crowds, boxes = found.setdefault(annotation["image_id"], ([], [], []))
            if annotation.get("iscrowd"):
                crowds.append(annotation["segmentation"])
            else:
                objects.append(annotation["segmentation"])
                boxes.append(_read_box(annotation.get("bbox")))
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


def _read_box(bbox: Any) -> PixelBox | None:
    """Turn COCO's [left, top, width, height] into (top, left, bottom, right)."""
    if not bbox:
        return None
    left, top, width, height = map(float, bbox)
    return top, left, top + height, left + width


def decode_outline(outline: Any, shape: tuple[int, int]) -> np.ndarray:
    """Draw the mask of a COCO `segmentation`.

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
    try:
        if isinstance(outline, dict) and {"size", "counts"} <= outline.keys():
            if outline["size"] != list(shape):
                raise UserError(
                    f"got run lengths of size {outline['size']} for a photo of {list(shape)}, "
                    "expected the same"
                )
            counts = outline["counts"]
            if isinstance(counts, str):
                return regions.decode(counts, shape)
            return regions.from_run_lengths(counts, shape)
        if not isinstance(outline, list) or not outline:
            raise UserError(
                f"got a segmentation of type {type(outline).__name__}, expected polygons or run "
                "lengths with size and counts"
            )
        return regions.rasterize([_corners(polygon) for polygon in outline], shape)
    except UserError as error:
        raise UserError(f"{error}; export the annotations again") from error


def _corners(polygon: Any) -> np.ndarray:
    """Check one polygon [x0, y0, x1, y1, …] of a file: its corners [n,2] in px."""
    if not isinstance(polygon, list | tuple) or not all(map(_is_finite, polygon)):
        raise UserError(f"got {polygon!r:.40} for a polygon, expected x and y in px")
    if len(polygon) % 2 or len(polygon) < 6:
        raise UserError(
            f"got a polygon of {len(polygon)} numbers, expected x and y of three points or more"
        )
    return np.asarray(polygon, dtype=np.float64).reshape(-1, 2)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo to write: its number from 1, name, size (H, W) in px, and of each object the number of
    its class from 0 and its mask [H,W] bool; `further` are more fields of the photo's entry."""

    number: int
    file_name: str
    size: tuple[int, int]
    objects: Sequence[tuple[int, np.ndarray]]
    further: Mapping[str, Any] = field(default_factory=dict)


def coco_document(
    photos: Iterable[LabelledPhoto],
    *,
    segment: Callable[[np.ndarray], Any],
    num_classes: int,
    class_name: Callable[[int], str],
) -> str:
    """Write a COCO annotation file; photos are taken one by one.

    Args:
        segment: what stands as the `segmentation` of a mask, such as `polygon_segmentation`.
        num_classes: how many are listed; more where objects are of more.
        class_name: of a number from 0.
    Returns:
        JSON. Photos without objects, and with objects whose mask is empty, are listed without them.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for photo in photos:
        height, width = photo.size
        image = {"id": photo.number, "file_name": photo.file_name, "height": height, "width": width}
        images.append({**image, **photo.further})
        for class_index, mask in photo.objects:
            if not mask.any():
                continue
            top, left, bottom, right = regions.box_of(mask)
            annotation = {
                "id": len(annotations) + 1,
                "image_id": photo.number,
                "category_id": class_index + 1,
                "iscrowd": 0,
                "area": int(np.count_nonzero(mask)),
                "bbox": [left, top, right - left, bottom - top],
                "segmentation": segment(mask),
            }
            annotations.append(annotation)
    last_used = max((entry["category_id"] for entry in annotations), default=0)
    categories = [
        {"id": number + 1, "name": class_name(number), "supercategory": ""}
        for number in range(max(num_classes, last_used))
    ]
    return json.dumps(
        {"images": images, "annotations": annotations, "categories": categories}, indent=1
    )


def run_length_segmentation(mask: np.ndarray) -> dict[str, Any]:
    """Write a mask as run lengths, a list of numbers."""
    return {"size": list(mask.shape), "counts": regions.run_lengths(mask)}


def compressed_segmentation(mask: np.ndarray) -> dict[str, Any]:
    """Write a mask as run lengths in COCO's compressed text."""
    return {"size": list(mask.shape), "counts": regions.encode(mask)}


def polygon_segmentation(mask: np.ndarray, *, tolerance: float) -> Any:
    """Write a mask as polygons [x0, y0, x1, y1, …]; one with holes as compressed run lengths.

    Args:
        tolerance: how far in px an outline may be from the mask's (`regions.simplify`).
    """
    top, left, bottom, right = regions.box_of(mask)
    parts = regions.outline_polygons(mask[top:bottom, left:right], tolerance)
    if parts is None:
        return compressed_segmentation(mask)
    return [(part + np.array([left, top])).ravel().tolist() for part in parts]


def coco_json(items: Iterable[tuple[str, Mask | Sequence[Mask]]]) -> bytes:
    """Write a COCO annotation file of one class, "object"; `items` are (file name, the mask or the
    masks of a photo's objects).

    Masks are run lengths (exact, holes included). Photos whose mask is empty are listed without an
    annotation.
    """

    def photos() -> Iterator[LabelledPhoto]:
        for number, (file_name, masks) in enumerate(items, start=1):
            own = [masks] if isinstance(masks, Mask) else masks
            height, width = own[0].pixels.shape
            objects = [(0, mask.pixels) for mask in own]
            yield LabelledPhoto(number, file_name, (height, width), objects)

    return coco_document(
        photos(), segment=run_length_segmentation, num_classes=1, class_name=lambda _: "object"
    ).encode()
