"""What the user has chosen: frozen values, mirrored in the URL by the widgets' own keys.

URL parameters: `photo` and `weights` by name, `size` in px, and each page's own controls. Photos a
user adds live in that user's session only; a link names them by a part of their sha256, and says so
plainly to anyone else.
"""

import json
from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dino.errors import ImageError
from dino.media.images import decode
from dino.system.files import content_id

PHOTOS = Path(__file__).resolve().parents[1] / "photos"
SIZES = (224, 320, 384, 448, 480, 512, 640, 768, 896, 1024, 1152, 1344, 1536, 1792, 2048)
DEFAULT_SIZE = 480
MAX_PHOTO_BYTES = 25 * 2**20
# Photos of their own a session keeps; older ones make room.
MAX_OWN_PHOTOS = 8

_OWN = "own_photos"

# What Streamlit keeps of a browser session, or a dict in its place.
Session = MutableMapping[Any, Any]


@dataclass(frozen=True)
class Photo:
    """A photo: `name` as the URL has it, the file's bytes and their sha256 `id`, and its `credit`
    for the bundled ones."""

    name: str
    file_name: str
    data: bytes
    id: str
    alt: str
    credit: str = ""


@dataclass(frozen=True)
class Choice:
    """What every page shows: a photo, the name of the weights, and the longer side in px."""

    photo: Photo
    weights: str
    size: int


@cache
def bundled_photos() -> dict[str, Photo]:
    """Return the photos that come with the app, in the order they are offered."""
    photos = {}
    for entry in json.loads((PHOTOS / "credits.json").read_text()):
        source = entry["source"].split(",")[0]
        credit = f"{entry['title']} by {entry['author']}, {entry['license']}, {source}"
        data = (PHOTOS / entry["file"]).read_bytes()
        photos[entry["name"]] = Photo(
            name=entry["name"],
            file_name=entry["file"],
            data=data,
            id=content_id(data),
            alt=entry["alt"],
            credit=credit,
        )
    return photos


def own_photos(session: Session) -> dict[str, Photo]:
    """Return the photos this session has added, newest first."""
    return session.setdefault(_OWN, {})


def add_photo(session: Session, file_name: str, data: bytes) -> Photo:
    """Check a photo and keep it in the session, in front of the others.

    Raises:
        ImageError: more than 25 MB, or not a picture; the session stays as it was.
    """
    if len(data) > MAX_PHOTO_BYTES:
        raise ImageError(
            f"{file_name} has {len(data) / 2**20:.1f} MB; at most {MAX_PHOTO_BYTES // 2**20} MB "
            "are taken, so resize it first"
        )
    try:
        decode(data)
    except ImageError as error:
        raise ImageError(f"{file_name}: {error}") from error
    digest = content_id(data)
    photo = Photo(
        name=f"{plain_stem(file_name, 24) or 'photo'}-{digest[:8]}",
        file_name=file_name,
        data=data,
        id=digest,
        alt=f"Your photo {file_name}",
    )
    others = {name: kept for name, kept in own_photos(session).items() if name != photo.name}
    session[_OWN] = {photo.name: photo, **dict(list(others.items())[: MAX_OWN_PHOTOS - 1])}
    return photo


def plain_stem(file_name: str, length: int) -> str:
    """Keep the letters, digits and dashes of a file's name without its ending: fit for a link and for a
    path."""
    return "".join(c if c.isalnum() else "-" for c in Path(file_name).stem)[:length].strip("-")


def all_photos(session: Session) -> dict[str, Photo]:
    """Return own photos, then the bundled ones, by name."""
    return {**own_photos(session), **bundled_photos()}
