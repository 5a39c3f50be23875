"""What is searched and who asks: revisited Oxford and Paris, or any folder with classes.

data = open_benchmark("roxford5k")              # jpg/ and gnd_roxford5k.pkl (or .json)
data = open_classes("imagenette/val")           # each photo asks the others
data = open_classes("database", "queries")      # the same classes in both
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np

from dino.errors import UserError
from dino.evaluation.ground_truth import read_ground_truth
from dino.evaluation.retrieval import Truth, same_class
from dino.media.images import find_images
from dino.media.photo_folders import PhotoFolder, open_folder, require_classes
from dino.system.words import counted

PhotoBox = tuple[float, float, float, float]


@dataclass(frozen=True)
class PhotoSet:
    """Photos below `root`, and the box of each that counts (left, top, right, bottom in px; None:
    all of it)."""

    root: Path
    paths: tuple[Path, ...]
    boxes: tuple[PhotoBox | None, ...]

    @classmethod
    def of(cls, folder: PhotoFolder) -> "PhotoSet":
        """Take the photos of a folder, whole."""
        return cls(folder.root, folder.paths, (None,) * len(folder))

    def folder(self) -> PhotoFolder:
        """Drop the boxes: the photos as a folder without classes."""
        return PhotoFolder(self.root, self.paths, (), ())


@dataclass(frozen=True)
class RetrievalData:
    """A database, the photos that ask it (None: each of the database asks the others), and what
    each should find, by protocol; `lonely` are photos that have nothing to find by no fault of a
    protocol."""

    layout: str
    database: PhotoSet
    queries: PhotoSet | None
    protocols: dict[str, tuple[Truth, ...]]
    lonely: tuple[Path, ...] = ()

    @property
    def asking(self) -> PhotoSet:
        """Choose the photos that ask."""
        return self.queries or self.database

    def without(self, database: Sequence[int], queries: Sequence[int]) -> dict[str, list[Truth]]:
        """Limit the protocols to the rows that could be read, numbered by their place among them.

        Args:
            database, queries: the rows that are left, ascending.
        """
        place = np.full(len(self.database.paths), -1)
        place[list(database)] = np.arange(len(database))

        def kept(rows: Sequence[int] | np.ndarray) -> np.ndarray:
            places = place[np.asarray(rows, dtype=np.int64)]
            return places[places >= 0]

        return {
            name: [Truth(kept(truths[row].ok), kept(truths[row].junk)) for row in queries]
            for name, truths in self.protocols.items()
        }


def is_benchmark(root: str | Path) -> bool:
    """Whether a folder is laid out as revisited Oxford and Paris are."""
    return (Path(root) / "jpg").is_dir() or bool(_ground_truths(Path(root)))


def open_benchmark(root: str | Path, *, crop: bool = True) -> RetrievalData:
    """Open revisited Oxford or Paris: a folder with jpg/ and one gnd_*.pkl (or gnd_*.json).

    Args:
        crop: queries are the boxes of their photos, as the benchmark has it; else whole photos, as
            the original's script takes them.
    Raises:
        UserError: no ground truth or more than one, one that cannot be read, or a missing photo.
    """
    root = Path(root)
    files = _ground_truths(root)
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise UserError(f"{root} has {names} of gnd_*.pkl or gnd_*.json; expected exactly one")
    truth = read_ground_truth(files[0])
    database = _photos(root, truth.images)
    queries = _photos(root, [query.name for query in truth.queries])
    missing = [path for path in (*database, *queries) if not path.is_file()]
    if missing:
        raise UserError(
            f"{files[0].name} names {counted(len(missing), 'photo')} not there, the first {missing[0]}; "
            "add them to jpg/"
        )
    boxes = tuple(query.box if crop else None for query in truth.queries)
    return RetrievalData(
        layout=f"revisited, {files[0].name}",
        database=PhotoSet(root, database, (None,) * len(database)),
        queries=PhotoSet(root, queries, boxes),
        protocols=truth.protocols(),
    )


def open_classes(
    database: str | Path, queries: str | Path | None = None, *, limit: int | None = None
) -> RetrievalData:
    """Open photos in sub-folders by class; relevant is what has the query's class.

    Args:
        queries: folder with the same classes; None: each photo of the database asks all others.
        limit: take so many photos of either folder, evenly spread over it.
    Raises:
        UserError: no photos, no classes, other classes among the queries, or only classes of one photo.
    """
    folder = open_folder(database)
    folder = folder.subset(spread(len(folder), limit))
    require_classes(folder, "a search by class")
    if queries is not None:
        asking = open_folder(queries, classes=folder.classes)
        asking = asking.subset(spread(len(asking), limit))
        have = set(folder.labels)
        return RetrievalData(
            layout="classes, queries of their own",
            database=PhotoSet.of(folder),
            queries=PhotoSet.of(asking),
            protocols={"class": same_class(folder.labels, asking.labels)},
            lonely=tuple(compress(asking.paths, (label not in have for label in asking.labels))),
        )
    counts = Counter(folder.labels)
    lonely = tuple(compress(folder.paths, (counts[label] == 1 for label in folder.labels)))
    if len(lonely) == len(folder):
        raise UserError(
            f"{folder.root} has one photo a class; expected two or more, so that one can find another"
        )
    return RetrievalData(
        layout="classes, each photo asks the others",
        database=PhotoSet.of(folder),
        queries=None,
        protocols={"class": same_class(folder.labels)},
        lonely=lonely,
    )


def spread(count: int, limit: int | None) -> list[int]:
    """Choose at most `limit` of `count` rows, evenly spread and ascending."""
    if limit is None or limit >= count:
        return list(range(count))
    return [row * count // limit for row in range(limit)]


def _ground_truths(root: Path) -> list[Path]:
    return sorted(path for kind in ("pkl", "json") for path in root.glob(f"gnd_*.{kind}"))


def _photos(root: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """Find jpg/NAME.jpg of each name; another suffix where jpg/ has the photo as that."""
    folder = root / "jpg"
    if not folder.is_dir():
        raise UserError(f"{root} has no folder jpg/; expected the benchmark's photos there")
    by_stem = {path.stem: path for path in find_images(folder) if path.parent == folder}
    return tuple(by_stem.get(name, folder / f"{name}.jpg") for name in names)
