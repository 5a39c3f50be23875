"""The file of a photo: whether it is done, and its objects.

Each photo of a session has a small JSON file of its own, replaced as a whole: two that write at once
leave the file of one of them, never a mixture, and what happens to one file harms no other photo.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dino.errors import UserError
from dino.system.files import parse_json, write_atomically

TODO, ACCEPTED, REJECTED = STATUSES = ("todo", "accepted", "rejected")
PROPOSED, EDITED = MADE = ("proposed", "edited")
# One a number key, and as many colours as can be told apart.
MAX_OBJECTS = 9


@dataclass(frozen=True)
class MaskObject:
    """An object in a photo: its `id` within the photo, the number of its class, its mask as COCO's
    compressed run lengths, and whether somebody `made` it by hand or left it as proposed."""

    id: int
    class_index: int
    counts: str
    made: str = PROPOSED


@dataclass(frozen=True)
class PhotoState:
    """What is known of a photo: `size` (H, W) in px is None until it is first opened."""

    status: str = TODO
    size: tuple[int, int] | None = None
    objects: tuple[MaskObject, ...] = ()

    def with_status(self, status: str) -> "PhotoState":
        """The same objects, another verdict."""
        return replace(self, status=status)


def write_state(path: Path, state: PhotoState, *, photo_sha256: str) -> None:
    """Replace the file of a photo.

    Raises:
        UserError: it cannot be written; the old one stays.
    """
    write_atomically(state_bytes(state, photo_sha256=photo_sha256), path)


def state_bytes(state: PhotoState, *, photo_sha256: str) -> bytes:
    """What stands in the file of a photo."""
    document = {
        "photo_sha256": photo_sha256,
        "status": state.status,
        "size": state.size,
        "objects": [
            {"id": o.id, "class": o.class_index, "made": o.made, "counts": o.counts}
            for o in state.objects
        ],
    }
    return (json.dumps(document) + "\n").encode()


def read_state(path: Path, *, photo_sha256: str) -> PhotoState:
    """The state in a file.

    Raises:
        UserError: it is gone, damaged, or of another photo.
    """
    try:
        return _parsed(parse_json(path.read_bytes()), photo_sha256)
    except FileNotFoundError:
        raise UserError(f"{path.name} is gone; the photo is to be done again") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = str(error) if isinstance(error, UserError | OSError) else "not what was written"
        raise UserError(
            f"{path.name} is damaged ({reason}); the photo is to be done again"
        ) from error


def _parsed(document: dict[str, Any], photo_sha256: str) -> PhotoState:
    if document["photo_sha256"] != photo_sha256:
        raise UserError("of another photo")
    size = document["size"]
    if size is not None:
        height, width = size
        if not (_whole(height, 1) and _whole(width, 1)):
            raise UserError("its size is none")
        size = (height, width)
    objects = tuple(_object(entry) for entry in document["objects"])
    if document["status"] not in STATUSES or (objects and size is None):
        raise UserError("not what was written")
    if len({o.id for o in objects}) < len(objects):
        raise UserError("two objects of one number")
    return PhotoState(document["status"], size, objects)


def _object(entry: dict[str, Any]) -> MaskObject:
    whole = _whole(entry["id"], 1) and _whole(entry["class"], 0)
    if not whole or entry["made"] not in MADE or not isinstance(entry["counts"], str):
        raise UserError("an object that is none")
    return MaskObject(entry["id"], entry["class"], entry["counts"], entry["made"])


def _whole(value: object, least: int) -> bool:
    return type(value) is int and value >= least
