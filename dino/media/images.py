"""Bytes → RGB pixels.

    rgb = read("photo.heic")                                        # uint8 [H, W, 3], upright, sRGB
    paths = find_images(["holiday/", "cat.jpg"])

`decode` is made for files from strangers: the size is checked before any pixel is decoded, eight
formats are opened and no others, and whatever is wrong becomes an ImageError. It changes nothing
global in Pillow (HEIC is opened by pillow_heif directly) and may run in many threads.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pillow_heif

# The plugins are imported by name because Pillow registers all but five of them at the first
# Image.open that needs them, which is not safe in threads.
from PIL import (  # noqa: F401
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from dino.errors import ImageError
from dino.media.colors import to_rgb

MAX_PIXELS = 40_000_000
# Pillow's decoder of WebP holds up to 20 bytes a pixel, twice what others do.
_WEBP_SHARE = 0.5
# fmt: off
IMAGE_SUFFIXES = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff",
    ".avif", ".heic", ".heif", ".hif",
)
# fmt: on

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")  # as Pillow calls them; and HEIC
_EXPECTED = "expected a PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or HEIC picture"
_READABLE = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
}
_REFUSED = {
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript drawing",
    b"\xc5\xd0\xd3\xc6": "a PostScript drawing",
    b"8BPS": "a Photoshop file",
    b"\0\0\1\0": "a Windows icon",
    b"PK\3\4": "a ZIP archive",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cjP": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
}
_BRANDS = dict.fromkeys((b"avif", b"avis"), "AVIF") | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIC"
)
# The upright picture by EXIF orientation, from pixels [H,W,3] as they are stored.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda rgb: rgb[:, ::-1],
    3: lambda rgb: rgb[::-1, ::-1],
    4: lambda rgb: rgb[::-1],
    5: lambda rgb: rgb.transpose(1, 0, 2),
    6: lambda rgb: np.rot90(rgb, -1),
    7: lambda rgb: rgb[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


# Bytes → pixels --------------------------------------------------------------------------------


def decode(
    data: bytes, *, max_pixels: int = MAX_PIXELS, short_side: int | None = None
) -> np.ndarray:
    """Decode a picture to upright RGB.

    The first frame of animations and multi-page files. Transparency is laid on white. An embedded
    ICC profile (RGB, grey or CMYK) is converted to sRGB, a broken one ignored. Levels: unsigned
    12- and 16-bit grey is scaled by its full range (65535 → 255), 16-bit colour keeps its upper
    byte; 32-bit integers, signed integers and floats have no agreed white, so the smallest of 1
    (floats only), 255 and 65535 that holds all values is white, and values beyond that or below
    zero are stretched from the least (black) to the greatest (white); NaN and infinities are black.

    Args:
        data: content of a PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or HEIC file.
        max_pixels: largest width · height, at least 1, of WebP half as much; checked before decoding.
        short_side: px that are enough: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if both
            sides stay as long, which is several times quicker. None: always the whole picture.
    Returns:
        uint8 [H, W, 3], writable and contiguous.
    Raises:
        ImageError: anything else, truncated and damaged files included.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ImageError(
            f"got {type(data).__name__}, expected the bytes of a picture file; "
            "use dino.media.images.read to read a path"
        )
    data = bytes(data)
    try:
        picture = _open(data, max_pixels)
        if short_side is not None:
            picture.draft(None, (short_side, short_side))
        picture.load()
        _check_size(picture.size, max_pixels)  # HEIC learns its true size while decoding
        orientation = _orientation(picture)
        rgb = to_rgb(picture)
        del picture  # before the pixels are turned, which takes as much again
        return np.ascontiguousarray(_UPRIGHT[orientation](rgb)) if orientation in _UPRIGHT else rgb
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+", str(error))
        raise ImageError(
            _too_large(f"{int(pixels[0]):,}" if pixels else "too many", max_pixels)
        ) from error
    except MemoryError as error:
        raise ImageError(
            f"got a picture too large for the free memory ({_format(data)}), expected a smaller "
            "one; scale it down first"
        ) from error
    except Exception as error:  # damaged files make Pillow raise about a dozen types
        raise ImageError(_unreadable(data, error)) from error


