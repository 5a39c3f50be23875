"""Contact sheets of searches: what asked, what came first, and whether it was right."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dino.errors import ImageError
from dino.media.draw import sheet
from dino.media.images import read

# Told apart by most eyes, and the captions say the same in words. Source: Okabe and Ito.
RIGHT, WRONG, ASKED = (0, 158, 115), (213, 94, 0), (90, 90, 90)
_TILE_PX = 180
_FRAME_PX = 6


def framed(photo: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Fit a photo into a square tile with a frame: uint8 [_TILE_PX,_TILE_PX,3]."""
    inner = _TILE_PX - 2 * _FRAME_PX
    fitted = ImageOps.pad(Image.fromarray(photo), (inner, inner), color="white")
    return np.asarray(ImageOps.expand(fitted, _FRAME_PX, colour))


def search_sheet(
    asked: Sequence[tuple[str, np.ndarray]],
    found: Sequence[Sequence[tuple[str, Path, bool]]],
    *,
    title: str,
) -> np.ndarray:
    """Draw a line a query: the query, then what came first, framed and captioned as right or wrong.

    Args:
        asked: caption and photo [H,W,3] of each query.
        found: for each query caption and photo of what was found, best first, and whether it is
            relevant.
    """
    lines = []
    for (caption, photo), answers in zip(asked, found, strict=True):
        line = [(caption, framed(photo, ASKED))]
        for rank, (name, path, right) in enumerate(answers, start=1):
            verdict, colour = ("right", RIGHT) if right else ("wrong", WRONG)
            line.append((f"{rank} {verdict}: {name}", framed(_photo(path), colour)))
        lines.append(line)
    return _grid(lines, title=title, columns=max(map(len, lines)))


def picture_sheet(
    rows: Sequence[Sequence[tuple[str, np.ndarray]]], *, title: str, columns: int
) -> np.ndarray:
    """Draw captioned pictures, those of each row in as many lines of `columns` as they need."""
    lines = [[(caption, framed(picture, ASKED)) for caption, picture in row] for row in rows]
    return _grid(lines, title=title, columns=columns)


def _grid(
    rows: Sequence[Sequence[tuple[str, np.ndarray]]], *, title: str, columns: int
) -> np.ndarray:
    blank = ("", np.full((_TILE_PX, _TILE_PX, 3), 255, np.uint8))
    tiles: list[tuple[str, np.ndarray]] = []
    for row in rows:
        tiles += [(_short(caption), tile) for caption, tile in row]
        tiles += [blank] * (-len(row) % columns)
    return sheet(tiles, columns=columns, tile_px=_TILE_PX, title=title)


def _photo(path: Path) -> np.ndarray:
    try:
        return read(path)
    except (ImageError, OSError):  # it was there when it was searched
        return np.full((_TILE_PX, _TILE_PX, 3), 128, np.uint8)


def _short(caption: str) -> str:
    return caption if len(caption) <= 20 else f"{caption[:19]}…"
