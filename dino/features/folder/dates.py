"""When a photo was taken: what its EXIF says, or else the date of its file."""

import io
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pillow_heif
from PIL import ExifTags, Image

# Most telling first: the shutter, the scan, the last change.
_TAGS = (
    ExifTags.Base.DateTimeOriginal,
    ExifTags.Base.DateTimeDigitized,
    ExifTags.Base.DateTime,
)
_WRITTEN = re.compile(r"(\d{4})[:\-/](\d\d)[:\-/](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF")


class PhotoDate(NamedTuple):
    """`when` without a time zone, as cameras write it; `source` "exif" or "file"."""

    when: datetime
    source: str


def photo_date(data: bytes, mtime_s: float) -> PhotoDate:
    """Date a photo.

    Args:
        data: content of the file.
        mtime_s: when the file was changed, in seconds since 1970; taken (in UTC) where the photo
            itself says nothing, or nothing that is a date.
    """
    found = _exif_date(data)
    if found is not None:
        return PhotoDate(found, "exif")
    return file_date(mtime_s)


def file_date(mtime_s: float) -> PhotoDate:
    """Date a file, in UTC."""
    return PhotoDate(datetime.fromtimestamp(int(mtime_s), UTC).replace(tzinfo=None), "file")


def _exif_date(data: bytes) -> datetime | None:
    try:
        exif = _exif(data)
        details = exif.get_ifd(ExifTags.IFD.Exif)
        written = [details.get(tag) or exif.get(tag) for tag in _TAGS]
    except Exception:  # broken EXIF makes Pillow raise many types, and is as good as none
        return None
    return next((date for text in written if (date := _parsed(text))), None)


def _exif(data: bytes) -> Image.Exif:
    if data[4:8] == b"ftyp" and pillow_heif.is_supported(data):
        exif = Image.Exif()
        exif.load(pillow_heif.open_heif(data).info.get("exif") or b"")
        return exif
    with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
        return picture.getexif()


def _parsed(text: Any) -> datetime | None:
    """Parse a date as EXIF writes it; cameras whose clock was never set write zeros."""
    match = _WRITTEN.match(text.strip()) if isinstance(text, str) else None
    try:
        return datetime.strptime(" ".join(match.groups()), "%Y %m %d %H %M %S") if match else None
    except ValueError:
        return None
