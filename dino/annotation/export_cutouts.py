"""Accepted objects as cut-outs: one RGBA PNG an object, at the photo's size, clear around it."""

from collections.abc import Callable, Iterator

from dino.annotation.accepted import accepted_photos, plain_names
from dino.annotation.session import Session
from dino.errors import UserError
from dino.media import draw
from dino.media.images import decode
from dino.system.files import File


def cutout_files(
    session: Session, *, failed: Callable[[str], None] | None = None
) -> Iterator[File]:
    """`cutouts/PHOTO-NUMBER-CLASS.png` of each object.

    Args:
        failed: called with a sentence for a photo that is gone or has changed, which is left out;
            without it the first such photo ends the export.
    Raises:
        UserError: nothing accepted, a damaged mask, or such a photo.
    """
    names = plain_names(session)
    for photo in accepted_photos(session):
        try:
            rgb = decode(session.read_photo(photo.index))
            if rgb.shape[:2] != photo.size:
                raise UserError(f"{photo.photo.file} has another size than its masks")
        except UserError as error:
            if failed is None:
                raise
            failed(str(error))
            continue
        for number, found in enumerate(photo.objects, start=1):
            kind = _plain(session.class_name(found.class_index))
            name = f"cutouts/{names[photo.index]}-{number}-{kind}.png"
            yield name, draw.encode_png(draw.cutout(rgb, found.mask))


def _plain(name: str) -> str:
    """A class name as a part of a file name."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
