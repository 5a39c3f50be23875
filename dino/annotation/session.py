"""A session of annotation: a folder that says which photos, which classes, how masks are proposed.

    SESSION/session.json       photos with their sha256, classes, MaskSettings, weights
    SESSION/states/00001.json  one a photo: whether it is done, and its objects
    SESSION/photos/            where the photos came in a ZIP

Nothing but these files is remembered anywhere, so a session goes on where it was after a reload, a
restart, or on another machine (with the photos where they were). Two browser tabs may work on one: of
each photo the last save wins, and of the class names the last change. Each file is replaced as a whole,
so that none is ever half of each, and what happens to one photo's harms no other.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from dino.errors import UserError
from dino.system.files import parse_json, write_atomically
from dino.system.folders import checkpoints_folder

VERSION = 1
MAX_CLASSES = 255  # a label picture has 256 values, and 0 is the background
MAX_CLASS_NAME = 60
_PHOTOS = "photos"
TODO, ACCEPTED, REJECTED = STATUSES = ("todo", "accepted", "rejected")
PROPOSED, EDITED = MADE = ("proposed", "edited")
# One a number key, and as many colours as the eye keeps apart.
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
        """Give the photo another verdict, with the same objects."""
        return replace(self, status=status)


@dataclass(frozen=True)
class SessionPhoto:
    """A photo of a session: its path below the source with "/", its sha256, its length in bytes."""

    file: str
    sha256: str
    num_bytes: int


@dataclass(frozen=True)
class Session:
    """What session.json says. `source` is the folder of the photos, `settings` the MaskSettings of
    the proposals as JSON, `weights` and `weights_sha256` what they are made with."""

    folder: Path
    source: Path
    photos: tuple[SessionPhoto, ...]
    classes: tuple[str, ...]
    settings: dict[str, Any]
    weights: str
    weights_sha256: str

    @property
    def name(self) -> str:
        return self.folder.name

    def photo_path(self, index: int) -> Path:
        """Say where photo `index` (from 0) should be."""
        return self.source / self.photos[index].file

    def state_path(self, index: int) -> Path:
        """Find the file of the state of photo `index`."""
        return self.folder / "states" / state_name(index)

    def read_photo(self, index: int) -> bytes:
        """Read the bytes of photo `index`, which are the ones the session began with.

        Raises:
            UserError: it is gone, or another one by now.
        """
        photo, path = self.photos[index], self.photo_path(index)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{photo.file} cannot be read below {self.source} ({error.strerror or error}); "
                "put it back, or reject it"
            ) from error
        if hashlib.sha256(data).hexdigest() != photo.sha256:
            raise UserError(
                f"{photo.file} has changed since the session began, so its masks may not fit; put "
                "the old one back, or begin a new session"
            )
        return data

    def load(self, index: int) -> tuple[PhotoState, str]:
        """Read the state of photo `index`, and what is wrong with its file ("": nothing); a photo whose
        file is gone or damaged is to be done again."""
        try:
            return read_state(self.state_path(index), photo_sha256=self.photos[index].sha256), ""
        except UserError as error:
            return PhotoState(), f"{self.photos[index].file}: {error}"

    def save(self, index: int, state: PhotoState) -> None:
        """Write the state of photo `index`; a damaged file there is kept beside as `.damaged`.

        Raises:
            UserError: it cannot be written.
        """
        path = self.state_path(index)
        if path.exists() and self.load(index)[1]:
            os.replace(path, path.with_suffix(".damaged"))
        write_atomically(state_bytes(state, photo_sha256=self.photos[index].sha256), path)

    def class_name(self, number: int) -> str:
        """Name a class, also of one that another tab added and this list does not have."""
        return self.classes[number] if number < len(self.classes) else f"class {number + 1}"

    def with_class(self, number: int, name: str) -> "Session":
        """Rename class `number`, or add one where it is the next; written at once.

        Raises:
            UserError: no name, a name that is taken, too many classes, or nowhere to write.
        """
        now = open_session(self.folder)
        classes = list(now.classes)
        if number > len(classes):
            raise UserError(f"there are {len(classes)} classes; the next one is {len(classes) + 1}")
        classes[number : number + 1] = [name]
        return replace(now, classes=check_classes(classes))._write()

    def with_weights(self, weights: str, sha256: str) -> "Session":
        """Take other weights for the proposals to come; written at once."""
        now = open_session(self.folder)
        return replace(now, weights=weights, weights_sha256=sha256)._write()

    def _write(self) -> "Session":
        """Replace session.json by what this says."""
        write_atomically(session_bytes(self), self.folder / "session.json")
        return self


def annotations_folder() -> Path:
    """Find where sessions are unless said otherwise: `annotations` of the checkpoints folder."""
    return checkpoints_folder() / "annotations"


def list_sessions(root: Path) -> list[str]:
    """List the names of the sessions in a folder, the one worked on last first; no photo is looked at."""
    if not root.is_dir():
        return []
    found = [path.parent for path in root.glob("[!.]*/session.json") if path.is_file()]
    found.sort(key=lambda path: (path / "states").stat().st_mtime, reverse=True)
    return [path.name for path in found]


def find_session(name: str, root: Path) -> Path:
    """Find the folder of a session by its name.

    Raises:
        UserError: there is none.
    """
    known = list_sessions(root)
    if name not in known:
        hint = f"there are {', '.join(known[:8])}" if known else "there are none yet"
        raise UserError(f"there is no session {name[:80]!r} in {root}; {hint}")
    return root / name


def open_session(folder: str | Path) -> Session:
    """Read session.json.

    Raises:
        UserError: it is gone, damaged, or of another version.
    """
    path = Path(folder) / "session.json"
    try:
        return _parse_session(Path(folder), parse_json(path.read_bytes()))
    except UserError as error:
        raise UserError(f"{path} cannot be used: {error}") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise UserError(
            f"{path} cannot be used: {reason}; the states beside it are as they were"
        ) from error


def session_bytes(session: Session) -> bytes:
    """Write what stands in session.json; photos inside the session's own folder are noted as such."""
    inside = session.source == session.folder / _PHOTOS
    document = {
        "version": VERSION,
        "source": None if inside else str(session.source),
        "classes": list(session.classes),
        "settings": session.settings,
        "weights": session.weights,
        "weights_sha256": session.weights_sha256,
        "photos": [asdict(photo) for photo in session.photos],
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def check_classes(names: Sequence[str]) -> tuple[str, ...]:
    """Check class names, and give them as they are kept, without blanks around them.

    Raises:
        UserError: none, too many, an empty or long one, or one twice.
    """
    clean = tuple(" ".join(str(name).split()) for name in names)
    if not 1 <= len(clean) <= MAX_CLASSES:
        raise UserError(f"there are {len(clean)} classes; expected 1 to {MAX_CLASSES}")
    wrong = [name for name in clean if not name or len(name) > MAX_CLASS_NAME]
    if wrong:
        raise UserError(
            f"a class is named {wrong[0][:80]!r}; expected 1 to {MAX_CLASS_NAME} characters"
        )
    if twice := [name for name in clean if clean.count(name) > 1]:
        raise UserError(f"two classes are named {twice[0]!r}; give each a name of its own")
    return clean


def state_name(index: int) -> str:
    """Name the file of the state of photo `index`."""
    return f"{index + 1:05}.json"


def _parse_session(folder: Path, document: dict[str, Any]) -> Session:
    if document["version"] != VERSION:
        raise UserError(f"version is {document['version']!r}, expected {VERSION}; update the app")
    source = document["source"]
    return Session(
        folder=folder,
        source=folder / _PHOTOS if source is None else Path(source),
        photos=tuple(_parse_photo(entry) for entry in document["photos"]),
        classes=check_classes(document["classes"]),
        settings=dict(document["settings"]),
        weights=str(document["weights"]),
        weights_sha256=str(document["weights_sha256"]),
    )


def _parse_photo(entry: dict[str, Any]) -> SessionPhoto:
    file = PurePosixPath(entry["file"])
    if file.is_absolute() or ".." in file.parts or not file.parts:
        raise UserError(f"the photo {str(file)[:80]!r} leads out of its folder")
    return SessionPhoto(str(file), str(entry["sha256"]), int(entry["num_bytes"]))


def state_bytes(state: PhotoState, *, photo_sha256: str) -> bytes:
    """Write what stands in the file of a photo."""
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
    """Read the state in a file.

    Raises:
        UserError: it is gone, damaged, or of another photo.
    """
    try:
        return _parse_state(parse_json(path.read_bytes()), photo_sha256)
    except FileNotFoundError:
        raise UserError(f"{path.name} is gone; the photo is to be done again") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = str(error) if isinstance(error, UserError | OSError) else "not what was written"
        raise UserError(
            f"{path.name} is damaged ({reason}); the photo is to be done again"
        ) from error


def _parse_state(document: dict[str, Any], photo_sha256: str) -> PhotoState:
    if document["photo_sha256"] != photo_sha256:
        raise UserError("of another photo")
    size = document["size"]
    if size is not None:
        height, width = size
        if not (_is_whole(height, 1) and _is_whole(width, 1)):
            raise UserError("its size is none")
        size = (height, width)
    objects = tuple(_parse_object(entry) for entry in document["objects"])
    if document["status"] not in STATUSES or (objects and size is None):
        raise UserError("not what was written")
    if len({o.id for o in objects}) < len(objects):
        raise UserError("two objects of one number")
    return PhotoState(document["status"], size, objects)


def _parse_object(entry: dict[str, Any]) -> MaskObject:
    whole = _is_whole(entry["id"], 1) and _is_whole(entry["class"], 0)
    if not whole or entry["made"] not in MADE or not isinstance(entry["counts"], str):
        raise UserError("an object that is none")
    return MaskObject(entry["id"], entry["class"], entry["counts"], entry["made"])


def _is_whole(value: object, least: int) -> bool:
    return type(value) is int and value >= least
