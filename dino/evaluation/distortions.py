"""Copies of a photo as they go round: cut, compressed, blurred, turned, written on, and all of it.

distort(rgb, "crop-50", rng)                    # uint8 [h,w,3]
copies(rgb, np.random.default_rng((seed, row))) # {"crop-20": …, …}, the same for the same numbers

Modelled on INRIA Copydays (Douze et al. 2009): crops that remove a share of the picture, JPEG of low
quality, and "strong" attacks.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dino.errors import UserError
from dino.media.draw import encode_jpeg
from dino.media.images import decode

_WORDS = (
    "SALE",
    "BREAKING NEWS",
    "Share me!",
    "www.example.com",
    "HOLIDAY 2024",
    "so true",
    "LIKE",
)


def crop(rgb: np.ndarray, rng: np.random.Generator, *, removed: float) -> np.ndarray:
    """Cut a part of the photo's own aspect anywhere; `removed` is the share of the area cut off."""
    height, width = (max(round(side * (1 - removed) ** 0.5), 1) for side in rgb.shape[:2])
    top = int(rng.integers(rgb.shape[0] - height + 1))
    left = int(rng.integers(rgb.shape[1] - width + 1))
    return rgb[top : top + height, left : left + width]


def jpeg(rgb: np.ndarray, rng: np.random.Generator, *, quality: int) -> np.ndarray:
    """Compress the photo as a JPEG of a `quality` from 1 to 95."""
    return decode(encode_jpeg(rgb, quality=quality))


def blur(rgb: np.ndarray, rng: np.random.Generator, *, share: float) -> np.ndarray:
    """Blur by a Gaussian; its standard deviation is a `share` of the shorter side."""
    return cv2.GaussianBlur(rgb, (0, 0), max(share * min(rgb.shape[:2]), 0.1))


def rotate(rgb: np.ndarray, rng: np.random.Generator, *, degrees: float) -> np.ndarray:
    """Turn the photo to either side about its middle, the corners black and nothing cut off."""
    sign = 1 if rng.integers(2) else -1
    picture = Image.fromarray(rgb)
    return np.array(picture.rotate(sign * degrees, Image.Resampling.BICUBIC, expand=True))


def write(rgb: np.ndarray, rng: np.random.Generator, *, lines: int) -> np.ndarray:
    """Write lines of big outlined text over the photo, one below the other."""
    picture = Image.fromarray(rgb)
    draw = ImageDraw.Draw(picture)
    height, width = rgb.shape[:2]
    for line in range(lines):
        size = max(round(min(height, width) * rng.uniform(0.12, 0.2)), 6)
        room = max(height / lines - 1.3 * size, 0)
        place = (rng.uniform(0, 0.4) * width, line * height / lines + rng.uniform(0, room))
        colour = tuple(rng.integers(0, 256, 3).tolist())
        words = _WORDS[int(rng.integers(len(_WORDS)))]
        edge = (0, 0, 0) if sum(colour) > 380 else (255, 255, 255)
        draw.text(
            place,
            words,
            fill=colour,
            font=ImageFont.load_default(size),
            stroke_width=max(size // 16, 1),
            stroke_fill=edge,
        )
    return np.array(picture)


def recolour(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast and strength of colour, each by up to 40 %."""
    brightness, contrast, saturation = rng.uniform(0.6, 1.4, 3)
    values = rgb.astype(np.float32) * brightness
    values = (values - values.mean()) * contrast + values.mean()
    grey = values.mean(axis=2, keepdims=True)
    return np.clip(grey + (values - grey) * saturation, 0, 255).astype(np.uint8)


def strong(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Do all at once: half of the photo gone, turned by 5° to 25°, other colours, text, blur, JPEG
    15."""
    found = crop(rgb, rng, removed=0.5)
    found = rotate(found, rng, degrees=float(rng.uniform(5, 25)))
    found = write(recolour(found, rng), rng, lines=2)
    return jpeg(blur(found, rng, share=0.01), rng, quality=15)


Distortion = Callable[[np.ndarray, np.random.Generator], np.ndarray]

# In the order of the table. New ones go to the end: a photo's random numbers follow the order.
DISTORTIONS: dict[str, Distortion] = {
    "crop-20": partial(crop, removed=0.2),
    "crop-50": partial(crop, removed=0.5),
    "crop-80": partial(crop, removed=0.8),
    "jpeg-30": partial(jpeg, quality=30),
    "jpeg-10": partial(jpeg, quality=10),
    "jpeg-3": partial(jpeg, quality=3),
    "blur-1": partial(blur, share=0.01),
    "blur-4": partial(blur, share=0.04),
    "rotation-15": partial(rotate, degrees=15),
    "rotation-90": partial(rotate, degrees=90),
    "text": partial(write, lines=3),
    "strong": strong,
}


def distort(rgb: np.ndarray, name: str, rng: np.random.Generator) -> np.ndarray:
    """Apply one distortion to a photo uint8 [H,W,3], of another size where it must be.

    Raises:
        UserError: not one of `DISTORTIONS`.
    """
    if name not in DISTORTIONS:
        raise UserError(f"got the distortion {name!r}, expected one of {', '.join(DISTORTIONS)}")
    return np.ascontiguousarray(DISTORTIONS[name](rgb, rng))


def copies(
    rgb: np.ndarray, rng: np.random.Generator, names: Sequence[str] = tuple(DISTORTIONS)
) -> dict[str, np.ndarray]:
    """Make the distortions of a photo by name; each has random numbers of its own, whichever are
    asked for."""
    own = dict(zip(DISTORTIONS, rng.spawn(len(DISTORTIONS)), strict=True))
    return {name: distort(rgb, name, own[name]) for name in names}


def digest() -> str:
    """Hash what the distortions make of one picture here: other code, or another version of the
    libraries below it, has another digest."""
    levels = np.indices((48, 64)).sum(axis=0) * 2
    picture = np.stack([levels, levels[::-1], levels[:, ::-1]], axis=-1).astype(np.uint8)
    total = hashlib.sha256()
    for name, made in copies(picture, np.random.default_rng(0)).items():
        total.update(repr((name, made.shape)).encode() + made.tobytes())
    return total.hexdigest()


@dataclass(frozen=True)
class Square:
    """A photo stretched to `size` × `size` px (bicubic), the aspect lost, as the original does."""

    size: int

    def __call__(self, rgb: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """Stretch uint8 [H,W,3] to one uint8 [size,size,3]."""
        return [_square(rgb, self.size)]


@dataclass(frozen=True)
class SquareCopies:
    """All `DISTORTIONS` of a photo, each stretched to `size` × `size` px."""

    size: int

    def __call__(self, rgb: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """Distort uint8 [H,W,3] to a uint8 [size,size,3] of each kind."""
        return [_square(copy, self.size) for copy in copies(rgb, rng).values()]


def _square(rgb: np.ndarray, size: int) -> np.ndarray:
    return np.array(Image.fromarray(rgb).resize((size, size), Image.Resampling.BICUBIC))
