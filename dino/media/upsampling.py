"""Bring values of a grid of patches to the photo's pixels, smoothly or along the photo's edges.

    to_pixels(maps, geometry, rgb, how="guided")      # [A, h, w] -> float32 [A, H, W]

The guided filter takes each small window of the photo for a place where the map is a linear function of
colour: where colours part, so does the map, and where they do not it stays smooth.
Source: He, Sun & Tang 2013, "Guided Image Filtering"; He & Sun 2015, "Fast Guided Filter".
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dino.errors import UserError
from dino.media.geometry import Geometry

UPSAMPLINGS = ("guided", "bicubic", "nearest")
# Half the side of the filter's windows, in shares of the photo's longer side; and what a variance of
# colours (0..1) must exceed to count as an edge. Chosen on 60 outlined photos at 280 and 480 px of input.
_RADIUS_SHARE, _EDGE_VARIANCE = 0.06, 1e-3
# The filter's coefficients are smooth: they are worked out on a photo of at most this longer side.
_COEFFICIENTS_PX = 1024


def to_pixels(
    values: NDArray[np.float32],
    geometry: Geometry,
    rgb: "NDArray[np.uint8] | Guide",
    *,
    how: str = "guided",
) -> NDArray[np.float32]:
    """Bring values to the photo's pixels.

    Args:
        values: [..., h, w] on the grid of `geometry`.
        rgb: the photo, uint8 [H,W,3]; for many maps one after the other, its `Guide`.
        how: "nearest" repeats each patch's value; "bicubic" interpolates; "guided" follows the
            photo's edges as well.
    Returns:
        float32 [..., H, W], within the range of each map [h,w].
    Raises:
        UserError: an unknown way, a photo or a grid of another size.
    """
    if how not in UPSAMPLINGS:
        raise UserError(f"upsample is {how!r}; expected one of {', '.join(UPSAMPLINGS)}")
    size = rgb.colours.shape[:2] if isinstance(rgb, Guide) else rgb.shape[:2]
    if size != geometry.original:
        raise UserError(
            f"the photo has {size} px, expected {geometry.original}; pass the photo the maps are of"
        )
    values = np.asarray(values, np.float32)
    if how != "guided":
        return geometry.to_photo(values, interpolation=how)
    photo = rgb if isinstance(rgb, Guide) else Guide.of(rgb)
    small = Geometry(photo.small, geometry.resized, geometry.crop, geometry.patch_size)
    maps = values.reshape(-1, *values.shape[-2:])
    out = np.empty((len(maps), *geometry.original), np.float32)
    for number, grid_map in enumerate(maps):
        coarse = small.to_photo(grid_map, interpolation="bicubic")
        np.clip(photo.filter(coarse), grid_map.min(), grid_map.max(), out=out[number])
    return out.reshape(*values.shape[:-2], *geometry.original)


@dataclass(frozen=True)
class Guide:
    """A photo that maps are filtered along: colours [H,W,3] in 0..1, reduced ones, and what the filter
    needs of their windows: means and the inverse of their covariance, whose six entries are kept."""

    colours: NDArray[Any]
    reduced: NDArray[Any]
    means: NDArray[Any]
    inverse: tuple[NDArray[Any], ...]
    radius: int

    @classmethod
    def of(cls, rgb: NDArray[np.uint8]) -> "Guide":
        """Prepare a photo, uint8 [H,W,3]."""
        colours = rgb.astype(np.float32) / 255
        longer = max(rgb.shape[:2])
        reduced = colours
        if longer > _COEFFICIENTS_PX:
            height, width = (
                max(1, round(side * _COEFFICIENTS_PX / longer)) for side in rgb.shape[:2]
            )
            reduced = cv2.resize(colours, (width, height), interpolation=cv2.INTER_AREA)
        radius = max(1, round(_RADIUS_SHARE * max(reduced.shape[:2])))
        means = _window_mean(reduced, radius)
        return cls(colours, reduced, means, _inverse_covariance(reduced, means, radius), radius)

    @property
    def small(self) -> tuple[int, int]:
        """Measure the reduced photo, (H, W)."""
        return self.reduced.shape[0], self.reduced.shape[1]

    def filter(self, values: NDArray[Any]) -> NDArray[Any]:
        """Filter a map of the reduced photo's size along the photo: float32 [H,W] of its full size."""
        mean = _window_mean(values, self.radius)
        shared = (
            _window_mean(self.reduced * values[..., None], self.radius)
            - self.means * mean[..., None]
        )
        rr, rg, rb, gg, gb, bb = self.inverse
        red, green, blue = (shared[..., channel] for channel in range(3))
        slopes = np.dstack(
            [
                rr * red + rg * green + rb * blue,
                rg * red + gg * green + gb * blue,
                rb * red + gb * green + bb * blue,
            ]
        )
        offsets = mean - (slopes * self.means).sum(axis=2)
        line = _window_mean(np.dstack([slopes, offsets]), self.radius)
        height, width = self.colours.shape[:2]
        if self.small != (height, width):
            line = cv2.resize(line, (width, height), interpolation=cv2.INTER_LINEAR)
        return (line[..., :3] * self.colours).sum(axis=2) + line[..., 3]


def _window_mean(values: NDArray[Any], radius: int) -> NDArray[Any]:
    side = 2 * radius + 1
    return cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT)


def _inverse_covariance(
    colours: NDArray[Any], means: NDArray[Any], radius: int
) -> tuple[NDArray[Any], ...]:
    """Invert the covariance of the colours of each window, a symmetric 3×3 matrix, by its cofactors."""
    pairs = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    products = np.dstack([colours[..., i] * colours[..., j] for i, j in pairs[:3]])
    rest = np.dstack([colours[..., i] * colours[..., j] for i, j in pairs[3:]])
    both = np.dstack([_window_mean(products, radius), _window_mean(rest, radius)])
    rr, rg, rb, gg, gb, bb = (
        both[..., number] - means[..., i] * means[..., j] + (_EDGE_VARIANCE if i == j else 0)
        for number, (i, j) in enumerate(pairs)
    )
    cofactors = (
        gg * bb - gb * gb,
        rb * gb - rg * bb,
        rg * gb - rb * gg,
        rr * bb - rb * rb,
        rg * rb - rr * gb,
        rr * gg - rg * rg,
    )
    determinant = rr * cofactors[0] + rg * cofactors[1] + rb * cofactors[2]
    return tuple(cofactor / determinant for cofactor in cofactors)
