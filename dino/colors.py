"""Pixels of any mode → 8-bit sRGB: profiles, transparency, and levels of more than 8 bits."""

import io

import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode → 8-bit sRGB, on white."""
    profile = picture.info.get("icc_profile")
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return Image.fromarray(_grey_levels(picture)).convert("RGB")
    if picture.has_transparency_data:
        picture = _to_srgb(picture.convert("RGBA"), profile)
        canvas = Image.new("RGB", picture.size, "white")
        canvas.paste(picture.convert("RGB"), mask=picture.getchannel("A"))
        return canvas
    if picture.mode not in ("L", "CMYK", "RGB"):
        picture = picture.convert("RGB")
    return _to_srgb(picture, profile).convert("RGB")


def _to_srgb(picture: Image.Image, icc: bytes | None) -> Image.Image:
    """Apply an ICC profile; broken ones, those of another colour space and sRGB change nothing."""
    if not icc:
        return picture
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if "srgb" in ImageCms.getProfileDescription(profile).lower():
            return picture
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(profile, srgb, picture.mode, mode).apply(picture)
    except Exception:  # lcms and Pillow report what does not fit as several types
        return picture


def _grey_levels(picture: Image.Image) -> np.ndarray:
    """Grey of more than 8 bits → uint8 [H, W]; `decode` says how."""
    levels = np.asarray(picture)
    tags = picture.tag_v2 if isinstance(picture, TiffImagePlugin.TiffImageFile) else {}
    if picture.mode.startswith("I;16"):
        white = 2 ** tags.get(258, (16,))[0] - 1  # BitsPerSample: Pillow leaves 12 bits as they are
        table = (np.arange(65536) * 255 + white // 2) // white
        grey = np.minimum(table, 255).astype(np.uint8)[levels.astype(np.uint16)]
        clear = picture.info.get("transparency")
        if isinstance(clear, int):
            grey[levels == clear] = 255
    else:
        if picture.mode == "I" and tags and tags.get(339, (1,))[0] == 1:
            levels = levels.view(np.uint32)  # SampleFormat: unsigned in the file, signed in Pillow
        grey = _stretch(levels)
    # Of these pictures Pillow does not turn those over whose white is zero.
    return 255 - grey if tags.get(262) == 0 else grey


def _stretch(levels: np.ndarray) -> np.ndarray:
    """Integers or floats of no agreed white → uint8."""
    whites = (255, 65535) if levels.dtype.kind in "iu" else (1, 255, 65535)
    finite = levels[np.isfinite(levels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    white = next((white for white in whites if low >= 0 and high <= white), None)
    if white:
        low, high = 0.0, float(white)
    flat, grey = levels.ravel(), np.empty(levels.size, np.uint8)
    for start in range(0, flat.size, 2**20):  # in parts: float64 of 40 megapixels takes 320 MB
        part = flat[start : start + 2**20].astype(np.float64)
        part[~np.isfinite(part)] = low
        grey[start : start + 2**20] = (part - low) / (high - low or 1) * 255 + 0.5
    return grey.reshape(levels.shape)
