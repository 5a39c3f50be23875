"""Multi-crop augmentation: one photo → two global and several local views.

Each view is drawn from its own seed, so that a batch does not depend on workers or order. OpenCV does
the resampling, colour and blur on uint8 (several times faster than PIL on a CPU).
"""

import math
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from dino.errors import UserError

# Width over height of a crop.
_ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class View:
    """How one kind of crop is drawn.

    `size` px; `scale` range of the photo's area; probabilities of blur, solarisation, colour jitter,
    grey and flip; jitter strengths (brightness, contrast, saturation, hue); `blur_radius` range of
    the Gaussian's standard deviation in px.
    """

    size: int
    scale: tuple[float, float]
    blur: float
    solarize: float = 0.0
    jitter: float = 0.8
    grey: float = 0.2
    flip: float = 0.5
    strengths: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1)
    blur_radius: tuple[float, float] = (0.1, 2.0)


@dataclass(frozen=True)
class MultiCrop:
    """The recipe's crops: two global views (or the second alone), then `num_locals` local ones.

    Source: Caron et al. 2021, section 3.1 and appendix; BYOL's augmentations.
    """

    global_size: int = 224
    local_size: int = 96
    num_locals: int = 8
    global_scale: tuple[float, float] = (0.4, 1.0)
    local_scale: tuple[float, float] = (0.05, 0.4)
    blur_radius: tuple[float, float] = (0.1, 2.0)
    one_global: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in (("global", self.global_scale), ("local", self.local_scale)):
            if not 0 < low <= high <= 1:
                raise UserError(f"{name} scale {low}–{high}; expected shares of the area in (0, 1]")

    @property
    def views(self) -> tuple[View, ...]:
        """List one `View` a crop, in order."""
        sized = partial(View, blur_radius=self.blur_radius)
        first = sized(self.global_size, self.global_scale, blur=1.0)
        second = sized(self.global_size, self.global_scale, blur=0.1, solarize=0.2)
        local = sized(self.local_size, self.local_scale, blur=0.5)
        global_views = (second,) if self.one_global else (first, second)
        return (*global_views, *[local] * self.num_locals)

    @property
    def short_side(self) -> int:
        """Compute the px of a photo's shorter side from which on no crop is enlarged."""
        least = [view.size / math.sqrt(view.scale[0] * _ASPECT[0]) for view in self.views]
        return math.ceil(max(least))

    def __call__(self, rgb: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """Draw the views of a photo, uint8 [H,W,3]: a list of uint8 [size,size,3], one a view."""
        return [draw(rgb, view, rng) for view in self.views]


def draw(rgb: np.ndarray, view: View, rng: np.random.Generator) -> np.ndarray:
    """Draw one random view of a photo, uint8 [size,size,3]."""
    top, left, height, width = random_box(rgb.shape[:2], view.scale, rng)
    crop = rgb[top : top + height, left : left + width]
    enlarging = height < view.size or width < view.size
    # PIL's bicubic widens its kernel when shrinking; area averaging is OpenCV's equivalent of that.
    interpolation = cv2.INTER_CUBIC if enlarging else cv2.INTER_AREA
    crop = cv2.resize(crop, (view.size, view.size), interpolation=interpolation)
    if rng.random() < view.flip:
        crop = cv2.flip(crop, 1)
    if rng.random() < view.jitter:
        crop = jitter(crop, view.strengths, rng)
    if rng.random() < view.grey:
        crop = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < view.blur:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(*view.blur_radius))
    if rng.random() < view.solarize:
        crop = np.where(crop >= 128, 255 - crop, crop).astype(np.uint8)
    return crop


def random_box(
    shape: tuple[int, int], scale: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Choose (top, left, height, width) of a crop with an area in `scale` and an aspect in 3/4 to 4/3.

    Ten tries, then the largest centred crop within the aspect, as torchvision's RandomResizedCrop.
    """
    height, width = shape
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = np.exp(rng.uniform(*np.log(_ASPECT)))
        w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
            return int(top), int(left), h, w
    w, h = min(width, round(height * _ASPECT[1])), min(height, round(width * _ASPECT[1]))
    return (height - h) // 2, (width - w) // 2, h, w


def jitter(
    rgb: np.ndarray, strengths: tuple[float, float, float, float], rng: np.random.Generator
) -> np.ndarray:
    """Change brightness, contrast, saturation and hue, each by a random amount, in random order."""
    brightness, contrast, saturation, hue = strengths
    changes = (
        (_brightness, rng.uniform(1 - brightness, 1 + brightness)),
        (_contrast, rng.uniform(1 - contrast, 1 + contrast)),
        (_saturation, rng.uniform(1 - saturation, 1 + saturation)),
        (_hue, rng.uniform(-hue, hue)),
    )
    for number in rng.permutation(len(changes)):
        change, amount = changes[number]
        rgb = change(rgb, amount)
    return rgb


def _brightness(rgb: np.ndarray, factor: float) -> np.ndarray:
    return cv2.convertScaleAbs(rgb, alpha=factor)


def _contrast(rgb: np.ndarray, factor: float) -> np.ndarray:
    mean = round(float(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).mean()))
    levels = (np.arange(256) - mean) * factor + mean
    return cv2.LUT(rgb, np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def _saturation(rgb: np.ndarray, factor: float) -> np.ndarray:
    grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(rgb, factor, grey, 1 - factor, 0)


def _hue(rgb: np.ndarray, shift: float) -> np.ndarray:
    """Turn the hue by `shift` of a full circle."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(round(shift * 256) % 256)  # wraps around, as a circle does
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
