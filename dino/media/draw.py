"""Values → pictures: colour maps, overlays, outlines, cut-outs, contact sheets. All [H,W,3] uint8 RGB.

Colour is applied at the patch grid and then enlarged, so a map costs the same for any photo.
"""

import io
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dino.errors import UserError
from dino.media.colormaps import COLORMAPS
from dino.media.geometry import Geometry
from dino.media.palettes import ABOVE, BELOW, object_color
from dino.media.upsampling import Guide, to_pixels

# How a map's values become 0..1: up to the percentile below, or up to the largest.
SCALES = ("robust", "full")
# A few patches of a ViT hold many times what the others do, and leave a map black that ends at them.
ROBUST_PERCENTILE = 98.5
# How values of patches become pixels. "guided" follows the photo's edges.
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "guided")
_COLOUR = np.dtype("V3")
_CHECKER_PX = 12
_PNG_LEVEL = 3  # of zlib, from 0 to 9
_TINT = 0.55  # the share of colour in what is tinted, and of light in what is darkened
RANDOM_MARK = "random weights: nothing learned"


def normalize(
    weights: np.ndarray, *, shared: bool = False, scale: str = "full"
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Scale each map of [A,h,w] by its own range, or by one `shared` range of all of them.

    Args:
        scale: "full" goes from the least value to the largest, which is 1; "robust" to the 98.5th
            percentile of the patches (interpolated linearly): what lies above is above 1. Where that
            is no higher than the least value, the largest is taken.
    Returns:
        The scaled maps, and each map's (low, high) in the units of `weights`: what became 0 and 1.
    Raises:
        UserError: an unknown scale.
    """
    if scale not in SCALES:
        raise UserError(f"scale is {scale!r}; expected one of {', '.join(SCALES)}")
    axes = None if shared else (-2, -1)
    low = np.broadcast_to(weights.min(axis=axes, keepdims=True), (*weights.shape[:-2], 1, 1))
    high = weights.max(axis=axes, keepdims=True)
    if scale == "robust":
        top = np.percentile(weights, ROBUST_PERCENTILE, axis=axes, keepdims=True)
        high = np.where(top > weights.min(axis=axes, keepdims=True), top, high)
    high = np.broadcast_to(high.astype(weights.dtype), low.shape)
    scaled = (weights - low) / np.where(high > low, high - low, 1)
    ranges = list(zip(low.ravel().tolist(), high.ravel().tolist(), strict=True))
    return scaled, ranges


def colorize(values: np.ndarray, colormap: str = "inferno") -> np.ndarray:
    """Turn values [h,w] in 0..1 into colours [h,w,3]; the ends are clipped.

    Raises:
        UserError: an unknown colour map.
    """
    if colormap not in COLORMAPS:
        raise UserError(f"colormap {colormap!r} is not known; expected one of {tuple(COLORMAPS)}")
    levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return cv2.applyColorMap(levels, COLORMAPS[colormap][:, None])


def heat(
    values: np.ndarray,
    geometry: Geometry,
    *,
    colormap: str = "inferno",
    interpolation: str = "nearest",
    width: int | None = None,
    guide: Guide | None = None,
) -> np.ndarray:
    """Lay a coloured map [h,w] over the photo's frame, at the photo's size or `width` px wide.

    Args:
        values: [h,w], 0..1 for the colours from the first to the last; beyond, those hold.
        interpolation: one of `INTERPOLATIONS`; "nearest" shows the patches, as the paper does.
        guide: the photo, in the size that is drawn; "guided" needs it.
    """
    frame = geometry if width is None else scaled(geometry, width)
    if interpolation != "nearest":  # blend values, not colours, so that the bar holds everywhere
        return colorize(pixel_values(values, frame, interpolation, guide=guide), colormap)
    # A colour is moved as one value of three bytes: ten times as fast as three planes.
    whole = np.ascontiguousarray(colorize(values, colormap)).view(_COLOUR)[..., 0]
    return frame.to_photo(whole).view(np.uint8).reshape(*frame.original, 3)


def pixel_values(
    values: np.ndarray, frame: Geometry, interpolation: str, *, guide: Guide | None = None
) -> np.ndarray:
    """Bring values [h,w] to the frame's pixels, float32 [H,W]; arguments as in `heat`.

    Raises:
        UserError: an unknown interpolation, or "guided" without a photo.
    """
    values = values.astype(np.float32)
    if interpolation != "guided":
        return frame.to_photo(values, interpolation=interpolation)
    if guide is None:
        raise UserError("guided interpolation follows a photo; pass the Guide of it")
    return to_pixels(values, frame, guide)


def grey(photo: np.ndarray) -> np.ndarray:
    """Take the colours out of a photo, so that those of a map over it are all there are: uint8 [H,W,3]."""
    return cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def scaled(geometry: Geometry, width: int) -> Geometry:
    """Scale a geometry: the same patches over the photo shown `width` px wide (never enlarged)."""
    height, full = geometry.original
    if width >= full:
        return geometry
    return replace(geometry, original=(max(1, round(height * width / full)), width))


def shrink(photo: np.ndarray, width: int) -> np.ndarray:
    """Reduce the photo to at most `width` px in width, its height as `scaled` counts it."""
    height, full = photo.shape[:2]
    if width >= full:
        return photo
    size = (width, max(1, round(height * width / full)))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


def overlay(photo: np.ndarray, colours: np.ndarray, opacity: float) -> np.ndarray:
    """Blend `colours` over `photo` (same size); opacity 0 shows the photo, 1 the colours."""
    return cv2.addWeighted(photo, 1 - opacity, colours, opacity, 0)


def cutout(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Cut the photo out where the mask is set, RGBA [H,W,4]; elsewhere transparent, with nothing below."""
    return np.dstack([photo * mask[..., None], mask.astype(np.uint8) * 255])


def on_checkers(rgba: np.ndarray) -> np.ndarray:
    """Lay RGBA over a grey checkerboard, for showing transparency where a page has its own colour."""
    rows, columns = np.indices(rgba.shape[:2]) // _CHECKER_PX
    board = np.where((rows + columns) % 2, 235, 205).astype(np.uint8)[..., None]
    return np.where(rgba[..., 3:] > 0, rgba[..., :3], board).astype(np.uint8)


def mark_random(picture: np.ndarray) -> np.ndarray:
    """Write across the foot that the weights are random, so that no such picture passes for a result."""
    image = Image.fromarray(picture)  # RGB, or RGBA
    size = max(10, round(image.width / 22))
    band = round(size * 1.7)
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, image.height - band, image.width, image.height], fill=(0, 0, 0))
    pen.text(
        (image.width / 2, image.height - band / 2),
        RANDOM_MARK,
        fill=(255, 255, 255),
        font=ImageFont.load_default(size),
        anchor="mm",
    )
    return np.asarray(image)


