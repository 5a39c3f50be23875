"""RGB pixels → the model's input, with the Geometry that leads back to the photo.

x, geometry = preprocess(rgb, size=480, patch_size=8)           # float32 [1, 3, h, w]
plan(rgb.shape[:2], size=8192, patch_size=8).grid               # what that would be, for nothing
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from dino.errors import UserError
from dino.media.geometry import Geometry

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FITS = ("floor", "pad", "stretch")
RESAMPLES = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# No model's input is larger; what a machine can bear is `dino.model.limits`' to say, and is far less.
MAX_PIXELS = 40_000_000


def preprocess(
    rgb: np.ndarray,
    *,
    size: int | tuple[int, int],
    patch_size: int,
    fit: str = "floor",
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    resample: str = "bilinear",
) -> tuple[torch.Tensor, Geometry]:
    """Resize a photo to whole patches and normalise it.

    Args:
        rgb: uint8 [H, W, 3].
        size: px. "floor" and "pad" fit the photo into (H, W), a number being the longer side;
            "stretch" resizes to (H, W), a number being both sides. At least `patch_size`, and
            taken down to whole patches.
        patch_size: side of a patch, at least 1 px.
        fit: "floor" resizes each side to the multiple of the patch at or below it, at least one
            patch, so that the aspect is kept within a patch; "pad" keeps the aspect and centres
            the photo on a canvas of the mean colour (zeros in the result); "stretch" gives up the
            aspect and crops right and bottom to whole patches, as the original does.
        mean, std: per channel, of values in [0, 1].
        resample: "bilinear" as in the original's figures, or "bicubic"; both as torchvision
            resizes a PIL image, that is with anti-aliasing.
    Returns:
        float32 [1, 3, h · patch_size, w · patch_size], and the Geometry.
    Raises:
        UserError: any argument outside the bounds above.
    """
    _check_rgb(rgb)
    geometry = plan(rgb.shape[:2], size=size, patch_size=patch_size, fit=fit)
    if geometry.crop[2] * geometry.crop[3] > MAX_PIXELS:
        raise UserError(
            f"got size {size!r}, expected at most {MAX_PIXELS:,} px in all; choose a smaller size"
        )
    if resample not in RESAMPLES:
        raise UserError(f"got resample {resample!r}, expected one of {', '.join(RESAMPLES)}")
    centre, scale = _check_channels("mean", mean), _check_channels("std", std)
    if not bool((scale > 0).all()):
        raise UserError(f"got std {tuple(std)}, expected values above 0; pass those of the weights")
    picture = Image.fromarray(rgb).resize(geometry.resized[::-1], RESAMPLES[resample])
    photo = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().to(torch.float32)
    photo = photo.div_(255).sub_(centre).div_(scale)
    top, left, height, width = geometry.crop
    if fit == "pad":
        images = torch.zeros(1, 3, height, width)
        images[0, :, -top : photo.shape[1] - top, -left : photo.shape[2] - left] = photo
    else:
        images = photo[None, :, :height, :width].contiguous()
    return images, geometry


def plan(
    original: tuple[int, ...], *, size: int | tuple[int, int], patch_size: int, fit: str = "floor"
) -> Geometry:
    """Plan the Geometry that `preprocess` would give a photo of (H, W) px, without touching a pixel.

    Arguments and errors as in `preprocess`.
    """
    sides = _check_request(size, patch_size)
    height, width = original
    box_h, box_w = (side // patch_size * patch_size for side in sides)
    if fit == "stretch":
        return Geometry((height, width), sides, (0, 0, box_h, box_w), patch_size)
    if fit not in FITS:
        raise UserError(f"got fit {fit!r}, expected one of {', '.join(FITS)}; use one of them")
    # The side that meets the box first becomes exactly it; whole numbers leave no rounding.
    tall = height * box_w >= width * box_h
    part, whole = (box_h, height) if tall else (box_w, width)
    if fit == "floor":
        resized_h, resized_w = (
            max(side * part // whole // patch_size * patch_size, patch_size) for side in original
        )
        crop = (0, 0, resized_h, resized_w)
    else:
        resized_h, resized_w = (
            max((2 * side * part + whole) // (2 * whole), 1) for side in original
        )
        crop = (-((box_h - resized_h) // 2), -((box_w - resized_w) // 2), box_h, box_w)
    return Geometry((height, width), (resized_h, resized_w), crop, patch_size)


def channel_tensor(
    values: Sequence[float], *, device: torch.device | str | None = None
) -> torch.Tensor:
    """Lay one value a channel out as [3,1,1], so that it goes with images [...,3,H,W]."""
    return torch.tensor([float(value) for value in values], device=device).view(3, 1, 1)


def normalize_images(
    images: torch.Tensor, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """Scale uint8 images [...,3,H,W] to a network's input, (x / 255 − mean) / std, float32."""
    centre, scale = (channel_tensor(values, device=images.device) for values in (mean, std))
    return (images.float() / 255 - centre) / scale


def _check_rgb(rgb: Any) -> None:
    shape, dtype = getattr(rgb, "shape", None), getattr(rgb, "dtype", None)
    right = isinstance(rgb, np.ndarray) and rgb.ndim == 3 and rgb.shape[2] == 3
    if not right or dtype != np.uint8 or 0 in rgb.shape:
        raise UserError(
            f"got {type(rgb).__name__} of shape {shape} and dtype {dtype}, expected a uint8 array "
            "[H, W, 3]; use dino.decode to get one"
        )


def _check_request(size: Any, patch_size: Any) -> tuple[int, int]:
    """Check `size`, and give it as (H, W)."""
    if not isinstance(patch_size, int | np.integer) or patch_size < 1:
        raise UserError(
            f"got patch_size {patch_size!r}, expected a whole number of at least 1 px; "
            "use the backbone's"
        )
    sides = (size, size) if isinstance(size, int | np.integer) else size
    whole = isinstance(sides, tuple | list) and len(sides) == 2
    if not whole or not all(isinstance(side, int | np.integer) for side in sides):
        raise UserError(f"got size {size!r}, expected px or (H, W) in px; pass whole numbers")
    if min(sides) < patch_size:
        raise UserError(
            f"got size {size!r}, expected at least one patch ({patch_size} px) a side; "
            f"use a size such as {max(224 // patch_size, 1) * patch_size}"
        )
    return int(sides[0]), int(sides[1])


def _check_channels(name: str, values: Sequence[float]) -> torch.Tensor:
    if len(values) != 3:
        raise UserError(f"got {len(values)} values as {name}, expected 3; pass one a channel")
    return channel_tensor(values)
