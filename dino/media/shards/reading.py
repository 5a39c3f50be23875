"""The samples of shards, each read by its number."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dino.errors import ImageError, UserError
from dino.media.images import decode
from dino.media.shards.indexing import build_index, cached_index, find_shards


@dataclass(frozen=True, eq=False)
class ShardSet:
    """Samples of tar shards, N of them, ordered by shard and place; pickles, and forks with workers.

    `labels` [N] int64 index `classes`; [0] where not every sample has a class. `problems` says what
    was damaged, a sentence each. Left out are samples without a picture, and members that belong to no
    sample: links, devices, second files of one extension, names without any.
    `index` holds "shard" [N] int32, "offset" and "size" [N] in bytes, and the names, end to end.
    """

    root: Path
    shards: tuple[Path, ...]
    classes: tuple[str, ...]
    labels: np.ndarray
    problems: tuple[str, ...]
    index: Mapping[str, np.ndarray] = field(repr=False)

    def __len__(self) -> int:
        return len(self.index["offset"])

    def name(self, index: int) -> str:
        """Name shard and member, such as "shard-000.tar!sample17.jpg"."""
        index = range(len(self))[index]
        ends = self.index["name_end"]
        name = self.index["names"][ends[index - 1] if index else 0 : ends[index]].tobytes()
        shard = self.shards[self.index["shard"][index]]
        return f"{shard.name}!{name.decode(errors='backslashreplace')}"

    def read(self, index: int, *, short_side: int | None = None) -> np.ndarray:
        """Decode a sample's picture to uint8 [H, W, 3]; `short_side` as in `images.decode`.

        The file is opened for each read: cheap beside decoding, and no position or descriptor is
        shared between threads and worker processes, whatever the number of shards.

        Raises:
            ImageError: not a picture that can be read, or the shard is gone; starts with the name.
        """
        try:
            with self.shards[self.index["shard"][index]].open("rb", buffering=0) as file:
                file.seek(int(self.index["offset"][index]))
                data = file.read(int(self.index["size"][index]))
            return decode(data, short_side=short_side)
        except OSError as error:
            raise ImageError(
                f"{self.name(index)}: got no shard to read ({error.strerror}), expected "
                f"{self.shards[self.index['shard'][index]]}; check that it is still there"
            ) from error
        except ImageError as error:
            raise ImageError(f"{self.name(index)}: {error}") from error


def open_shards(
    pattern: str | Path, *, classes: Sequence[str] | None = None, cache: str | Path | None = None
) -> ShardSet:
    """Index the samples of tar shards; only headers and labels are read.

    Args:
        pattern: a folder of .tar files, one file, a glob, or names with braces in them, such as
            "data/{train,val}-{000..012}.tar".
        classes: names that labels must have, in the order that numbers them; None takes those there
            are, sorted, as numbers where all are integers.
        cache: folder to keep the index in, found again while paths, sizes and times of the shards
            are the same; None, or one that cannot be written, keeps it nowhere.
    Raises:
        UserError: shards that are missing or compressed, no picture in any, or a label outside
            `classes`.
    """
    shards = find_shards(str(pattern))
    index = build_index(shards) if cache is None else cached_index(shards, Path(cache))
    about = json.loads(index.pop("about").tobytes())
    if not len(index["offset"]):
        reason = "; ".join(about["problems"][:3]) or f"{about['without_image']:,} samples without"
        raise UserError(
            f"{pattern}: got {len(shards)} shards without a picture ({reason}), expected members "
            "such as 000017.jpg and 000017.cls; the name up to its first dot is the sample's key"
        )
    names, labels = _number(index.pop("code"), about["texts"], classes, str(pattern))
    problems = tuple(about["problems"])
    return ShardSet(Path(pattern), shards, names, labels, problems, index)


def _number(
    codes: np.ndarray, texts: Sequence[str], classes: Sequence[str] | None, pattern: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """Number the classes: their names, and the number of each sample's; `codes` [N] or [0] index `texts`."""
    if not len(codes):
        if classes is not None:
            raise UserError(
                f"{pattern}: got samples without a class, expected one of {', '.join(classes[:5])} "
                "… for each; add .cls members"
            )
        return (), np.empty(0, np.int64)
    if classes is None:
        whole = all(re.fullmatch(r"[+-]?[0-9]{1,18}", text) for text in texts)
        classes = sorted(texts, key=lambda text: (int(text) if whole else 0, text))
    elif unknown := sorted(set(texts) - set(classes)):
        raise UserError(
            f"{pattern}: got the classes {', '.join(unknown[:5])}, expected {', '.join(classes[:5])}"
            " …; give both sets the same classes"
        )
    numbers = {name: number for number, name in enumerate(classes)}
    return tuple(classes), np.array([numbers[text] for text in texts], np.int64)[codes]
