"""COCO annotation files: which objects a photo has, and their outlines as masks.

    file = read_coco("instances.json")
    decode_outline(file.images[0].outlines[0], file.images[0].shape)      # bool [H, W]

Written out here because pycocotools needs a compiler where no wheel fits; a pixel belongs to a polygon
when its centre does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dino.errors import UserError
from dino.system.stored import parse_json

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


def polygon_mask(polygon: Sequence[float], shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose centre (x + 0.5, y + 0.5) lies inside, by the even-odd rule: bool [H,W].

    Args:
        polygon: [x0, y0, x1, y1, …] in px; what lies outside the photo is cut off.
    Raises:
        UserError: fewer than three points, or half a point.
    """
    if not isinstance(polygon, list | tuple) or not all(map(_is_finite, polygon)):
        raise UserError(
            f"got {polygon!r:.40} for a polygon, expected x and y in px; export the annotations again"
        )
    if len(polygon) % 2 or len(polygon) < 6:
        raise UserError(
            f"got a polygon of {len(polygon)} numbers, expected x and y of three points or more; "
            "export the annotations again"
        )
    x0, y0 = np.asarray(polygon, dtype=np.float64).reshape(-1, 2).T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    height, width = shape
    middles = np.arange(height) + 0.5
    edge, row = np.nonzero((y0[:, None] <= middles) != (y1[:, None] <= middles))
    part = (middles[row] - y0[edge]) / (y1 - y0)[edge]
    crossing = x0[edge] + part * (x1 - x0)[edge]
    # Each crossing turns inside into outside for all pixels whose centre is right of it.
    first = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
    turns = np.zeros((height, width + 1), dtype=np.int64)
    np.add.at(turns, (row, first), 1)
    return turns.cumsum(axis=1)[:, :width] % 2 == 1


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e9


def run_length_mask(counts: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """Run lengths, zeros first, column by column → bool [H,W]; the inverse of `export.run_lengths`.

    Raises:
        UserError: lengths that are negative or do not add up to the photo.
    """
    try:
        lengths = np.asarray(counts, dtype=np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(
            "got run lengths that are no whole numbers; export the annotations again"
        ) from error
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != shape[0] * shape[1]:
        raise UserError(
            f"got run lengths that add up to {lengths.sum()} px, expected {shape[0]}×{shape[1]} = "
            f"{shape[0] * shape[1]}; export the annotations again"
        )
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(shape, order="F")


def decode_counts(text: str) -> list[int]:
    """COCO's compressed run lengths as numbers.

    Six bits a character from "0" on: five of a number, lowest first, and one that says whether it
    goes on; the last one's fifth is the sign. From the fourth number on, what is stored is the
    difference from the one two before.

    Raises:
        UserError: a number that is cut off, or another character.
    """
    counts: list[int] = []
    value = bits = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise UserError(
                f"got {character!r} in compressed run lengths, expected characters from '0' to 'o'; "
                "export the annotations again"
            )
        value |= (code & 31) << bits
        bits += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << bits
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = bits = 0
    if bits:
        raise UserError(
            "got compressed run lengths that end within a number, expected them whole; export the "
            "annotations again"
        )
    return counts
