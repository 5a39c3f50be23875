"""Accepted photos as YOLO segmentation labels: `labels/PHOTO.txt` and `data.yaml`.

A line an object: the number of its class, then x y of its outline, both as shares of the photo's
sides. The format has one polygon a line: parts are joined by bridges of no width, and **holes are
lost**. A photo without objects has an empty file, which trains as background. YOLO looks for the
photos in `images/`, by the same names.
"""

import json
from collections.abc import Iterator, Sequence

import numpy as np

from dino.annotation.accepted import accepted_photos, plain_names
from dino.annotation.session import Session
from dino.errors import UserError
from dino.media.regions import DEFAULT_TOLERANCE_PX, simplify, trace
from dino.system.files import File


def yolo_files(session: Session, *, tolerance: float = DEFAULT_TOLERANCE_PX) -> Iterator[File]:
    """The label files, then `data.yaml`.

    Args:
        tolerance: how far in px an outline may be from the mask's; 0 keeps every corner.
    Raises:
        UserError: nothing accepted, a damaged mask, or two photos whose labels would have one name.
    """
    names, num_classes = plain_names(session), len(session.classes)
    for photo in accepted_photos(session):
        name = names[photo.index]
        if name == photo.photo.file:
            raise UserError(
                f"{name} and another photo differ in their suffix only, and YOLO finds labels by "
                "the rest of the name; rename one and begin a new session"
            )
        lines = [yolo_line(o.class_index, o.mask, tolerance) for o in photo.objects]
        num_classes = max([num_classes, *(o.class_index + 1 for o in photo.objects)])
        yield f"labels/{name}.txt", "".join(f"{line}\n" for line in lines).encode()
    yield "data.yaml", _data_yaml([session.class_name(n) for n in range(num_classes)])


def yolo_line(class_index: int, mask: np.ndarray, tolerance: float) -> str:
    """An object, which must not be empty, as a line."""
    polygons = [simplify(ring, tolerance) for ring in trace(mask) if not ring.is_hole]
    height, width = mask.shape
    shares = joined(polygons) / (width, height)
    return f"{class_index} " + " ".join(f"{value:.6g}" for value in shares.ravel())


def joined(polygons: Sequence[np.ndarray]) -> np.ndarray:
    """Several polygons [n,2] as one [m,2] that covers the same, by there-and-back lines between the
    nearest corners."""
    whole = polygons[0]
    for part in polygons[1:]:
        distances = ((whole[:, None] - part[None]) ** 2).sum(-1)
        at, begin = np.unravel_index(int(distances.argmin()), distances.shape)
        around = np.concatenate([part[begin:], part[: begin + 1]])
        whole = np.concatenate([whole[: at + 1], around, whole[at:]])
    return whole


def _data_yaml(names: Sequence[str]) -> bytes:
    """Text in JSON's quotes is YAML too."""
    listed = "".join(
        f"  {number}: {json.dumps(name, ensure_ascii=False)}\n" for number, name in enumerate(names)
    )
    told = "# Copy the photos into images/; labels/ has one file for each. Holes are lost.\n"
    return f"{told}path: .\ntrain: images\nval: images\nnames:\n{listed}".encode()
