"""Originals, their copies and distractors: INRIA Copydays, or any folder of photos.

data = open_copydays("copydays", distractors="yfcc")       # original/, strong/, crops/N/, jpegqual/N/
data = open_photos("holiday")                              # copies are made of every other photo
"""

from dataclasses import dataclass
from pathlib import Path

from dino.errors import UserError
from dino.evaluation.retrieval_data import spread
from dino.media.images import find_images
from dino.media.photo_folders import PhotoFolder, open_folder
from dino.system.words import counted

# Copydays names an original 200000.jpg and its copies 200000.jpg, 200001.jpg …: the last two tell.
_COPY_DIGITS = 2


@dataclass(frozen=True)
class CopyBlock:
    """Photos that ask, all distorted in one way, and the row of the original of each."""

    photos: PhotoFolder
    originals: tuple[int, ...]


@dataclass(frozen=True)
class CopyData:
    """Originals, what asks for them (`blocks` by name; None: copies are made of the originals), the
    distractors beside the originals, and the photos whitening is learned from.

    `distractors_are` and `whitening_is` say in words which photos those are.
    """

    layout: str
    originals: PhotoFolder
    blocks: dict[str, CopyBlock] | None
    distractors: PhotoFolder | None
    whitening: PhotoFolder | None
    distractors_are: str
    whitening_is: str


def is_copydays(root: str | Path) -> bool:
    """Whether a folder is laid out as INRIA Copydays is."""
    root = Path(root)
    return (root / "original").is_dir() and any(
        (root / name).is_dir() for name in ("strong", "crops", "jpegqual")
    )


def open_copydays(
    root: str | Path,
    *,
    distractors: str | Path | None = None,
    whitening: str | Path | None = None,
    limit: int | None = None,
) -> CopyData:
    """Open INRIA Copydays: original/, and strong/, crops/N/ and jpegqual/N/ where they are there.

    Args:
        distractors: folder of other photos; without it only originals are searched.
        whitening: folder whitening is learned from; default the distractors.
        limit: take so many originals, evenly spread, and only their copies.
    Raises:
        UserError: a folder without photos, or a copy without an original.
    """
    root = Path(root)
    every = open_folder(root / "original")
    originals = every.subset(spread(len(every), limit))
    every_base = {_base(path) for path in every.paths}
    if len(every_base) != len(every):
        raise UserError(
            f"{every.root} has several photos of one number; expected Copydays' names, such as 200000.jpg "
            "and 200100.jpg"
        )
    row_of = {_base(path): row for row, path in enumerate(originals.paths)}
    folders = [root / "strong"]
    folders += [path for name in ("crops", "jpegqual") for path in _numbered(root / name)]
    blocks = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        photos = open_folder(folder)
        if strange := [path for path in photos.paths if _base(path) not in every_base]:
            raise UserError(
                f"{strange[0]} has no original; expected original/{_base(strange[0])}00.jpg, so fetch "
                "both parts of Copydays"
            )
        asking = [row for row, path in enumerate(photos.paths) if _base(path) in row_of]
        subset = photos.subset(asking)
        rows = tuple(row_of[_base(path)] for path in subset.paths)
        if rows:
            blocks[str(folder.relative_to(root))] = CopyBlock(subset, rows)
    return _with_others("Copydays", originals, blocks, distractors, whitening)


def open_photos(
    root: str | Path,
    *,
    distractors: str | Path | None = None,
    whitening: str | Path | None = None,
    limit: int | None = None,
) -> CopyData:
    """Open any photos, whose copies are made here; see `distortions`.

    Args:
        distractors: folder of other photos; without it every other photo of `root` is one, and no
            original.
        whitening, limit: as in `open_copydays`.
    Raises:
        UserError: too few photos, or a distractor that is an original too.
    """
    every = open_folder(root)
    photos = every.subset(spread(len(every), limit))
    layout = "photos, copies made of them"
    if distractors is not None:
        return _with_others(layout, photos, None, distractors, whitening)
    if len(photos) < 4:
        raise UserError(
            f"{root} has {counted(len(photos), 'photo')} and no distractors are given; expected 4 or more, half of "
            "which are held out as distractors, or --distractors FOLDER"
        )
    originals, rest = (photos.subset(range(start, len(photos), 2)) for start in (0, 1))
    learned = rest if whitening is None else open_folder(whitening)
    words = f"every other photo of {root}, held out"
    words_learned = words if whitening is None else str(whitening)
    return CopyData(layout, originals, None, rest, learned, words, words_learned)


def _with_others(
    layout: str,
    originals: PhotoFolder,
    blocks: dict[str, CopyBlock] | None,
    distractors: str | Path | None,
    whitening: str | Path | None,
) -> CopyData:
    """Open the other folders; whitening is learned from the distractors where no photos are given."""
    others = None if distractors is None else open_folder(distractors)
    if others and (same := _resolved(others) & _resolved(originals)):
        raise UserError(
            f"{min(same)} is both an original and a distractor; name a folder of other photos"
        )
    learned = others if whitening is None else open_folder(whitening)
    words, words_learned = (
        "none" if folder is None else str(folder.root) for folder in (others, learned)
    )
    return CopyData(layout, originals, blocks, others, learned, words, words_learned)


def _resolved(folder: PhotoFolder) -> set[Path]:
    return {path.resolve() for path in folder.paths}


def _base(path: Path) -> str:
    return path.stem[:-_COPY_DIGITS]


def _numbered(folder: Path) -> list[Path]:
    """List the sub-folders with photos, by number."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.is_dir() and find_images(path)]
    return sorted(found, key=lambda path: (len(path.name), path.name))
