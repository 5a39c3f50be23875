"""Label maps, uint8 [H,W] with 0 as background: their colours, their files, and drawn over a photo.

path.write_bytes(indexed_png(labels))        # a PNG of indices, as DAVIS and VOC have them
labels = read_label_map(path)
picture = label_overlay(photo, labels)
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin

from dino.errors import UserError
from dino.media.images import MAX_PIXELS
from dino.media.palettes import OBJECT_COLORS

# Formats masks come in; others, such as PostScript, would start programs.
# The exact ones give back the values that were drawn; others blur them.
EXACT_FORMATS = ("PNG", "GIF", "BMP", "TIFF")
_FORMATS = (*EXACT_FORMATS, "JPEG", "WEBP")
_OPACITY = 0.45
_DIMMED = 0.75  # of the background's light


def palette() -> np.ndarray:
    """List the colours of labels 0 to 255 in DAVIS's and VOC's files, uint8 [256,3].

    Bit i of a label's three lowest bits goes to red, green and blue, from the highest bit of the
    colour down; the label's next three bits follow one bit lower, and so on.
    """
    labels = np.arange(256)
    colors = np.zeros((256, 3), dtype=np.uint8)
    for place in range(8):
        for channel in range(3):
            bit = labels >> (3 * place + channel) & 1
            colors[:, channel] |= (bit << (7 - place)).astype(np.uint8)
    return colors


def indexed_png(labels: np.ndarray) -> bytes:
    """Encode a label map [H,W] as a PNG of indices of `palette`."""
    picture = Image.fromarray(labels.astype(np.uint8, copy=False))
    picture.putpalette(palette().tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def read_label_map(path: Path) -> np.ndarray:
    """Read the values of a label file, uint8 [H,W]: a palette's indices, or levels of grey.

    Raises:
        UserError: no readable picture, or one in colours rather than labels.
    """
    found = read_values(path, str(path))
    if found.mode not in ("P", "L", "1"):
        raise UserError(
            f"{path} is a picture of mode {found.mode}; expected a mask of indices or grey levels, so "
            "export it as an indexed PNG"
        )
    return found.values.astype(np.uint8)


def read_brightest(path: Path) -> np.ndarray:
    """Read the values of a mask file in any colours [H,W], as `MaskValues.brightest`.

    Raises:
        UserError: no readable picture.
    """
    return read_values(path, str(path)).brightest


@dataclass(frozen=True)
class MaskValues:
    """Values of a mask's file as they are stored, upright: [H,W] or [H,W,channels], and Pillow's mode."""

    mode: str
    values: np.ndarray

    @property
    def brightest(self) -> np.ndarray:
        """A palette's indices, or the brightest channel but transparency, [H,W]."""
        if self.values.ndim == 2:
            return self.values
        num_colors = self.values.shape[2] - (self.alpha is not None)
        return self.values[..., :num_colors].max(axis=-1)

    @property
    def alpha(self) -> np.ndarray | None:
        """Opacity, 0 to 255 [H,W]; None where the picture has none."""
        return self.values[..., -1] if self.mode in ("RGBA", "LA", "PA") else None


def read_values(
    file: Path | BinaryIO, name: str, *, formats: tuple[str, ...] = _FORMATS
) -> MaskValues:
    """Read a mask's file, which errors call `name`, in one of some formats, as Pillow calls them.

    Raises:
        UserError: no readable picture of these formats, or too large a one.
    """
    try:
        with Image.open(file, formats=formats) as picture:
            _check_size(name, picture)
            upright = _turn_upright(picture)
            return MaskValues(upright.mode, np.array(upright))
    except UserError:
        raise
    except Exception as error:  # damaged files make Pillow raise about a dozen types
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(
            f"{name} is not a readable mask ({reason}); fetch or export it again"
        ) from error


def _turn_upright(picture: Image.Image) -> Image.Image:
    """Turn a picture as EXIF says, as photos are; leave it as it is where that cannot be read."""
    picture.load()  # what is damaged is an error, unlike EXIF that is
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # of about as many types as there are ways to be broken
        return picture


def _check_size(name: str, picture: Image.Image) -> None:
    """Refuse too large a picture before a pixel is decoded; of a TIFF also a tile, which the decoder holds
    as a whole."""
    sizes = [picture.size]
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        sizes.append((picture.tag_v2.get(322, 1), picture.tag_v2.get(323, 1)))
    for width, height in sizes:
        if width * height > MAX_PIXELS:
            raise UserError(
                f"{name} is a mask of {width}×{height} = {width * height:,} px, and the limit is "
                f"{MAX_PIXELS:,}; scale it down first"
            )


def resized_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a label map to (H, W): each pixel takes the label its centre falls on."""
    height, width = size
    picture = Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST)
    return np.array(picture)


def label_overlay(photo: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Tint and outline each label of a photo [H,W,3] in its colour, the rest a little darker.

    Args:
        labels: uint8 [H,W] at the photo's size.
    """
    color_of = np.zeros((256, 3), dtype=np.uint8)
    color_of[1:] = np.array(OBJECT_COLORS)[np.arange(255) % len(OBJECT_COLORS)]
    tinted = cv2.addWeighted(photo, 1 - _OPACITY, color_of[labels], _OPACITY, 0)
    dimmed = cv2.convertScaleAbs(photo, alpha=_DIMMED)
    picture = np.where(labels[..., None] > 0, tinted, dimmed)
    thickness = max(1, round(max(labels.shape) / 430))
    for label in np.unique(labels[labels > 0]):
        contours, _ = cv2.findContours(
            (labels == label).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        color = [int(level) for level in color_of[label]]
        cv2.drawContours(picture, contours, -1, color, thickness, cv2.LINE_AA)
    return picture
