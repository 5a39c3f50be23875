"""A photo file → what the network sees of it, its sha256, its date and a thumbnail; in worker
processes.

The default is the paper's k-NN evaluation: short side to `size` · 256/224 px (bicubic), then the
middle `size` × `size`, so that all photos have one size and any number of them makes a batch.
"""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from dino.errors import ImageError, UserError
from dino.features.data import center_crop, read_in_workers, whole_patches
from dino.features.folder.dates import PhotoDate, photo_date
from dino.media.draw import encode_jpeg
from dino.media.images import decode
from dino.media.preprocessing import FITS, normalize_images, preprocess
from dino.model.backbone import Backbone
from dino.system.files import content_id

CROP = "crop"
THUMBNAIL_PX = 96
_THUMBNAIL_QUALITY = 80


@dataclass(frozen=True)
class InputFormat:
    """What a network wants of its input; all of a `Backbone` that a worker process needs."""

    patch_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def of(cls, backbone: Backbone) -> "InputFormat":
        """Take from a network what its input must be."""
        return cls(backbone.patch_size, backbone.mean, backbone.std)


@dataclass(frozen=True)
class Preparation:
    """How photos become inputs of one network.

    `size` px, taken down to whole patches; `fit` "crop": the middle of the photo, after its short
    side was brought to `resize` px (None: `size` · 256/224); or "floor", "pad" and "stretch" as in
    `dino.preprocess`: the whole photo.
    """

    size: int = 224
    fit: str = CROP
    resize: int | None = None

    def __post_init__(self) -> None:
        if self.fit not in (CROP, *FITS):
            raise UserError(
                f"fit is {self.fit!r}; expected one of {', '.join((CROP, *FITS))}: try {CROP}"
            )
        if self.size < 1 or (self.resize is not None and self.resize < self.size):
            raise UserError(
                f"got size {self.size} and resize {self.resize}; expected 1 px or more, and no "
                "shorter side than the crop"
            )
        if self.resize is not None and self.fit != CROP:
            raise UserError(f"resize belongs to fit {CROP!r}; got {self.fit!r}: leave it out")

    def image(self, rgb: np.ndarray, wanted: InputFormat) -> np.ndarray:
        """Turn uint8 [H,W,3] into float32 [3,h,w], normalised, of whole patches."""
        if self.fit != CROP:
            return preprocess(rgb, size=self.size, fit=self.fit, **asdict(wanted))[0][0].numpy()
        side = whole_patches(self.size, wanted.patch_size)
        crop = center_crop(rgb, size=side, resize=self.resize)
        image = torch.from_numpy(crop).permute(2, 0, 1)
        return normalize_images(image, wanted.mean, wanted.std).numpy()


@dataclass(frozen=True)
class PhotoFile:
    """A file as it was before it was read: `name` below the folder, bytes and time of change."""

    name: str
    path: Path
    num_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class PhotoRow:
    """A photo that was read: its file, its content, `feature` [D] float32 and `thumbnail` (JPEG);
    or the `problem` that left both out, in a sentence."""

    name: str
    num_bytes: int
    mtime_ns: int
    sha256: str = ""
    date: PhotoDate | None = None
    problem: str = ""
    feature: np.ndarray | None = field(default=None, repr=False)
    thumbnail: bytes = field(default=b"", repr=False)


# A photo's row, its feature still missing, and the network's input float32 [3,h,w], if it can be read.
Prepared = tuple[PhotoRow, np.ndarray | None]


def prepare(file: PhotoFile, preparation: Preparation, wanted: InputFormat) -> Prepared:
    """Read one photo; what is wrong with it stands in its row's `problem` and is not raised."""
    row = PhotoRow(file.name, file.num_bytes, file.mtime_ns)
    try:
        data = file.path.read_bytes()
        row = replace(row, sha256=content_id(data))
        rgb = decode(data)
        image = preparation.image(rgb, wanted)
    except ImageError as error:
        return replace(row, problem=str(error)), None
    except OSError as error:
        return replace(row, problem=f"it cannot be read ({error.strerror or error})"), None
    small = center_crop(rgb, size=THUMBNAIL_PX, resize=THUMBNAIL_PX)
    jpeg = encode_jpeg(small, quality=_THUMBNAIL_QUALITY)
    return replace(row, date=photo_date(data, file.mtime_ns / 1e9), thumbnail=jpeg), image


def read_prepared(
    files: Sequence[PhotoFile],
    preparation: Preparation,
    wanted: InputFormat,
    *,
    batch_size: int,
    workers: int,
) -> Iterator[list[Prepared]]:
    """Read photos in order, `batch_size` at a time; what comes does not depend on `workers`."""
    rows = range(len(files))
    yield from read_in_workers(
        _PhotoReader(files, preparation, wanted),
        [rows[start : start + batch_size] for start in range(0, len(files), batch_size)],
        workers=workers,
        on_start=_leave_signals_to_the_parent,
    )


@dataclass(frozen=True)
class _PhotoReader:
    files: Sequence[PhotoFile]
    preparation: Preparation
    wanted: InputFormat

    def __call__(self, row: int) -> Prepared:
        return prepare(self.files[row], self.preparation, self.wanted)


def _leave_signals_to_the_parent(_: int) -> None:
    """Ignore Ctrl-C, which reaches all processes of a terminal; the parent ends the workers in
    order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
