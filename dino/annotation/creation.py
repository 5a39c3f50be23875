"""How a session begins: a folder or a ZIP of photos, each with its sha256, and an empty state a photo.

create(annotations_folder() / "birds", "photos/", classes=["bird"], settings=MaskSettings(),
       weights="dino_vits16", weights_sha256=backbone.weights_sha256)
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO

from dino.annotation.session import (
    PhotoState,
    Session,
    SessionPhoto,
    check_classes,
    open_session,
    session_bytes,
    state_bytes,
    state_name,
)
from dino.errors import UserError
from dino.masks.settings import MaskSettings
from dino.media.archive import MAX_FILES, unpack_photos
from dino.media.images import find_images
from dino.system.files import make_folder_atomically
from dino.system.jobs import check_name

ReadingProgress = Callable[[int, int], None]


def create(
    folder: str | Path,
    photos: str | Path | IO[bytes],
    *,
    classes: Sequence[str],
    settings: MaskSettings,
    weights: str,
    weights_sha256: str,
    progress: ReadingProgress | None = None,
) -> Session:
    """Begin a session; its folder appears when all is written, or not at all.

    Args:
        folder: of the session; must not exist, and its name is the session's.
        photos: a folder, searched with its sub-folders, which stays where it is; or a ZIP (path or
            open file), which is unpacked into the session.
        weights: what `dino.load` takes; weights_sha256: the digest of what it gave.
        progress: called with (photos read, photos).
    Raises:
        UserError: no photos, too many, a name that cannot be or is taken, or nowhere to write.
    """
    folder = Path(os.path.abspath(folder))
    check_name(folder.name)
    names = check_classes(classes)
    if folder.exists():
        raise UserError(f"there is a session named {folder.name} already; choose another name")
    try:
        with make_folder_atomically(folder) as unfinished:
            source = _find_source(photos, unfinished)
            session = Session(
                folder=unfinished,
                source=source,
                photos=_list_photos(source, progress),
                classes=names,
                settings=asdict(settings),
                weights=weights,
                weights_sha256=weights_sha256,
            )
            _write_files(session)
    except OSError as error:
        raise UserError(f"the session was not begun ({error.strerror or error})") from error
    return open_session(folder)


def _find_source(photos: str | Path | IO[bytes], unfinished: Path) -> Path:
    """Find the folder the photos lie in, unpacked into the session where they came in a ZIP."""
    if isinstance(photos, str | Path):
        path = Path(photos)
        if path.is_dir():
            return Path(os.path.abspath(path))
        if path.suffix.lower() != ".zip":
            raise UserError(f"{path} is neither a folder nor a ZIP; name one with photos in it")
    return unpack_photos(photos, unfinished / "photos").folder


def _list_photos(source: Path, progress: ReadingProgress | None) -> tuple[SessionPhoto, ...]:
    """List the photos of a folder with their sha256, which takes reading them."""
    paths = find_images(source)
    if not paths:
        raise UserError(f"{source} holds no photos; expected PNG, JPEG, WebP or the like in it")
    if len(paths) > MAX_FILES:
        raise UserError(
            f"{source} holds {len(paths):,} photos; at most {MAX_FILES:,} make a session, so begin "
            "one a sub-folder"
        )
    photos = []
    for number, path in enumerate(paths, start=1):
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                num_bytes = file.tell()
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}); mend or remove it"
            ) from error
        photos.append(SessionPhoto(path.relative_to(source).as_posix(), digest, num_bytes))
        if progress is not None:
            progress(number, len(paths))
    return tuple(photos)


def _write_files(session: Session) -> None:
    """Write all files of a new session; nothing is lost if the machine stops here, so nothing is synced."""
    states = session.folder / "states"
    states.mkdir()
    for index, photo in enumerate(session.photos):
        content = state_bytes(PhotoState(), photo_sha256=photo.sha256)
        (states / state_name(index)).write_bytes(content)
    (session.folder / "session.json").write_bytes(session_bytes(session))