def read(path: str | os.PathLike[str], *, short_side: int | None = None) -> np.ndarray:
    """Read and `decode` a picture file; the message of the ImageError starts with its path."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(
            f"{path}: got no file to read ({reason}), {_EXPECTED}; check the path"
        ) from error
    try:
        return decode(data, short_side=short_side)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def find_images(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Find picture files in the order of `paths`; folders are searched with their sub-folders, sorted.

    In folders, hidden files and folders (".name") and other suffixes than IMAGE_SUFFIXES are
    skipped; a file that is named itself is always kept, so that `read` can say what is wrong.
    Each path once; linked folders are not entered.

    Raises:
        ImageError: a path that does not exist or a folder that cannot be read.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not os.path.exists(path):  # unlike Path.exists, False where it cannot be known
            raise ImageError(
                f"{path}: got a path that does not exist, expected a picture or a folder of "
                "pictures; check the spelling"
            )
        found.update(dict.fromkeys(sorted(_walk(path)) if os.path.isdir(path) else [path]))
    return list(found)


def _walk(folder: Path) -> Iterable[Path]:
    def refuse(error: OSError) -> None:
        raise ImageError(
            f"{error.filename}: got a folder that cannot be read ({error.strerror}), expected one "
            "that can; change its permissions or leave it out"
        ) from error

    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES):
                yield Path(parent, name)


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Open without decoding, and check the size."""
    kind = _format(data)
    if not kind:
        raise ImageError(f"got {_describe(data)}, {_EXPECTED}; export it as PNG or JPEG")
    if kind in ("HEIC", "AVIF"):
        # A crop may show a small part of a large picture, all of which is decoded.
        for sides in re.findall(rb"(?s)\0\0\0\x14ispe\0{4}(.{8})", data):
            _check_size(struct.unpack(">II", sides), max_pixels)
    if kind == "HEIC":
        heif = pillow_heif.open_heif(data)
        _check_size(heif.size, max_pixels)
        return heif.to_pillow()
    if kind == "WebP":  # Pillow lays out the whole canvas when it opens one
        _check_size(_webp_size(data), int(max_pixels * _WEBP_SHARE))
    picture = Image.open(io.BytesIO(data), formats=_FORMATS)
    _check_size(picture.size, max_pixels)
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        # A tile may be far larger than the picture, and the decoder holds a whole one.
        _check_size((picture.tag_v2.get(322, 1), picture.tag_v2.get(323, 1)), max_pixels)
    return picture


def _format(data: bytes) -> str:
    """Recognise the readable format that the first bytes announce, or ""."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        box = data[8 : min(256, max(16, int.from_bytes(data[:4], "big")))]
        brands = [box[:4], *(box[start : start + 4] for start in range(8, len(box), 4))]
        # The first brand that names a codec decides; "mif1" alone is HEIF of any codec.
        general = "HEIC" if {b"mif1", b"msf1"} & set(brands) else ""
        return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), general)
    return next((name for start, name in _READABLE.items() if data.startswith(start)), "")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Read the canvas (width, height) from the header of a WebP file."""
    kind, body = data[12:16], data[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", body[6:10])
    return width & 0x3FFF, height & 0x3FFF


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(
            f"got a picture of {width}x{height} px, expected at least 1x1; export the picture again"
        )
    if width * height > max_pixels:
        raise ImageError(_too_large(f"{width}x{height} = {width * height:,}", max_pixels))


def _too_large(pixels: str, max_pixels: int) -> str:
    return f"got a picture of {pixels} px, expected at most {max_pixels:,}; scale it down first"


def _describe(data: bytes) -> str:
    """Describe what a file that is not read seems to be."""
    if not data:
        return "an empty file"
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, name in _REFUSED.items():
        if data.startswith(start):
            return name
    if b"<svg" in head:
        return "an SVG drawing"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if not re.search(rb"[^\t\r\n -\x7e\x80-\xff]", head):
        return "a text file"
    return f"a file of another kind ({len(data):,} bytes)"


def _unreadable(data: bytes, error: Exception) -> str:
    reason = " ".join(str(error).split())[:120]
    if isinstance(error, Image.UnidentifiedImageError) or not reason:
        reason = "its header or layout cannot be read"
    kind = _format(data)
    article = "an" if kind == "AVIF" else "a"
    return (
        f"got {article} {kind} file that is cut short, damaged or of a rare kind "
        f"({reason}), expected a complete one; fetch or export it again, as PNG or JPEG"
    )


def _orientation(picture: Image.Image) -> int:
    """Read the EXIF orientation still to be applied (Pillow and libheif apply TIFF's and HEIC's)."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a photo with broken EXIF is still a photo
        return 1
