"""Attention of the last block over a video, of CLS or of the mean patch, drawn in colours that mean the same all
along.

A frame's map holds multiples of even attention (1 is a patch that gets what each would, were it
spread evenly). Maps are kept on disk while the frames pass, with a count of their values, so that one
scale for the whole film is exact and memory does not grow with its length.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dino.attention import photo
from dino.attention.mass import check_heads
from dino.errors import UserError
from dino.media.draw import COLORMAPS, heat, overlay, shrink
from dino.media.geometry import Geometry
from dino.model.backbone import Backbone

MEAN, EACH = "mean", "each"
# Values above this share of all get the last colour: single patches would else darken the whole film.
TOP_SHARE = 0.995
_EACH_PX = 1280  # width of a film of all heads together
_HALF_FLOATS = 1 << 16


@dataclass(frozen=True)
class AttentionStyle:
    """How an attention film is drawn.

    Args:
        head: "mean" of the heads, "each" of them side by side, or a head's number.
        opacity: 0 shows the video, 1 the map alone.
        colormap: of `dino.media.draw.COLORMAPS`.
        smooth: blend between patches.
    Raises:
        UserError: a head, opacity or colour map that is none.
    """

    head: str = MEAN
    opacity: float = 0.6
    colormap: str = "inferno"
    smooth: bool = True

    def __post_init__(self) -> None:
        if self.head not in (MEAN, EACH) and not self.head.isdecimal():
            raise UserError(f"head is {self.head!r}; expected mean, each, or a number from 0")
        if not 0 <= self.opacity <= 1:
            raise UserError(f"opacity is {self.opacity}; expected 0 to 1")
        if self.colormap not in COLORMAPS:
            raise UserError(
                f"colormap is {self.colormap!r}; expected one of {', '.join(COLORMAPS)}"
            )


class KeptMaps:
    """Maps [A,h,w] of frames in a file, as half precision, and how often each value came."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("wb")
        self._shape: tuple[int, ...] = ()
        self._counts = np.zeros((0, _HALF_FLOATS), dtype=np.int64)
        self.num_frames = 0

    def keep(self, maps: np.ndarray) -> None:
        """Append the maps of one more frame, none of them negative."""
        if not self.num_frames:
            self._shape = maps.shape
            self._counts = np.zeros((len(maps), _HALF_FLOATS), dtype=np.int64)
        half = np.ascontiguousarray(maps, dtype="<f2")
        for number, bits in enumerate(half.view("<u2")):
            self._counts[number] += np.bincount(bits.ravel(), minlength=_HALF_FLOATS)
        self._file.write(half.tobytes())
        self.num_frames += 1

    def tops(self, share: float = TOP_SHARE) -> np.ndarray:
        """Find of each head the least value that `share` of all its values do not exceed, float32
        [A].

        Bits of half floats that are not negative have their values' order.
        """
        cumulative = self._counts.cumsum(axis=1)
        bits = (cumulative >= share * cumulative[:, -1:]).argmax(axis=1)
        return bits.astype("<u2").view("<f2").astype(np.float32)

    def frames(self) -> Iterator[np.ndarray]:
        """Read the maps again, float32 [A,h,w], frame by frame."""
        self._file.flush()
        size = 2 * math.prod(self._shape)
        with self._path.open("rb") as file:
            while data := file.read(size):
                yield np.frombuffer(data, "<f2").reshape(self._shape).astype(np.float32)

    def close(self) -> None:
        """Close and delete the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def check_style(backbone: Backbone, style: AttentionStyle) -> None:
    """Raise a `UserError` unless the network has the attention that is asked for."""
    backbone.check_attention()
    if style.head.isdecimal():
        check_heads([int(style.head)], backbone.num_heads)


def attention_maps(
    backbone: Backbone, rgb: np.ndarray, *, size: int, head: str
) -> tuple[np.ndarray, Geometry]:
    """Compute attention of one frame in multiples of even attention, float32 [A,h,w]; A is 1
    unless `head` is "each".

    Args:
        rgb: uint8 [H,W,3].
        size: longer side in px of the network's input.
    """
    found = photo.attend(backbone, rgb, size=size)
    weights = found.heads
    if head == MEAN:
        weights = weights.mean(axis=0, keepdims=True)
    elif head != EACH:
        weights = weights[int(head)][None]
    return weights * np.float32(weights[0].size), found.geometry


def draw_attention(
    rgb: np.ndarray,
    maps: np.ndarray,
    geometry: Geometry,
    tops: np.ndarray,
    style: AttentionStyle,
) -> np.ndarray:
    """Draw maps [A,h,w] over their frame [H,W,3], black at 0, the last colour at `tops` [A] and above;
    several in a grid, each with its number, and the frame itself where a place is left."""
    if len(maps) == 1:
        return _overlaid(rgb, maps[0], geometry, float(tops[0]), style)
    columns = math.ceil(math.sqrt(len(maps)))
    small = shrink(rgb, min(rgb.shape[1], _EACH_PX // columns))
    tiles = [
        _captioned(_overlaid(small, weights, geometry, float(top), style), f"head {number}")
        for number, (weights, top) in enumerate(zip(maps, tops, strict=True))
    ]
    spare = -len(tiles) % columns
    tiles += [_captioned(small, "video"), *[np.zeros_like(small)] * (spare - 1)] if spare else []
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows)


def map_frames(
    frames: Iterable[np.ndarray],
    attend: Callable[[np.ndarray], tuple[np.ndarray, Geometry]],
    kept: KeptMaps,
) -> Iterator[tuple[np.ndarray, np.ndarray, Geometry]]:
    """Give each frame with its maps and their geometry, and keep the maps.

    Raises:
        UserError: frames that change their size.
    """
    shape: tuple[int, ...] | None = None
    for number, rgb in enumerate(frames):
        if shape is not None and rgb.shape != shape:
            raise UserError(
                f"frame {number} is {rgb.shape[0]}×{rgb.shape[1]} px and those before "
                f"{shape[0]}×{shape[1]}; expected one size"
            )
        shape = rgb.shape
        maps, geometry = attend(rgb)
        kept.keep(maps)
        yield rgb, maps, geometry


def _overlaid(
    rgb: np.ndarray, weights: np.ndarray, geometry: Geometry, top: float, style: AttentionStyle
) -> np.ndarray:
    colours = heat(
        weights / top if top > 0 else weights,
        geometry,
        colormap=style.colormap,
        interpolation="bilinear" if style.smooth else "nearest",
        width=rgb.shape[1],
    )
    return overlay(rgb, colours, style.opacity)


def _captioned(tile: np.ndarray, caption: str) -> np.ndarray:
    """Write a caption into a tile's corner, light on dark so that it is read on any picture."""
    place, scale = (6, 6 + round(tile.shape[0] / 12)), max(0.35, tile.shape[0] / 480)
    picture = tile.copy()
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(
            picture, caption, place, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA
        )
    return picture
