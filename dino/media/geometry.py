"""Where each patch of the model's grid lies in the photo, and back.

    x, geometry = preprocess(rgb, size=480, patch_size=8)
    heat = geometry.to_photo(attention)      # [A, h, w] -> [A, H, W]

Two frames, both (height, width) with the origin at the top left: the photo, and the photo after
resizing, of which the model sees the rectangle `crop`. A pixel `i` covers [i, i + 1) and belongs to
the patch its centre i + 0.5 falls in; that is computed in whole numbers, so that every method
agrees on every pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dino.errors import UserError


@dataclass(frozen=True)
class Geometry:
    """The way from a photo to the model's input.

    Args:
        original: photo (H, W) in px.
        resized: the same photo after resizing, (H, W) in px.
        crop: (top, left, height, width) of the model's input in px of the resized photo; negative
            top or left where the photo is padded. Height and width are multiples of `patch_size`.
        patch_size: side of a patch in px of the model's input.
    Raises:
        UserError: sizes below 1, or a crop that is not whole patches.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    crop: tuple[int, int, int, int]
    patch_size: int

    def __post_init__(self) -> None:
        lengths = len(self.original), len(self.resized), len(self.crop)
        sides = (*self.original, *self.resized, *self.crop[2:], self.patch_size)
        if lengths != (2, 2, 4) or min(sides) < 1:
            raise UserError(
                f"got original {self.original}, resized {self.resized}, crop {self.crop} and patch "
                f"size {self.patch_size}, expected (H, W), (H, W), (top, left, height, width) of "
                "at least 1 px; pass the Geometry that preprocess returned"
            )
        if self.crop[2] % self.patch_size or self.crop[3] % self.patch_size:
            raise UserError(
                f"got a crop of {self.crop[2]}x{self.crop[3]} px, expected multiples of the patch "
                f"size {self.patch_size}; crop to whole patches first"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Count the patches (h, w)."""
        return self.crop[2] // self.patch_size, self.crop[3] // self.patch_size

    def photo_box(self, row: int, col: int) -> tuple[float, float, float, float]:
        """Find (top, left, bottom, right) of a patch in photo px, clipped to the photo.

        A patch that lies wholly in the padding has an empty box (top = bottom or left = right).
        """
        h, w = self.grid
        if not (0 <= row < h and 0 <= col < w):
            raise UserError(
                f"got patch ({row}, {col}), expected a row below {h} and a column below {w}; "
                "use patch_at to find a patch"
            )
        top, bottom = self._span(0, row)
        left, right = self._span(1, col)
        return top, left, bottom, right

    def patch_at(self, y: float, x: float) -> tuple[int, int]:
        """Find (row, column) of the patch under a place in the photo, the nearest one outside the grid.

        Args:
            y, x: whole numbers name a pixel, whose centre is meant (as in `to_photo`); floats are
                a point in the coordinates of `photo_box`, as a click gives it.
        """
        return self._patch_on(0, y), self._patch_on(1, x)

    def to_photo(self, array: ArrayLike, *, interpolation: str = "nearest") -> NDArray[Any]:
        """Spread grid values over the photo.

        Args:
            array: values [..., h, w].
            interpolation: "nearest" gives each photo pixel its patch's value and keeps the dtype;
                "bilinear" and "bicubic" interpolate between patch centres, in float32 at least (bool:
                the interpolated 0 and 1 are cut at one half), and stay within the range of each
                [h,w]. Beyond the outermost patches and patch centres the nearest value holds.
        Returns:
            values [..., H, W].
        """
        values = np.asarray(array)
        if values.shape[-2:] != self.grid:
            raise UserError(
                f"got an array of shape {values.shape}, expected [..., {self.grid[0]}, "
                f"{self.grid[1]}]; use the grid this photo was encoded with"
            )
        if interpolation == "nearest":
            rows, cols = (
                np.clip(self._patches_of_pixels(axis), 0, self.grid[axis] - 1) for axis in (0, 1)
            )
            # Columns first: the array is still h rows tall, and whole rows are copied after that.
            return np.take(np.take(values, cols, axis=-1), rows, axis=-2)
        smooth = {"bilinear": self._bilinear, "bicubic": self._bicubic}.get(interpolation)
        if smooth is None:
            raise UserError(
                f"got interpolation {interpolation!r}, expected 'nearest', 'bilinear' or 'bicubic'; "
                "choose one"
            )
        if values.dtype == bool:
            return smooth(values.astype(np.float32)) >= 0.5
        return smooth(values.astype(np.result_type(values.dtype, np.float32)))

    def finer(self, parts: int) -> Geometry:
        """Cut each patch into `parts` × `parts` cells: the same way, with a grid so many times as fine."""
        height, width = self.resized
        top, left, *sides = (value * parts for value in self.crop)
        return Geometry(
            original=self.original,
            resized=(height * parts, width * parts),
            crop=(top, left, sides[0], sides[1]),
            patch_size=self.patch_size,
        )

    def to_grid(self, mask: ArrayLike) -> NDArray[np.float64]:
        """Average the photo pixels whose centres fall in each patch.

        Args:
            mask: values [H, W] of the photo: bool, integers or floats.
        Returns:
            means float64 [h, w]. A patch too small to hold a pixel's centre takes the pixel under
            its middle; a patch in the padding is 0. Pixels outside the crop count nowhere.
        """
        values = np.asarray(mask)
        if values.shape != self.original:
            raise UserError(
                f"got a mask of shape {values.shape}, expected the photo's {self.original}; "
                "resize the mask to the photo first"
            )
        bands = np.zeros((self.grid[0], self.original[1]))
        for row, (start, stop) in enumerate(self._runs(0)):
            bands[row] = values[start:stop].sum(axis=0, dtype=np.float64) / max(1, stop - start)
        means = np.zeros(self.grid)
        for col, (start, stop) in enumerate(self._runs(1)):
            means[:, col] = bands[:, start:stop].sum(axis=1) / max(1, stop - start)
        return means

    def _span(self, axis: int, patch: int) -> tuple[float, float]:
        """Find start and end of a row (axis 0) or column (axis 1) of patches in photo px, clipped."""
        size, resized, offset = self.original[axis], self.resized[axis], self.crop[axis]
        edges = (offset + (patch + step) * self.patch_size for step in (0, 1))
        start, stop = (min(max(edge * size / resized, 0.0), float(size)) for edge in edges)
        return start, stop

    def _patch_on(self, axis: int, place: float) -> int:
        if isinstance(place, int | np.integer):
            patch = self._patch_of(axis, int(place))
        elif math.isfinite(place):
            resized_place = place * self.resized[axis] / self.original[axis]
            patch = math.floor((resized_place - self.crop[axis]) / self.patch_size)
        else:
            raise UserError(f"got {place} as a place, expected a number of px; pass y and x")
        return min(max(patch, 0), self.grid[axis] - 1)

    def _patch_of(self, axis: int, pixel: Any) -> Any:
        """Find the row or column of the patch under a pixel's centre, or each pixel's of an array, in whole
        numbers; out of range outside the crop."""
        size, resized, offset = self.original[axis], self.resized[axis], self.crop[axis]
        return ((2 * pixel + 1) * resized - 2 * size * offset) // (2 * size * self.patch_size)

    def _patches_of_pixels(self, axis: int) -> NDArray[np.int64]:
        patches: NDArray[np.int64] = self._patch_of(axis, np.arange(self.original[axis]))
        return patches

    def _runs(self, axis: int) -> list[tuple[int, int]]:
        """List the photo pixels [start, stop) of each row or column of patches."""
        edges = np.searchsorted(self._patches_of_pixels(axis), np.arange(self.grid[axis] + 1))
        runs = [(int(start), int(stop)) for start, stop in pairwise(edges)]
        for patch, (start, stop) in enumerate(runs):
            low, high = self._span(axis, patch)
            if start == stop and low < high:
                middle = min(int((low + high) / 2), self.original[axis] - 1)
                runs[patch] = middle, middle + 1
        return runs

    def _bilinear(self, values: NDArray[Any]) -> NDArray[Any]:
        """Interpolate floats: across the columns of the small array, then down its rows."""
        lower, part = self._taps(1)
        upper = np.minimum(lower + 1, self.grid[1] - 1)
        left, right = np.take(values, lower, axis=-1), np.take(values, upper, axis=-1)
        wide = left + (right - left) * part.astype(values.dtype)
        lower, part = self._taps(0)
        part = part.astype(values.dtype)[:, None]
        out = np.empty((*values.shape[:-2], *self.original), values.dtype)
        # All pixel rows between the same two rows of patches at once, straight into the result.
        for row in range(self.grid[0]):
            band = slice(*np.searchsorted(lower, (row, row + 1)))
            above = wide[..., row : row + 1, :]
            below = wide[..., min(row + 1, self.grid[0] - 1), None, :]
            np.multiply(below - above, part[band], out=out[..., band, :])
            out[..., band, :] += above
        return out

    def _bicubic(self, values: NDArray[Any]) -> NDArray[Any]:
        """Interpolate floats by Keys' cubic convolution (a = −0.5), cut to the range of each map."""
        rows, columns = (self._cubic_weights(axis).astype(values.dtype) for axis in (0, 1))
        smooth = rows @ values @ columns.T
        low, high = (edge(values, axis=(-2, -1), keepdims=True) for edge in (np.min, np.max))
        return np.clip(smooth, low, high, out=smooth)

    def _cubic_weights(self, axis: int) -> NDArray[np.float64]:
        """Weigh the patches along an axis for each pixel, [pixels, patches], rows summing to 1."""
        lower, part = self._taps(axis)
        weights = np.zeros((len(lower), self.grid[axis]))
        pixels = np.arange(len(lower))
        for step in (-1, 0, 1, 2):
            far = np.abs(part - step)
            near = (1.5 * far - 2.5) * far**2 + 1
            outer = ((-0.5 * far + 2.5) * far - 4) * far + 2
            weight = np.where(far <= 1, near, outer)
            patches = np.clip(lower + step, 0, self.grid[axis] - 1)
            np.add.at(weights, (pixels, patches), weight)
        return weights

    def _taps(self, axis: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find for each pixel the patch whose centre is at or before its own, and how far past it."""
        size, resized, offset = self.original[axis], self.resized[axis], self.crop[axis]
        centres = (np.arange(size) + 0.5) * resized / size - offset
        place = np.clip(centres / self.patch_size - 0.5, 0, self.grid[axis] - 1)
        lower = np.floor(place).astype(np.int64)
        return lower, place - lower
