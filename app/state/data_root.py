"""Find the photos to train on: in folders below one root, and uploaded ones beside the runs.

Nothing outside is reachable from a browser. The root is `DINO_DATA_ROOT` (`make app DATA=…`), else
the folder above the one the app was started in, so that photos beside the project are found; where
that would be a home folder or the whole disk, the folder it was started in.
"""

import itertools
import os
import re
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from app.access import may_work, require_work
from dino.errors import UserError
from dino.media.images import IMAGE_SUFFIXES
from dino.media.photo_folders import open_labelled
from dino.system.folders import PROJECT_FOLDER, checkpoints_folder
from dino.system.jobs import check_name
from dino.training.data import open_photos
from dino.training.runs.jobs import runs_folder

UPLOAD = "upload:"
_MAX_FOUND = 200
_NUM_EXAMPLES = 3
_MAX_STEM = 48
# A look around that stays quick on a large disk.
_MAX_FOLDERS, _MAX_ENTRIES, _MAX_DEPTH, _MAX_SECONDS = 4000, 2000, 6, 1.0
_SKIPPED = {"__pycache__", "node_modules", "site-packages"}


def data_root() -> Path:
    """Return the folder that all photos to train on must lie in."""
    if named := os.environ.get("DINO_DATA_ROOT"):
        return Path(named).expanduser().absolute()
    here = Path.cwd()
    private = {Path(os.path.expanduser("~")), Path(here.anchor)}
    return here if here.parent in private else here.parent


def free_name(parent: Path, text: str, *, otherwise: str, numbered: bool = False) -> str:
    """Make a folder's name that nothing below `parent` has, of a text.

    Args:
        otherwise: the name where nothing of the text can be in one.
        numbered: begin at -1; else the first has no number.
    """
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:_MAX_STEM] or otherwise
    number, name = 1, f"{stem}-1" if numbered else stem
    while (parent / name).exists():
        number += 1
        name = f"{stem}-{number}"
    return name


def uploads_folder() -> Path:
    """Return the folder that uploaded photos are unpacked in."""
    return checkpoints_folder() / "data"


def resolve(text: str, root: Path) -> Path:
    """Find the folder that a path below the root, or "upload:NAME", means.

    Raises:
        UserError: no such folder, one outside, or a server that reads none.
    """
    require_work()
    folder, outer = root / text.strip(), root
    if text.startswith(UPLOAD):
        outer = uploads_folder()
        folder = outer / check_name(text.removeprefix(UPLOAD))
    try:
        real = folder.resolve()
        inside = real.is_relative_to(outer.resolve())
        found = inside and real.is_dir()
    except (OSError, ValueError):  # too long, a null byte, a loop of links
        inside = found = False
    if not inside:
        raise UserError(f"the folder {text[:80]!r} is not below {outer}; give a path from there")
    if not found:
        raise UserError(f"there is no folder {text[:80]!r} in {outer}; check the spelling")
    return folder.absolute()


def name_of(folder: Path, root: Path) -> str | None:
    """Name a folder as `resolve` takes it; None for a folder outside."""
    if folder.parent == uploads_folder().absolute():
        return f"{UPLOAD}{folder.name}"
    return str(folder.relative_to(root)) if folder.is_relative_to(root) else None


@dataclass(frozen=True)
class PhotoFacts:
    """What a folder of photos holds: how many, of how many classes, a few `examples` spread over it,
    and why k-NN cannot be measured on it (empty: it can)."""

    num_photos: int
    num_classes: int
    examples: tuple[str, ...]
    unfit_for_knn: str


def look_into(folder: str) -> PhotoFacts:
    """Count the photos of a folder, or of shards in it.

    Raises:
        UserError: it holds none.
    """
    photos = open_photos(folder)
    paths = getattr(photos, "paths", ())  # shards have none
    last, count = len(paths) - 1, min(len(paths), _NUM_EXAMPLES)
    examples = tuple(str(paths[i * last // max(count - 1, 1)]) for i in range(count))
    try:
        open_labelled(folder)
        unfit = ""
    except UserError as error:
        unfit = str(error)
    return PhotoFacts(len(photos), len(photos.classes), examples, unfit)


@dataclass
class _Folder:
    """What a look into a folder showed."""

    path: Path
    depth: int
    has_photos: bool = False
    children: "list[_Folder]" = field(default_factory=list)

    @property
    def has_classes(self) -> bool:
        """Whether it holds folders of photos rather than photos."""
        return not self.has_photos and sum(child.has_photos for child in self.children) > 1

    @property
    def has_splits(self) -> bool:
        """Whether it holds train/ and val/, both with classes."""
        names = {child.path.name for child in self.children if child.has_classes}
        return {"train", "val"} <= names


def find_photo_folders(root: Path) -> list[str]:
    """List the folders with photos, or with classes of photos, below the root; uploads first, then the
    nearest.

    Returns nothing on a server that reads no folders.
    """
    if not may_work():
        return []
    folder = uploads_folder()
    uploads = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    ours = {PROJECT_FOLDER / "app", PROJECT_FOLDER / "docs"}  # pictures, but none to learn from
    seen = _walk(root, ours | {runs_folder().absolute(), checkpoints_folder().absolute()})
    classes = {child.path for folder in seen if folder.has_classes for child in folder.children}
    shown = [
        str(folder.path.relative_to(root))
        for folder in seen
        if (folder.has_photos and folder.path not in classes)
        or folder.has_classes
        or folder.has_splits
    ]
    return [*(f"{UPLOAD}{n}" for n in uploads if not n.startswith(".")), *shown][:_MAX_FOUND]


def _walk(root: Path, left_out: set[Path]) -> list[_Folder]:
    """Walk the folders below the root, level by level; hidden and linked ones are not entered."""
    top = _Folder(root, 0)
    queue, seen = deque([top]), [top]
    deadline = time.monotonic() + _MAX_SECONDS
    while queue and len(seen) < _MAX_FOLDERS and time.monotonic() < deadline:
        folder = queue.popleft()
        for path, is_folder in _entries(folder.path):
            if not is_folder:
                folder.has_photos |= path.suffix.lower() in IMAGE_SUFFIXES
            elif folder.depth < _MAX_DEPTH and path not in left_out and path.name not in _SKIPPED:
                child = _Folder(path, folder.depth + 1)
                folder.children.append(child)
                queue.append(child)
                seen.append(child)
    return seen


def _entries(folder: Path) -> list[tuple[Path, bool]]:
    """List the files and folders in a folder that are not hidden, sorted; none where it may not be read."""
    try:
        with os.scandir(folder) as entries:
            found = list(itertools.islice(entries, _MAX_ENTRIES))
            if any(entry.name == "pyvenv.cfg" for entry in found):
                return []
            return sorted(
                (Path(entry.path), entry.is_dir(follow_symlinks=False))
                for entry in found
                if not entry.name.startswith(".") and not entry.is_symlink()
            )
    except OSError:
        return []
