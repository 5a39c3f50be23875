"""A folder of photos, with the classes its sub-folders name.

open_folder("train").classes                                   # sub-folders, sorted
open_folder("val", classes=open_folder("train").classes)       # the same numbers for the same names
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dino.errors import UserError
from dino.images import find_images


@dataclass(frozen=True)
class PhotoFolder:
    """Photos below a folder; `labels` are the indices of their sub-folder in `classes`, if any."""

    root: Path
    paths: tuple[Path, ...]
    classes: tuple[str, ...]
    labels: tuple[int, ...]


def open_folder(root: str | Path, *, classes: Sequence[str] | None = None) -> PhotoFolder:
    """List a folder's photos, with classes where all of them lie in sub-folders.

    Args:
        classes: names that sub-folders must have, in the order that numbers them; None takes the
            sub-folders there are, sorted.
    Raises:
        UserError: no such folder, no photo in it, or a sub-folder outside `classes`.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; expected a folder of photos")
    paths = tuple(find_images(root))
    if not paths:
        raise UserError(f"{root} holds no photos; expected PNG, JPEG, WebP or the like in it")
    tops = [path.relative_to(root).parts[0] for path in paths]
    nested = all(len(path.relative_to(root).parts) > 1 for path in paths)
    if classes is None:
        classes = sorted(set(tops)) if nested else ()
    elif unknown := sorted(set(tops) - set(classes)):
        raise UserError(
            f"{root} has {', '.join(unknown[:5])} beside the expected sub-folders "
            f"{', '.join(classes[:5])} …; give both folders the same classes"
        )
    index = {name: number for number, name in enumerate(classes)}
    labels = tuple(index[top] for top in tops) if classes else ()
    return PhotoFolder(root, paths, tuple(classes), labels)


def require_classes(folder: PhotoFolder, purpose: str) -> None:
    """Check that a folder is labelled.

    Raises:
        UserError: its photos do not all lie in sub-folders, or there is only one.
    """
    if len(folder.classes) < 2:
        raise UserError(
            f"{folder.root} has {len(folder.classes)} classes; {purpose} needs the photos of each "
            "class in a sub-folder of its own, two or more"
        )
