"""Picture files of every kind, made here, with the pixels they must decode to; bombs and damage."""

import io
import struct
import zlib

import numpy as np
import pillow_heif
from PIL import Image

# Pictures --------------------------------------------------------------------------------------


def _picture() -> np.ndarray:
    """Draw a smooth 48x64 picture that no flip or turn leaves alone."""
    y, x = np.mgrid[0:48, 0:64]
    rgb = np.stack([40 + x * 3, 30 + y * 4, 200 - x - y], -1).astype(np.uint8)
    rgb[:16, :16], rgb[:16, -16:] = (255, 0, 0), (0, 255, 0)
    rgb[-16:, :16], rgb[-16:, -16:] = (0, 0, 255), (255, 255, 255)
    return rgb


RGB = _picture()
GREY = (RGB[..., 0] // 2 + RGB[..., 1] // 4).astype(np.uint8)
ALPHA = np.tile((np.arange(64) * 4).astype(np.uint8), (48, 1))
BITS = GREY > 90
LEVELS = np.array([[0, 257, 1000, 32768], [40000, 65534, 65535, 128]], np.uint16)
LEVELS_8 = np.array([[0, 1, 4, 128], [156, 255, 255, 0]], np.uint8)


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=-1)


def on_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    part = alpha[..., None].astype(float) / 255
    return np.round(rgb * part + 255 * (1 - part)).astype(np.uint8)


def encode(array: np.ndarray | Image.Image, fmt: str, **options) -> bytes:
    picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
    buffer = io.BytesIO()
    picture.save(buffer, fmt, **options)
    return buffer.getvalue()


