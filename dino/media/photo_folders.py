"""A folder of photos, with the classes its sub-folders name.

open_folder("train").classes                                   # sub-folders, sorted
open_folder("val", classes=open_folder("train").classes)       # the same numbers for the same names
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dino.errors import UserError
from dino.media.images import find_images, read
from dino.system.words import counted


@dataclass(frozen=True)
class PhotoFolder:
    """Photos below a folder; `labels` are the indices of their sub-folder in `classes`, if any."""

    root: Path
    paths: tuple[Path, ...]
    classes: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int, *, short_side: int | None = None) -> np.ndarray:
        """Read photo `index` as uint8 [H,W,3]; `short_side` as in `images.decode`.

        Raises:
            ImageError, OSError: it cannot be read.
        """
        return read(self.paths[index], short_side=short_side)

    def name(self, index: int) -> str:
        """Give the path of a photo below the folder."""
        return str(self.paths[index].relative_to(self.root))

    def subset(self, indices: Sequence[int]) -> "PhotoFolder":
        """Take some of the photos, with the same classes."""
        labels = tuple(self.labels[i] for i in indices) if self.labels else ()
        return PhotoFolder(self.root, tuple(self.paths[i] for i in indices), self.classes, labels)


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
            f"{folder.root} has {counted(len(folder.classes), 'class', 'classes')}; {purpose} needs the photos of each "
            "class in a sub-folder of its own, two or more"
        )


def open_labelled(root: str | Path) -> tuple[PhotoFolder, PhotoFolder]:
    """Open a labelled folder as (train, val): its own `train/` and `val/`, or else every fifth photo of
    each class as val.

    Raises:
        UserError: not labelled, or a class of val that train does not have.
    """
    root = Path(root)
    if (root / "train").is_dir() and (root / "val").is_dir():
        train = open_folder(root / "train")
        require_classes(train, "k-NN")
        return train, open_folder(root / "val", classes=train.classes)
    whole = open_folder(root)
    require_classes(whole, "k-NN")
    seen: Counter[int] = Counter()
    held_out = []
    for index, label in enumerate(whole.labels):
        seen[label] += 1
        if seen[label] % 5 == 0:
            held_out.append(index)
    if not held_out:
        raise UserError(
            f"{root} has fewer than 5 photos a class; k-NN needs 5 or more in some class"
        )
    rest = sorted(set(range(len(whole))) - set(held_out))
    return whole.subset(rest), whole.subset(held_out)
