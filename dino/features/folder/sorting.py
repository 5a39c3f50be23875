"""Photos into folders by group: copied beside the originals, or as a ZIP; nothing is moved or
changed.

copy_sorted("photos", choose_places(paths, groups), "photos-sorted")       # photos-sorted/cluster-0/…
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from dino.errors import UserError
from dino.system.files import make_folder_atomically, zip_files

MAX_ZIP_BYTES = 2**30  # made in memory


def choose_places(paths: Sequence[str], groups: Sequence[str]) -> dict[str, str]:
    """Choose where each photo goes: its group's folder, sub-folders joined to one name.

    `a/1.png` becomes `a-1.png`; where two would meet, the later ones are numbered.
    """
    taken: set[str] = set()
    found = {}
    for path, group in zip(paths, groups, strict=True):
        folder = "".join(c if c.isalnum() or c in "-_. " else "-" for c in group).strip(". ")
        place = Path(folder or "none") / path.replace("/", "-")
        number, free = 1, place
        while str(free).casefold() in taken:
            number += 1
            free = place.with_name(f"{place.stem}-{number}{place.suffix}")
        taken.add(str(free).casefold())
        found[path] = free.as_posix()
    return found


def copy_sorted(root: str | Path, wanted: Mapping[str, str], target: str | Path) -> int:
    """Copy photos below `root` to their places below `target`, which appears whole or not at all.

    Args:
        wanted: path below `root` → place below `target`, as `choose_places` gives.
    Returns:
        How many were copied; those that are gone by now are left out.
    Raises:
        UserError: `target` exists or cannot be written, or there is nothing to copy.
    """
    root, target = Path(root), Path(target)
    if target.exists() or target.is_symlink():
        raise UserError(f"{target.name} exists already; choose another name")
    try:
        with make_folder_atomically(target) as unfinished:
            copied = [_copy(root / path, unfinished / place) for path, place in wanted.items()]
            if not any(copied):
                raise UserError("none of the photos is there any more; embed the folder again")
    except OSError as error:
        raise UserError(f"the photos were not copied ({error.strerror or error})") from error
    return sum(copied)


def zip_sorted(root: str | Path, wanted: Mapping[str, str]) -> bytes:
    """Pack photos in their places into a ZIP; photos are not packed tighter, being so already.

    Raises:
        UserError: more than 1 GB of photos.
    """
    root = Path(root)
    there = {path: place for path, place in wanted.items() if (root / path).is_file()}
    total = sum((root / path).stat().st_size for path in there)
    if total > MAX_ZIP_BYTES:
        raise UserError(
            f"the photos have {total / 2**30:.1f} GB and a ZIP takes {MAX_ZIP_BYTES / 2**30:.0f} GB; "
            "choose fewer, or copy them on the server"
        )
    files = ((place, (root / path).read_bytes()) for path, place in there.items())
    return zip_files(files, compressed=False)


def _copy(source: Path, place: Path) -> bool:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copy2(source, place)
    except FileNotFoundError:
        return False
    return True
