"""Accepted photos as label pictures: one palette PNG a photo, a value a class.

0 is the background, class number n (from 0) is n + 1, and where objects overlap the later one shows.
`classes.txt` names the values, a line each, the background first.
"""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from dino.annotation.accepted import AcceptedPhoto, accepted_photos, plain_names
from dino.annotation.session import MAX_CLASSES, Session
from dino.errors import UserError
from dino.system.files import File


def label_files(session: Session) -> Iterator[File]:
    """`labels/PHOTO.png` of each accepted photo, then `classes.txt`.

    Raises:
        UserError: nothing accepted, or a damaged mask.
    """
    names, num_classes = plain_names(session), len(session.classes)
    for photo in accepted_photos(session):
        labels = label_picture(photo)
        num_classes = max(num_classes, int(labels.max()))
        yield f"labels/{names[photo.index]}.png", _palette_png(labels)
    listed = ["background", *(session.class_name(number) for number in range(num_classes))]
    yield "classes.txt", ("\n".join(listed) + "\n").encode()


def label_picture(photo: AcceptedPhoto) -> np.ndarray:
    """uint8 [H,W]: 0 where nothing is, else 1 + the number of the class.

    Raises:
        UserError: a class beyond the 255th.
    """
    labels = np.zeros(photo.size, np.uint8)
    for found in photo.objects:
        if found.class_index >= MAX_CLASSES:
            raise UserError(f"class {found.class_index + 1} has no value in a picture of 8 bits")
        labels[found.mask] = found.class_index + 1
    return labels


def _palette_png(labels: np.ndarray) -> bytes:
    picture = Image.fromarray(labels)
    picture.putpalette(_palette().tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _palette() -> np.ndarray:
    """256 colours uint8 [256,3], black first: the three lowest bits of a value are the highest bits of
    red, green and blue, and so on down, as the VOC data set has them; neighbours look different."""
    values = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        channel, place = bit % 3, 7 - bit // 3
        colours[:, channel] |= (((values >> bit) & 1) << place).astype(np.uint8)
    return colours
