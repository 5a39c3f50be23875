"""What was accepted in a session, as files that others read: COCO, YOLO, label pictures and cut-outs.

    for name, data in export_files(session, "coco", polygons=1): ...

All start from the accepted photos with their masks, one at a time.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from dino.annotation.overview import Overview
from dino.annotation.session import ACCEPTED, MAX_CLASSES, Session
from dino.errors import UserError
from dino.masks.coco import (
    LabelledPhoto,
    coco_document,
    compressed_segmentation,
    polygon_segmentation,
)
from dino.media import draw, regions
from dino.media.images import decode
from dino.media.label_maps import indexed_png
from dino.media.regions import DEFAULT_TOLERANCE_PX, simplify, trace_rings
from dino.system.files import File

FORMATS = ("coco", "yolo", "png", "cutouts")


def export_files(
    session: Session,
    kind: str,
    *,
    polygons: float | None = DEFAULT_TOLERANCE_PX,
    failed: Callable[[str], None] | None = None,
) -> Iterator[File]:
    """Write a format's files, as (name, bytes).

    Args:
        kind: one of `FORMATS`.
        polygons: how far in px an outline of COCO or YOLO may be from the mask's (`regions.simplify`);
            0 keeps every corner. None: run lengths for all of COCO's.
        failed: called with a sentence for a photo that is gone or has changed, which the cut-outs are
            left without; without it the first such photo ends their export.
    Raises:
        UserError: an unknown format, YOLO without polygons, a tolerance below 0, nothing accepted, a
            damaged mask, such a photo without `failed`, or two photos whose labels YOLO would not tell apart.
    """
    if kind == "coco":
        return iter([("annotations.json", _coco_bytes(session, polygons))])
    if kind == "yolo":
        if polygons is None:
            raise UserError("YOLO has polygons only; give a tolerance in px")
        return _yolo_files(session, polygons)
    if kind == "png":
        return _label_files(session)
    if kind == "cutouts":
        return _cutout_files(session, failed)
    raise UserError(f"the format is {kind!r}; expected one of {', '.join(FORMATS)}")


def _accepted_photos(session: Session) -> Iterator[LabelledPhoto]:
    """Read the accepted photos one by one, in the session's order; objects whose mask is empty are left out.

    Raises:
        UserError: none is accepted, or a mask is damaged.
    """
    statuses = Overview(session).statuses
    if ACCEPTED not in statuses:
        raise UserError(f"no photo of {session.name} is accepted yet; accept some to export them")
    for index, status in enumerate(statuses):
        if status != ACCEPTED:
            continue
        state, _ = session.load(index)
        if state.status != ACCEPTED or state.size is None:
            continue  # changed by another since they were counted
        photo = session.photos[index]
        objects: list[tuple[int, np.ndarray]] = []
        for entry in state.objects:
            try:
                mask = regions.decode(entry.counts, state.size)
            except UserError as error:
                raise UserError(f"{photo.file}: {error}; reject or draw it again") from error
            if mask.any():
                objects.append((entry.class_index, mask))
        yield LabelledPhoto(index + 1, photo.file, state.size, objects, {"sha256": photo.sha256})


def _result_names(session: Session) -> list[str]:
    """Name the results of each photo: its path without suffix, or with it where two are alike."""
    stems = [str(PurePosixPath(photo.file).with_suffix("")) for photo in session.photos]
    times = Counter(stem.lower() for stem in stems)  # as file systems that ignore case see them
    return [
        stem if times[stem.lower()] == 1 else photo.file
        for stem, photo in zip(stems, session.photos, strict=True)
    ]


def _coco_bytes(session: Session, polygons: float | None) -> bytes:
    """Write `annotations.json`; without `polygons`, and for an object with holes, as run lengths."""
    if polygons is not None and not 0 <= polygons < float("inf"):
        raise UserError(f"the polygons' tolerance is {polygons} px; expected 0 or more, such as 1")
    segment = (
        compressed_segmentation
        if polygons is None
        else partial(polygon_segmentation, tolerance=polygons)
    )
    document = coco_document(
        _accepted_photos(session),
        segment=segment,
        num_classes=len(session.classes),
        class_name=session.class_name,
    )
    return f"{document}\n".encode()


def _yolo_files(session: Session, tolerance: float) -> Iterator[File]:
    """Write `labels/PHOTO.txt` of each accepted photo, then `data.yaml`.

    A line an object: the number of its class, then x y of its outline, both as shares of the photo's
    sides. The format has one polygon a line: parts are joined by bridges of no width, and **holes are
    lost**. A photo without objects has an empty file, which trains as background. YOLO looks for the
    photos in `images/`, by the same names.
    """
    names, num_classes = _result_names(session), len(session.classes)
    for photo in _accepted_photos(session):
        name = names[photo.number - 1]
        if name == photo.file_name:
            raise UserError(
                f"{name} and another photo differ in their suffix only, and YOLO finds labels by "
                "the rest of the name; rename one and begin a new session"
            )
        lines = [_yolo_line(kind, mask, tolerance) for kind, mask in photo.objects]
        num_classes = max([num_classes, *(kind + 1 for kind, _ in photo.objects)])
        yield f"labels/{name}.txt", "".join(f"{line}\n" for line in lines).encode()
    yield "data.yaml", _data_yaml([session.class_name(n) for n in range(num_classes)])


def _yolo_line(class_index: int, mask: np.ndarray, tolerance: float) -> str:
    """Write an object, which must not be empty, as a line."""
    polygons = [simplify(ring, tolerance) for ring in trace_rings(mask) if not ring.is_hole]
    height, width = mask.shape
    shares = join_polygons(polygons) / (width, height)
    return f"{class_index} " + " ".join(f"{value:.6g}" for value in shares.ravel())


def join_polygons(polygons: Sequence[np.ndarray]) -> np.ndarray:
    """Join polygons [n,2] to one [m,2] that covers the same, by there-and-back lines between the
    nearest corners."""
    whole = polygons[0]
    for part in polygons[1:]:
        distances = ((whole[:, None] - part[None]) ** 2).sum(-1)
        at, begin = np.unravel_index(int(distances.argmin()), distances.shape)
        around = np.concatenate([part[begin:], part[: begin + 1]])
        whole = np.concatenate([whole[: at + 1], around, whole[at:]])
    return whole


def _data_yaml(names: Sequence[str]) -> bytes:
    """List the classes for YOLO; text in JSON's quotes is YAML too."""
    listed = "".join(
        f"  {number}: {json.dumps(name, ensure_ascii=False)}\n" for number, name in enumerate(names)
    )
    comment = "# Copy the photos into images/; labels/ has one file for each. Holes are lost.\n"
    return f"{comment}path: .\ntrain: images\nval: images\nnames:\n{listed}".encode()