def heic(array: np.ndarray | Image.Image, quality: int = -1, **options) -> bytes:
    picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
    buffer = io.BytesIO()
    chroma = {} if picture.mode.startswith("L") else {"chroma": 444}
    pixels = picture.mode, picture.size, picture.tobytes()
    pillow_heif.encode(*pixels, buffer, quality=quality, **chroma, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(rows: list[bytes], header: tuple[int, int, int, int], *extra: bytes, adam7=False) -> bytes:
    """Write a PNG by hand: unfiltered rows; header (width, height, bit depth, colour type)."""
    ihdr = struct.pack(">IIBBBBB", *header, 0, 0, int(adam7))
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    body = chunk(b"IHDR", ihdr) + b"".join(extra) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def png16(array: np.ndarray, colour: int, *extra: bytes) -> bytes:
    height, width = array.shape[:2]
    rows = [row.astype(">u2").tobytes() for row in array]
    return png(rows, (width, height, 16, colour), *extra)


def interlaced_png(rgb: np.ndarray) -> bytes:
    steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)]
    steps += [(0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = [row.tobytes() for x, y, dx, dy in steps for row in rgb[y::dy, x::dx]]
    return png(rows, (rgb.shape[1], rgb.shape[0], 8, 2), adam7=True)


def tiff(
    pixels: bytes, width: int, height: int, *, bits=8, photometric=1, order="<", **tags
) -> bytes:
    """Write a one-strip TIFF by hand; further tags as `t339=(type, value)`."""
    entries = {256: (4, width), 257: (4, height), 258: (3, bits), 259: (3, 1)}
    entries |= {262: (3, photometric), 273: (4, 8), 277: (3, 1), 278: (4, height)}
    entries |= {279: (4, len(pixels))} | {int(tag[1:]): entry for tag, entry in tags.items()}
    where = 8 + len(pixels)
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", where) + pixels
    out += struct.pack(order + "H", len(entries))
    for tag, (kind, value) in sorted(entries.items()):
        out += struct.pack(order + "HHI", tag, kind, 1)
        out += struct.pack(order + ("HH" if kind == 3 else "I"), *((value, 0)[: 5 - kind]))
    return out + b"\0\0\0\0"


def s15(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def icc(space: bytes, connection: bytes, name: str, **tags: bytes) -> bytes:
    """Write an ICC version 2 profile by hand."""
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name.encode() + b"\0" * 80
    tags = {"desc": text, "wtpt": b"XYZ \0\0\0\0" + s15(0.9642, 1.0, 0.8249)} | tags
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for tag, value in tags.items():
        table += tag.encode() + struct.pack(">II", start + len(body), len(value))
        body += value + b"\0" * (-len(value) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"lcms", 0x02400000, b"mntr", space, connection
    )
    head += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp") + b"\0" * 28 + s15(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def gamma(exponent: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256))


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + s15(*values)


# Adobe RGB (1998) and sRGB primaries, adapted to D50: columns red, green, blue.
ADOBE = np.array(
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
TRC = {f"{channel}TRC": gamma(2.2) for channel in "rgb"}
ADOBE_ICC = icc(
    b"RGB ", b"XYZ ", "Wide", **{f"{c}XYZ": xyz(*ADOBE[:, i]) for i, c in enumerate("rgb")}, **TRC
)
NAMED_SRGB_ICC = icc(
    b"RGB ", b"XYZ ", "sRGB x", **{f"{c}XYZ": xyz(*ADOBE[:, i]) for i, c in enumerate("rgb")}, **TRC
)
LINEAR_GREY_ICC = icc(b"GRAY", b"XYZ ", "Linear", kTRC=gamma(1.0))
# Two points an ink: no ink is white (L 100), black ink black, other full ink mid-grey (L 50).
CMYK_ICC = icc(
    b"CMYK",
    b"Lab ",
    "Grey inks",
    A2B0=b"mft1\0\0\0\0"
    + bytes([4, 3, 2, 0])
    + s15(1, 0, 0, 0, 1, 0, 0, 0, 1)
    + bytes(range(256)) * 4
    + b"".join(
        bytes([255 if inks == 0 else 0 if inks & 1 else 128, 128, 128]) for inks in range(16)
    )
    + bytes(range(256)) * 3,
)


def adobe_to_srgb(rgb: np.ndarray) -> np.ndarray:
    """Convert the textbook way, to compare with: linear light, D50, sRGB primaries, sRGB's curve."""
    linear = np.clip((rgb / 255) ** 2.2 @ ADOBE.T @ np.linalg.inv(SRGB).T, 0, 1)
    curve = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(curve * 255).astype(np.uint8)


def ycck_jpeg(cmyk: np.ndarray) -> bytes:
    """Write CMYK as Photoshop stores it: inverted, and its first three channels as YCbCr.

    Pillow writes inverted CMYK without that; so it is given what makes the stored values right,
    and the transform in the Adobe marker is set to 2 (YCCK).
    """
    ycc = np.asarray(Image.fromarray(cmyk[..., :3]).convert("YCbCr"))
    stored = np.concatenate([255 - ycc, cmyk[..., 3:]], -1)
    data = encode(Image.fromarray(stored, "CMYK"), "JPEG", quality=100)
    marker = data.index(b"Adobe")
    assert data[marker + 11] == 0
    return data[: marker + 11] + b"\2" + data[marker + 12 :]


def palette_picture(transparency: bytes | int | None = None) -> bytes:
    picture = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) % 4, "P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30])
    options = {} if transparency is None else {"transparency": transparency}
    return encode(picture, "PNG", **options)


PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]], np.uint8)
INDEX = np.arange(16).reshape(4, 4) % 4
CMYK = np.concatenate([255 - RGB, GREY[..., None] // 3], -1)
CMYK_AS_RGB = np.round((255.0 - CMYK[..., :3]) * (255.0 - CMYK[..., 3:]) / 255).astype(np.uint8)
OTHER = Image.fromarray(RGB[::-1, ::-1].copy())
FLOATS = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
SPREAD = np.array([[-10.0, 90.0], [-10.0, 40.0]], np.float32)


# name: (file, its pixels, greatest difference allowed)
def _exact() -> dict[str, tuple[bytes, np.ndarray, int]]:
    anim = {"save_all": True, "append_images": [OTHER], "duration": 100}
    multi = {"save_all": True, "append_images": [OTHER]}
    rgba, la = np.dstack([RGB, ALPHA]), np.dstack([GREY, ALPHA])
    u16 = LEVELS.astype(">u2").tobytes()
    broken = ADOBE_ICC[:100] + b"\xff" * 60
    white_zero = np.packbits(BITS, axis=1).tobytes()
    rgb16 = np.stack([LEVELS, LEVELS[::-1], LEVELS[:, ::-1]], -1)
    rgb16_8 = (rgb16 >> 8).astype(np.uint8)
    alpha16 = np.full_like(LEVELS, 32768)
    la16 = on_white(three((LEVELS >> 8).astype(np.uint8)), np.full(LEVELS.shape, 128, np.uint8))
    twelve = tiff(bytes.fromhex("000800fff0010000"), 5, 1, bits=12)[:]
    lab = Image.new("LAB", (4, 3), (128, 128, 128))
    return {
        "png": (encode(RGB, "PNG"), RGB, 0),
        "png-interlaced": (interlaced_png(RGB), RGB, 0),
        "png-grey": (encode(GREY, "PNG"), three(GREY), 0),
        "png-la": (encode(la, "PNG"), on_white(three(GREY), ALPHA), 1),
        "png-rgba": (encode(rgba, "PNG"), on_white(RGB, ALPHA), 1),
        "png-palette": (palette_picture(), PALETTE[INDEX], 0),
        "png-palette-one-clear": (
            palette_picture(1),
            np.where((INDEX == 1)[..., None], np.uint8(255), PALETTE[INDEX]),
            0,
        ),
        "png-palette-alpha": (
            palette_picture(bytes([255, 128, 0, 255])),
            on_white(PALETTE[INDEX], np.array([255, 128, 0, 255], np.uint8)[INDEX]),
            1,
        ),
        "png-1-bit": (encode(BITS, "PNG"), three(BITS * np.uint8(255)), 0),
        "png-grey-clear-level": (
            encode(GREY, "PNG", transparency=int(GREY[20, 20])),
            three(np.where(GREY[20, 20] == GREY, np.uint8(255), GREY)),
            0,
        ),
        "png-rgb-clear-colour": (
            encode(RGB, "PNG", transparency=(255, 0, 0)),
            np.where((RGB == (255, 0, 0)).all(-1, keepdims=True), np.uint8(255), RGB),
            0,
        ),
        "png-16-bit-grey": (encode(LEVELS, "PNG"), three(LEVELS_8), 1),
        "png-16-bit-grey-clear-level": (
            png16(LEVELS, 0, chunk(b"tRNS", struct.pack(">H", 1000))),
            three(np.where(LEVELS == 1000, np.uint8(255), LEVELS_8)),
            1,
        ),
        "png-16-bit-rgb": (png16(rgb16, 2), rgb16_8, 0),
        "png-16-bit-rgba": (
            png16(np.dstack([rgb16, alpha16]), 6),
            on_white(rgb16_8, np.full(LEVELS.shape, 128, np.uint8)),
            1,
        ),
        "png-16-bit-la": (png16(np.dstack([LEVELS, alpha16]), 4), la16, 1),
        "apng": (encode(RGB, "PNG", **anim), RGB, 0),
        "png-wide-gamut": (encode(RGB, "PNG", icc_profile=ADOBE_ICC), adobe_to_srgb(RGB), 2),
        "png-wide-gamut-rgba": (
            encode(rgba, "PNG", icc_profile=ADOBE_ICC),
            on_white(adobe_to_srgb(RGB), ALPHA),
            3,
        ),
        "png-named-srgb": (encode(RGB, "PNG", icc_profile=NAMED_SRGB_ICC), RGB, 0),
        "png-broken-profile": (encode(RGB, "PNG", icc_profile=broken), RGB, 0),
        "png-no-profile": (encode(RGB, "PNG", icc_profile=b"nonsense"), RGB, 0),
        "png-profile-of-other-space": (encode(RGB, "PNG", icc_profile=CMYK_ICC), RGB, 0),
        "png-linear-grey": (
            encode(np.full((3, 4), 128, np.uint8), "PNG", icc_profile=LINEAR_GREY_ICC),
            np.full((3, 4, 3), 188, np.uint8),
            1,
        ),
        "webp-lossless": (encode(RGB, "WEBP", lossless=True), RGB, 0),
        "webp-rgba": (encode(rgba, "WEBP", lossless=True, exact=True), on_white(RGB, ALPHA), 1),
        "webp-animated": (encode(RGB, "WEBP", lossless=True, **anim), RGB, 0),
        "gif": (encode(GREY, "GIF"), three(GREY), 0),
        "gif-transparent": (
            encode(Image.open(io.BytesIO(palette_picture(1))), "GIF"),
            np.where((INDEX == 1)[..., None], np.uint8(255), PALETTE[INDEX]),
            0,
        ),
        "gif-animated": (
            encode(GREY, "GIF", save_all=True, append_images=[Image.fromarray(GREY[::-1].copy())]),
            three(GREY),
            0,
        ),
        "bmp": (encode(RGB, "BMP"), RGB, 0),
        "bmp-palette": (
            encode(Image.open(io.BytesIO(palette_picture())), "BMP"),
            PALETTE[INDEX],
            0,
        ),
        "bmp-1-bit": (encode(BITS, "BMP"), three(BITS * np.uint8(255)), 0),
        "bmp-32-bit": (encode(rgba, "BMP"), RGB, 0),  # this kind has no alpha by definition
        "tiff": (encode(RGB, "TIFF"), RGB, 0),
        "tiff-lzw": (encode(RGB, "TIFF", compression="tiff_lzw"), RGB, 0),
        "tiff-deflate": (encode(RGB, "TIFF", compression="tiff_adobe_deflate"), RGB, 0),
        "tiff-packbits": (encode(RGB, "TIFF", compression="packbits"), RGB, 0),
        "tiff-fax": (encode(BITS, "TIFF", compression="group4"), three(BITS * np.uint8(255)), 0),
        "tiff-pages": (encode(RGB, "TIFF", **multi), RGB, 0),
        "tiff-big": (encode(RGB, "TIFF", big_tiff=True), RGB, 0),
        "tiff-rgba": (encode(rgba, "TIFF"), on_white(RGB, ALPHA), 1),
        "tiff-cmyk": (encode(Image.fromarray(CMYK, "CMYK"), "TIFF"), CMYK_AS_RGB, 2),
        "tiff-cmyk-profile": (
            encode(Image.new("CMYK", (4, 3), (255, 0, 0, 0)), "TIFF", icc_profile=CMYK_ICC),
            np.full((3, 4, 3), 119, np.uint8),
            2,
        ),
        "tiff-lab": (encode(lab, "TIFF"), np.full((3, 4, 3), 119, np.uint8), 2),
        "tiff-white-is-zero": (
            tiff(white_zero, 64, 48, bits=1, photometric=0),
            three(~BITS * np.uint8(255)),
            0,
        ),
        "tiff-16-bit": (encode(LEVELS, "TIFF"), three(LEVELS_8), 1),
        "tiff-16-bit-big-endian": (tiff(u16, 4, 2, bits=16, order=">"), three(LEVELS_8), 1),
        "tiff-16-bit-white-is-zero": (
            tiff(LEVELS.astype("<u2").tobytes(), 4, 2, bits=16, photometric=0),
            three(255 - LEVELS_8),
            1,
        ),
        "tiff-12-bit": (twelve, three(np.array([[0, 128, 255, 0, 0]], np.uint8)), 1),
        "tiff-signed-16-bit": (
            tiff(np.array([[0, 100, 255]], "<i2").tobytes(), 3, 1, bits=16, t339=(3, 2)),
            three(np.array([[0, 100, 255]], np.uint8)),
            0,
        ),
        "tiff-signed-16-bit-below-zero": (
            tiff(np.array([[-1000, 0, 1000]], "<i2").tobytes(), 3, 1, bits=16, t339=(3, 2)),
            three(np.array([[0, 128, 255]], np.uint8)),
            0,
        ),
        "tiff-32-bit": (encode(LEVELS.astype(np.int32), "TIFF"), three(LEVELS_8), 1),
        "tiff-unsigned-32-bit": (
            tiff(np.array([[0, 2**31, 2**32 - 1]], "<u4").tobytes(), 3, 1, bits=32),
            three(np.array([[0, 128, 255]], np.uint8)),
            0,
        ),
        "tiff-float": (encode(FLOATS, "TIFF"), three(np.round(FLOATS * 255).astype(np.uint8)), 1),
        "tiff-float-255": (encode(GREY.astype(np.float32), "TIFF"), three(GREY), 0),
        "tiff-float-any": (
            encode(SPREAD, "TIFF"),
            three(np.array([[0, 255], [0, 128]], np.uint8)),
            0,
        ),
        "tiff-float-nan": (
            encode(np.array([[0, 0.5, np.nan, np.inf, 1]], np.float32), "TIFF"),
            three(np.array([[0, 128, 0, 0, 255]], np.uint8)),
            0,
        ),
        "avif-lossless": (encode(GREY, "AVIF", quality=100, subsampling="4:0:0"), three(GREY), 1),
        "heic-lossless-grey": (heic(GREY), three(GREY), 1),
        "heic-10-bit": (heic10(RGB), RGB, 1),
        "heic-rgba": (heic(rgba, matrix_coefficients=0), on_white(RGB, ALPHA), 1),
        "heic-lossless": (heic(RGB, matrix_coefficients=0), RGB, 0),
        "heif-of-any-codec": (general_heif(), RGB, 0),
        "heic-several": (_several_heic(), RGB, 0),
        "1x1": (encode(RGB[:1, :1], "PNG"), RGB[:1, :1], 0),
    }


def heic10(rgb: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    levels = rgb.astype("<u2") * 257
    options = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    pillow_heif.encode("RGB;16", (64, 48), levels.tobytes(), buffer, **options)
    assert pillow_heif.open_heif(buffer.getvalue(), convert_hdr_to_8bit=False).info["bit_depth"] > 8
    return buffer.getvalue()


def general_heif() -> bytes:
    """Write a HEIC whose brands say HEIF and no more."""
    data = heic(RGB, matrix_coefficients=0)
    assert data[4:12] in (b"ftypheic", b"ftypheix")
    head = data[:32].replace(b"heic", b"mif1").replace(b"heix", b"mif1")
    assert b"hei" not in head
    return head + data[32:]


def _several_heic() -> bytes:
    file = pillow_heif.from_pillow(Image.fromarray(RGB))
    file.add_from_pillow(OTHER)
    buffer = io.BytesIO()
    file.save(buffer, quality=-1, chroma=444, matrix_coefficients=0, primary_index=0)
    return buffer.getvalue()


# name: (file, its pixels before they were compressed)
def _lossy() -> dict[str, tuple[bytes, np.ndarray]]:
    best = {"quality": 95, "subsampling": 0}
    mpo = {"save_all": True, "append_images": [OTHER]}
    return {
        "jpeg": (encode(RGB, "JPEG", **best), RGB),
        "jpeg-progressive": (encode(RGB, "JPEG", progressive=True, **best), RGB),
        "jpeg-grey": (encode(GREY, "JPEG", quality=95), three(GREY)),
        "jpeg-two-pictures": (encode(RGB, "MPO", **best, **mpo), RGB),
        "jpeg-cmyk": (encode(Image.fromarray(CMYK, "CMYK"), "JPEG", quality=100), CMYK_AS_RGB),
        "jpeg-cmyk-adobe-ycck": (ycck_jpeg(CMYK), CMYK_AS_RGB),
        "jpeg-wide-gamut": (encode(RGB, "JPEG", icc_profile=ADOBE_ICC, **best), adobe_to_srgb(RGB)),
        "jpeg-broken-exif": (encode(RGB, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff", **best), RGB),
        "webp": (encode(RGB, "WEBP", quality=95), RGB),
        "tiff-jpeg": (encode(RGB, "TIFF", compression="jpeg", quality=95), RGB),
        "avif": (encode(RGB, "AVIF", quality=95, subsampling="4:4:4"), RGB),
        "avif-rgba": (
            encode(np.dstack([RGB, ALPHA]), "AVIF", quality=95, subsampling="4:4:4"),
            on_white(RGB, ALPHA),
        ),
        "avif-animated": (
            encode(RGB, "AVIF", quality=95, save_all=True, append_images=[OTHER]),
            RGB,
        ),
        "heic": (heic(RGB, quality=95), RGB),
        "heic-wide-gamut": (
            heic(RGB, quality=95, icc_profile=ADOBE_ICC, icc_profile_type="prof"),
            adobe_to_srgb(RGB),
        ),
    }


EXACT, LOSSY = _exact(), _lossy()
CORPUS = {name: data for name, (data, *_) in (EXACT | LOSSY).items()}


# EXIF: where the stored first row and the stored first column belong in the upright picture.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
ORIENTED = {
    "JPEG": lambda tag: encode(RGB, "JPEG", quality=95, subsampling=0, exif=exif(tag)),
    "PNG": lambda tag: encode(RGB, "PNG", exif=exif(tag)),
    "WEBP": lambda tag: encode(RGB, "WEBP", lossless=True, exif=exif(tag)),
    "TIFF": lambda tag: encode(RGB, "TIFF", exif=exif(tag)),
    "TIFF-LZW": lambda tag: encode(RGB, "TIFF", exif=exif(tag), compression="tiff_lzw"),
    "AVIF": lambda tag: encode(RGB, "AVIF", quality=95, subsampling="4:4:4", exif=exif(tag)),
    "HEIC": lambda tag: heic(RGB, quality=95, exif=exif(tag).tobytes()),
}


def known_to_pillow(fmt: str) -> bytes:
    """Write a file that Pillow opens and decodes, so that refusing it is our doing."""
    data = encode(RGB, fmt)
    Image.open(io.BytesIO(data)).load()
    return data


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
REFUSED = {
    "empty": (b"", "an empty file"),
    "one-byte": (b"\0", "a file of another kind (1 bytes)"),
    "text": (b"just some words\n", "a text file"),
    "svg": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    "html": (b"\n<!DOCTYPE html><html></html>", "a web page"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\n", "a PDF document"),
    "eps": (EPS, "a PostScript drawing"),
    "eps-binary": (b"\xc5\xd0\xd3\xc6" + bytes(28) + EPS, "a PostScript drawing"),
    "psd": (b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 4, 4, 8, 3), "a Photoshop file"),
    "zip": (b"PK\3\4" + bytes(40), "a ZIP archive"),
    "jxl": (b"\xff\x0a" + bytes(40), "a JPEG XL picture"),
    "mp4": (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(40), "a file of another kind (64 bytes)"),
    "ico": (known_to_pillow("ICO"), "a Windows icon"),
    "jp2": (known_to_pillow("JPEG2000"), "a JPEG 2000 picture"),
    **{
        name: (known_to_pillow(name.upper()), "a file of another kind")
        for name in ("tga", "pcx", "sgi", "dds", "qoi")
    },
    "ppm": (known_to_pillow("PPM"), "a file of another kind"),
}


DAMAGED = {
    "png-header-only": encode(RGB, "PNG")[:33],
    "png-of-no-width": png([b""], (0, 5, 8, 2)),
    "png-bad-depth": png([b"\0\0\0"], (1, 1, 7, 2)),
    "jpeg-magic-only": b"\xff\xd8\xff",
    "jpeg-then-text": b"\xff\xd8\xff\xe0" + b"no picture here " * 20,
    "gif-magic-only": b"GIF89a",
    "gif-no-frame": b"GIF89a\1\0\1\0\0\0\0;",
    "bmp-then-text": b"BMW is a make of car" * 3,
    "webp-magic-only": b"RIFF\0\0\0\0WEBP",
    "webp-short-header": b"RIFF\x10\0\0\0WEBPVP8X",
    "tiff-magic-only": b"II*\0",
    "tiff-offset-outside": b"II*\0\xff\xff\xff\x7f",
    "tiff-many-samples": tiff(bytes(12), 2, 2, t277=(3, 60000)),
    "tiff-unknown-compression": tiff(bytes(12), 2, 2, t259=(3, 4711)),
    "tiff-strip-outside": tiff(bytes(12), 2, 2, t273=(4, 2**31)),
    "tiff-no-width": tiff(b"", 0, 2),
    "tiff-float-16": tiff(bytes(8), 2, 2, bits=16, t339=(3, 3)),
    "avif-magic-only": b"\0\0\0\x18ftypavif\0\0\0\0avifmif1",
    "heic-magic-only": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "heif-of-no-codec": b"\0\0\0\x14ftypmif1\0\0\0\0mif1",
}


NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
WHOLE = {
    "JPEG": encode(NOISE, "JPEG"),
    "JPEG-progressive": encode(NOISE, "JPEG", progressive=True),
    "PNG": encode(NOISE, "PNG"),
    "WEBP": encode(NOISE, "WEBP"),
    "WEBP-lossless": encode(NOISE, "WEBP", lossless=True),
    "GIF": encode(NOISE[..., 0], "GIF"),
    "BMP": encode(NOISE, "BMP"),
    "TIFF": encode(NOISE, "TIFF"),
    "TIFF-LZW": encode(NOISE, "TIFF", compression="tiff_lzw"),
    "TIFF-JPEG": encode(NOISE, "TIFF", compression="jpeg"),
    "AVIF": encode(NOISE, "AVIF"),
    "HEIC": heic(NOISE, quality=90),
}


def png_bomb(side: int) -> bytes:
    """Write a picture all black, 1 bit a pixel: 81 megapixels in 10 kB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    pixels = b"".join([packer.compress(row * side), packer.flush()])
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    assert len(old) == len(new)
    return data.replace(old, new)


def bombs() -> dict[str, bytes]:
    small, square = Image.new("RGB", (64, 48)), Image.new("RGB", (64, 64))
    nine = struct.pack(">II", 9000, 9000)
    box = b"ispe\0\0\0\0"
    frame = encode(Image.new("L", (64, 48)), "GIF")
    vp8x = struct.pack("<I", 11999)[:3] * 2
    vp8l = struct.pack("<I", 11999 | 11999 << 14)
    huge = struct.pack("<HH", 20000, 20000)
    return {
        **{f"png-{side * side // 10**6}": png_bomb(side) for side in (9000, 10000, 13000, 14000)},
        "jpeg": patched(encode(small, "JPEG"), b"\0\x30\0\x40\3", b"\xf0\0\xf0\0\3"),
        "gif-screen": frame[:6] + huge + frame[10:],
        "gif-frame": patched(frame, b",\0\0\0\0\x40\0\x30\0", b",\0\0\0\0" + huge),
        "bmp": patched(
            encode(small, "BMP"), struct.pack("<II", 64, 48), struct.pack("<II", 50000, 50000)
        ),
        "webp": b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + vp8x + bytes(64),
        "webp-lossless": b"RIFF\x20\0\0\0WEBPVP8L\x10\0\0\0\x2f" + vp8l + bytes(64),
        "webp-lossy": b"RIFF\x20\0\0\0WEBPVP8 \x10\0\0\0"
        + b"\0\0\0\x9d\1\x2a\xe0\x2e\xe0\x2e"
        + bytes(64),
        "tiff": tiff(bytes(12), 30000, 30000),
        "tiff-tile": tiff(bytes(12), 64, 48, t322=(4, 30000), t323=(4, 30000), t259=(3, 5)),
        "avif": patched(encode(small, "AVIF"), box + struct.pack(">II", 64, 48), box + nine),
        "heic": patched(heic(square), box + struct.pack(">II", 64, 64), box + nine),
        "heic-cropped": patched(heic(small), box + struct.pack(">II", 64, 64), box + nine),
    }
