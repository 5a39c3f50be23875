"""A finished film in other forms: a GIF, and its masks in a ZIP."""

import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dino.media.draw import shrink
from dino.video import probe, read_frames, write_gif
from dino.video.film.making import FILM, MASKS

# A GIF's frames are held in memory until all are there: together at most about 40 MB.
GIF_FRAMES = 200
GIF_PX = 480


def film_gif(out: Path) -> bytes:
    """The film as a GIF, at most 480 px wide; of one with more than 200 frames only every so many."""
    film = str(out / FILM)
    info = probe(film)
    step = -(-(info.num_frames or 1) // GIF_FRAMES)

    def frames() -> Iterator[np.ndarray]:
        for number, rgb in enumerate(read_frames(film)):
            if number % step == 0:
                yield shrink(rgb, GIF_PX)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.gif"
        write_gif(frames(), path, fps=info.fps / step)
        return path.read_bytes()


def masks_zip(out: Path) -> bytes:
    """The masks, one indexed PNG a frame; PNGs are packed already, so they are only put together."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted((out / MASKS).glob("*.png")):
            archive.writestr(zipfile.ZipInfo(path.name, (1980, 1, 1, 0, 0, 0)), path.read_bytes())
    return buffer.getvalue()
