"""Filmstrips of training: attention on fixed photos, epoch by epoch, as a run left them.

strip = read_filmstrip("checkpoints/runs/mine/filmstrip")[0]
strip.epochs, strip.maps[0].shape                      # (0, 1, 2, …), [A,h,w]
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dino.system.files import read_npz

_EPOCH = re.compile(r"epoch-(\d{1,6})$")


@dataclass(frozen=True)
class Filmstrip:
    """One photo's attention: `photo` a PNG as the network sees it, `epochs` ascending, and for each of
    them `maps`, float32 [A,h,w]; all of one shape."""

    name: str
    photo: Path
    epochs: tuple[int, ...]
    maps: tuple[np.ndarray, ...]


def read_filmstrip(folder: str | Path) -> list[Filmstrip]:
    """Read the filmstrips of a folder, one a photo, by name; leave out an epoch that cannot be read.

    There is none where there is no photo with at least one epoch.
    """
    folder = Path(folder)
    found = []
    for photo in sorted(folder.glob("photo*.png"), key=_by_number):
        frames = {}
        for place in folder.glob("epoch-*"):
            match = _EPOCH.match(place.name)
            maps = _read(place / "attention.npz", photo.stem) if match else None
            if match and maps is not None:
                frames[int(match[1])] = maps
        if not frames:
            continue
        epochs = tuple(sorted(frames))
        shape = frames[epochs[-1]].shape
        kept = tuple(epoch for epoch in epochs if frames[epoch].shape == shape)
        found.append(Filmstrip(photo.stem, photo, kept, tuple(frames[epoch] for epoch in kept)))
    return found


def _read(path: Path, name: str) -> np.ndarray | None:
    try:
        maps = read_npz(path)[name].astype(np.float32)
    except (OSError, ValueError, KeyError):
        return None
    return maps if maps.ndim == 3 and maps.size and np.isfinite(maps).all() else None


def _by_number(path: Path) -> tuple[int, str]:
    number = re.search(r"(\d+)$", path.stem)
    return (int(number[1]) if number else -1, path.stem)
