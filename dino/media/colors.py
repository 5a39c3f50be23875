"""Pixels of any mode → 8-bit sRGB: profiles, transparency, and levels of more than 8 bits."""

import io
from collections.abc import Iterator
from functools import partial

import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin

_STRIP_PX = 2**18


def to_rgb(picture: Image.Image) -> np.ndarray:
    """Convert any mode to 8-bit sRGB, on white: uint8 [H,W,3].

    In strips, since each copy of a whole picture of 40 megapixels takes 160 MB.
    """
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return np.repeat(_grey_levels(picture)[..., None], 3, axis=-1)
    if picture.has_transparency_data:
        mode = "RGBA"
    else:
        mode = picture.mode if picture.mode in ("L", "CMYK") else "RGB"
    to_srgb = _transform(picture.info.get("icc_profile"), mode)
    pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    for top, strip in _strips(picture):
        converted = _apply(to_srgb, strip if strip.mode == mode else strip.convert(mode))
        if mode == "RGBA":
            canvas = Image.new("RGB", converted.size, "white")
            canvas.paste(converted.convert("RGB"), mask=converted.getchannel("A"))
            converted = canvas
        pixels[top : top + strip.height] = np.asarray(converted.convert("RGB"))
    return pixels


def _strips(picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Cut the picture from top to bottom into parts of a quarter of a megapixel, each with its first row."""
    rows = max(1, _STRIP_PX // picture.width)
    for top in range(0, picture.height, rows):
        yield top, picture.crop((0, top, picture.width, min(top + rows, picture.height)))


def _transform(icc: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build the transform from a profile to sRGB; None where nothing is to be changed, as by broken
    profiles, those of another colour space, and sRGB."""
    if not icc:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if "srgb" in ImageCms.getProfileDescription(profile).lower():
            return None
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(profile, srgb, mode, "RGBA" if mode == "RGBA" else "RGB")
    except Exception:  # lcms and Pillow report what does not fit as several types
        return None


def _apply(transform: ImageCms.ImageCmsTransform | None, picture: Image.Image) -> Image.Image:
    if transform is None:
        return picture
    try:
        return transform.apply(picture)
    except Exception:  # as in `_transform`
        return picture


def _grey_levels(picture: Image.Image) -> np.ndarray:
    """Bring grey of more than 8 bits to uint8 [H, W]; `decode` says how."""
    tags = picture.tag_v2 if isinstance(picture, TiffImagePlugin.TiffImageFile) else {}
    if picture.mode.startswith("I;16"):
        white = 2 ** tags.get(258, (16,))[0] - 1  # BitsPerSample: Pillow leaves 12 bits as they are
        to_grey = partial(_scale, white=white, clear=picture.info.get("transparency"))
    else:
        # SampleFormat: unsigned in the file, signed in Pillow
        unsigned = picture.mode == "I" and bool(tags) and tags.get(339, (1,))[0] == 1
        to_grey = partial(_stretch, ends=_ends(picture, unsigned), unsigned=unsigned)
    grey = np.empty((picture.height, picture.width), np.uint8)
    for top, strip in _strips(picture):
        grey[top : top + strip.height] = to_grey(np.asarray(strip))
    # Of these pictures Pillow does not turn those over whose white is zero.
    return 255 - grey if tags.get(262) == 0 else grey


def _scale(levels: np.ndarray, *, white: int, clear: object) -> np.ndarray:
    """Scale 12 or 16 bits to uint8, by their full range; the level that is transparent is white."""
    table = (np.arange(65536) * 255 + white // 2) // white
    grey = np.minimum(table, 255).astype(np.uint8)[levels.astype(np.uint16)]
    if isinstance(clear, int):
        grey[levels == clear] = 255
    return grey


def _ends(picture: Image.Image, unsigned: bool) -> tuple[float, float]:
    """Find what is black and what is white among integers or floats of no agreed white."""
    low, high = np.inf, -np.inf
    for _, strip in _strips(picture):
        levels = np.asarray(strip).view(np.uint32) if unsigned else np.asarray(strip)
        if (finite := levels[np.isfinite(levels)]).size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:  # no number at all
        low = high = 0.0
    whites = (1, 255, 65535) if picture.mode == "F" else (255, 65535)
    white = next((white for white in whites if low >= 0 and high <= white), None)
    return (0.0, float(white)) if white else (low, high)


def _stretch(levels: np.ndarray, *, ends: tuple[float, float], unsigned: bool) -> np.ndarray:
    """Stretch integers or floats to uint8, from black to white; what is no number is black."""
    low, high = ends
    part = (levels.view(np.uint32) if unsigned else levels).astype(np.float64)
    part[~np.isfinite(part)] = low
    grey: np.ndarray = ((part - low) / (high - low or 1) * 255 + 0.5).astype(np.uint8)
    return grey