def _label_files(session: Session) -> Iterator[File]:
    """Write `labels/PHOTO.png` of each accepted photo, a palette PNG, then `classes.txt`.

    0 is the background, class number n (from 0) is n + 1, and where objects overlap the later one shows.
    `classes.txt` names the values, a line each, the background first.
    """
    names, num_classes = _result_names(session), len(session.classes)
    for photo in _accepted_photos(session):
        labels = _draw_labels(photo)
        num_classes = max(num_classes, int(labels.max()))
        yield f"labels/{names[photo.number - 1]}.png", indexed_png(labels)
    listed = ["background", *(session.class_name(number) for number in range(num_classes))]
    yield "classes.txt", ("\n".join(listed) + "\n").encode()


def _draw_labels(photo: LabelledPhoto) -> np.ndarray:
    """Draw uint8 [H,W]: 0 where nothing is, else 1 + the number of the class.

    Raises:
        UserError: a class beyond the 255th.
    """
    labels = np.zeros(photo.size, np.uint8)
    for class_index, mask in photo.objects:
        if class_index >= MAX_CLASSES:
            raise UserError(f"class {class_index + 1} has no value in a picture of 8 bits")
        labels[mask] = class_index + 1
    return labels


def _cutout_files(session: Session, failed: Callable[[str], None] | None) -> Iterator[File]:
    """Cut out each object, `cutouts/PHOTO-NUMBER-CLASS.png`: RGBA at the photo's size, clear around it."""
    names = _result_names(session)
    for photo in _accepted_photos(session):
        try:
            rgb = decode(session.read_photo(photo.number - 1))
            if rgb.shape[:2] != photo.size:
                raise UserError(f"{photo.file_name} has another size than its masks")
        except UserError as error:
            if failed is None:
                raise
            failed(str(error))
            continue
        for number, (class_index, mask) in enumerate(photo.objects, start=1):
            kind = _file_word(session.class_name(class_index))
            name = f"cutouts/{names[photo.number - 1]}-{number}-{kind}.png"
            yield name, draw.encode_png(draw.cutout(rgb, mask))


def _file_word(name: str) -> str:
    """Turn a class name into a part of a file name."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
