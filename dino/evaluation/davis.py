"""DAVIS: sequences of frames with an outlined mask each, in the layouts of 2016 and 2017.

    data = open_davis("DAVIS")
    data.sequences[0].labels(0)          # uint8 [H,W]: 0 background, 1 … the objects

Frames lie in JPEGImages/480p/<sequence>/00000.jpg, masks in Annotations/480p/<sequence>/00000.png.
2017's masks are indices of several objects, where 255 is background, as its official evaluator has it;
2016's are 0 and 255, one object. ImageSets/<year>/val.txt, where there is one, lists the set's sequences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dino.errors import UserError
from dino.media.images import read
from dino.media.label_maps import read_label_map
from dino.system.words import counted

YEARS = (2016, 2017)
_UNSURE = 255  # of 2017; in 2016 the object
# Frames whose measures count lie between the first and the last.
_FEWEST_FRAMES = 3


@dataclass(frozen=True)
class VideoSequence:
    """Frames and their masks, in order, of one sequence; `year` says how masks are to be read."""

    name: str
    frames: tuple[Path, ...]
    masks: tuple[Path, ...]
    year: int

    def __len__(self) -> int:
        return len(self.frames)

    def rgb(self, number: int) -> np.ndarray:
        """Read a frame, uint8 [H,W,3].

        Raises:
            ImageError: it cannot be read.
        """
        return read(self.frames[number])

    def labels(self, number: int) -> np.ndarray:
        """Read a frame's mask, uint8 [H,W]: 0 background, objects from 1.

        Raises:
            UserError: it cannot be read.
        """
        values = read_label_map(self.masks[number])
        if self.year == 2016:
            return (values > 0).astype(np.uint8)
        return np.where(values == _UNSURE, 0, values).astype(np.uint8)

    def first_labels(self) -> np.ndarray:
        """Read the first frame's mask, which says what to follow.

        Raises:
            UserError: it cannot be read or holds no object.
        """
        labels = self.labels(0)
        if not labels.any():
            raise UserError(
                f"{self.masks[0]} is empty; expected the objects to follow in the first mask of "
                f"{self.name}"
            )
        return labels


@dataclass(frozen=True)
class DavisData:
    """Sequences of a DAVIS folder, in the order of its list or by name."""

    root: Path
    year: int
    sequences: tuple[VideoSequence, ...]

    @property
    def num_frames(self) -> int:
        """Count the frames of all sequences."""
        return sum(len(sequence) for sequence in self.sequences)


def open_davis(
    root: str | Path,
    *,
    year: int | None = None,
    sequences: Sequence[str] = (),
    resolution: str = "480p",
) -> DavisData:
    """List the sequences of a DAVIS folder; no frame is opened, but a mask to tell the year.

    Args:
        year: 2016 or 2017; None tells it from the first sequence's first mask, which in 2016 has
            no value but 0 and 255.
        sequences: names to take, in this order; none takes ImageSets/<year>/val.txt (2016 also
            ImageSets/480p/val.txt), or every folder of frames where there is no list.
        resolution: folder below JPEGImages and Annotations.
    Raises:
        UserError: no such layout, sequence, frame or mask.
    """
    root = Path(root)
    photos, masks = root / "JPEGImages" / resolution, root / "Annotations" / resolution
    for folder in (photos, masks):
        if not folder.is_dir():
            raise UserError(
                f"{folder} is missing; expected a DAVIS folder with JPEGImages/{resolution} and "
                f"Annotations/{resolution}"
            )
    if year is not None and year not in YEARS:
        raise UserError(f"year is {year}; expected 2016 or 2017")
    present = sorted(path.name for path in photos.iterdir() if path.is_dir())
    if not present:
        raise UserError(f"{photos} holds no sequences; expected a folder of frames for each")
    known = year or _guess_year(root, masks, sequences or present)
    names = list(dict.fromkeys(sequences)) or _read_list(root, known) or present
    found = tuple(_open_sequence(photos / name, masks / name, known) for name in names)
    return DavisData(root, known, found)


def _guess_year(root: Path, masks: Path, names: Sequence[str]) -> int:
    """Guess the year a folder is of."""
    listed = [year for year in YEARS if (root / "ImageSets" / str(year)).is_dir()]
    if len(listed) == 1:
        return listed[0]
    first = next((path for name in names for path in sorted((masks / name).glob("*.png"))), None)
    if first is None:
        raise UserError(f"{masks} holds no masks of {names[0]}; expected a PNG for each frame")
    return 2016 if set(np.unique(read_label_map(first))) <= {0, _UNSURE} else 2017


def _read_list(root: Path, year: int) -> list[str]:
    """Read the names in the set's list; 2016's has a line of a frame and its mask each."""
    for path in (root / "ImageSets" / str(year), root / "ImageSets" / "480p"):
        file = path / "val.txt"
        if file.is_file():
            words = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
            names = [word.split("/")[-2] if word.endswith(".jpg") else word for word in words]
            if not names:
                raise UserError(f"{file} is empty; expected the name of a sequence a line")
            return list(dict.fromkeys(names))
    return []


def _open_sequence(photos: Path, masks: Path, year: int) -> VideoSequence:
    if not photos.is_dir():
        raise UserError(f"{photos} is missing; expected the frames of {photos.name} there")
    frames = tuple(sorted(photos.glob("*.jpg")) or sorted(photos.glob("*.png")))
    if len(frames) < _FEWEST_FRAMES:
        raise UserError(
            f"{photos} holds {counted(len(frames), 'frame')}; expected {_FEWEST_FRAMES} or more, as the first "
            "and the last do not count"
        )
    found = tuple(masks / f"{frame.stem}.png" for frame in frames)
    for mask in found:
        if not mask.is_file():
            raise UserError(f"{mask} is missing; expected a mask for each frame in {photos}")
    alone = sorted({path.stem for path in masks.glob("*.png")} - {frame.stem for frame in frames})
    if alone:
        raise UserError(
            f"{photos / alone[0]}{frames[0].suffix} is missing, but {masks} has its mask; fetch the "
            "frames again"
        )
    return VideoSequence(photos.name, frames, found, year)