def sheet(
    pictures: Sequence[tuple[str, np.ndarray]],
    *,
    columns: int = 4,
    tile_px: int = 360,
    title: str = "",
) -> np.ndarray:
    """Lay labelled pictures out in rows as a contact sheet, each fitted into a tile `tile_px` wide."""
    tiles = [(label, shrink(picture, tile_px)) for label, picture in pictures]
    columns = min(columns, len(tiles))
    gap, caption = 12, 26
    cell_h = max(tile.shape[0] for _, tile in tiles) + caption
    head = 34 if title else 0
    rows = -(-len(tiles) // columns)
    size = (gap + columns * (tile_px + gap), head + gap + rows * (cell_h + gap))
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(15)
    if title:
        pen.text((gap, gap), title, fill="black", font=font)
    for number, (label, tile) in enumerate(tiles):
        row, column = divmod(number, columns)
        left, top = gap + column * (tile_px + gap), head + gap + row * (cell_h + gap)
        pen.text((left, top), label, fill="black", font=font)
        page.paste(Image.fromarray(tile), (left, top + caption))
    return np.asarray(page)


def encode_png(picture: np.ndarray) -> bytes:
    """Encode [H,W], [H,W,3] or [H,W,4] uint8, or a boolean mask as 0/255, as a PNG."""
    if picture.ndim == 3 and picture.shape[2] == 3:
        # Colours over a photo are most of what is written: OpenCV packs them three times as fast as
        # Pillow, into files a tenth larger.
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        return cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    pixels = picture.astype(np.uint8) * 255 if picture.dtype == bool else picture
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def encode_jpeg(picture: np.ndarray, *, quality: int = 88) -> bytes:
    """Encode [H,W,3] uint8 as a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def diverging_heat(
    values: np.ndarray, geometry: Geometry, photo: np.ndarray
) -> tuple[np.ndarray, float]:
    """Lay a signed map [h,w] over a photo that is darkened to grey.

    Args:
        photo: uint8 [H,W,3], at most the size of `geometry.original`.
    Returns:
        The picture [H,W,3], and the largest absolute value, which has the full colour.
    """
    most = float(np.abs(values).max())
    frame = scaled(geometry, photo.shape[1])
    strength = frame.to_photo(np.abs(values) / most if most else np.zeros_like(values))[..., None]
    above = frame.to_photo(values > 0)[..., None]
    grey = np.repeat(photo.mean(axis=-1, keepdims=True) * 0.45, 3, axis=-1)
    mixed = grey * (1 - strength) + np.where(above, ABOVE, BELOW) * strength
    return np.rint(mixed).clip(0, 255).astype(np.uint8), most


def objects_overlay(photo: NDArray[np.uint8], masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Tint masks [n,H,W] over a photo and darken the rest; where two meet the first is on top."""
    picture = (photo * _TINT).astype(np.uint8)
    for number in reversed(range(len(masks))):
        tint = np.full_like(photo, object_color(number))
        picture = np.where(masks[number][..., None], overlay(photo, tint, _TINT), picture)
    return picture


def objects_outline(photo: NDArray[np.uint8], masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Draw each mask's edge over the photo as a line that keeps its weight at any size."""
    picture = np.ascontiguousarray(photo.copy())
    thickness = max(2, round(max(photo.shape[:2]) / 250))
    for number in reversed(range(len(masks))):
        edges, _ = cv2.findContours(
            masks[number].astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, edges, -1, (0, 0, 0), thickness + 2)
        cv2.drawContours(picture, edges, -1, object_color(number), thickness)
    return picture
