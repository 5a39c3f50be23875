"""What is written of masks: the numbers of a discovery, and masks with their cut-outs as PNG."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from dino.masks.discovery.methods import Discovery
from dino.masks.settings import Mask, MaskSettings
from dino.media import draw
from dino.media.geometry import Geometry
from dino.media.printing import Panel, print_figure
from dino.system.files import File, npz


def discovery_npz(found: Discovery, geometry: Geometry, *, settings: str) -> bytes:
    """Write `objects.npz`: masks [n,h,w], scores [n,h,w], seeds [n,2], boxes [n,4] in patches, and how."""
    return npz(
        {
            "masks": found.masks,
            "scores": found.scores,
            "seeds": _table(found.seeds, 2),
            "boxes": _table(found.boxes, 4),
            "grid": found.grid,
            "original_hw": geometry.original,
            "resized_hw": geometry.resized,
            "settings": settings,
        }
    )


def _table(rows: Sequence[tuple[int, ...]], columns: int) -> NDArray[np.int64]:
    return np.array(rows, dtype=np.int64).reshape(-1, columns)


def mask_files(
    photo: np.ndarray, mask: Mask, *, objects: Sequence[Mask] = (), random: bool = False
) -> Iterator[File]:
    """Write `mask.png` (0/255, data rather than a picture) and `cutout.png` (RGBA) at the photo's size.

    Where `mask` is of several `objects`, each has its own too, `object-1.png` and so on. `random`
    marks the cut-out as made with random weights.
    """
    if len(objects) > 1:
        for number, of_object in enumerate(objects, start=1):
            yield f"object-{number}.png", draw.encode_png(of_object.pixels)
    yield "mask.png", draw.encode_png(mask.pixels)
    cutout = draw.cutout(photo, mask.pixels)
    yield "cutout.png", draw.encode_png(draw.mark_random(cutout) if random else cutout)


def mask_figure(
    photo: np.ndarray,
    mask: Mask,
    settings: MaskSettings,
    *,
    objects: Sequence[Mask] = (),
    kind: str,
    scale: int = 2,
    caption: str = "",
    made_by: Sequence[str] = (),
) -> bytes:
    """Print a photo, its mask or the masks of its objects over it, and the cut-out in a row.

    Args:
        kind, scale, caption, made_by: as in `dino.media.printing.print_figure`; what of the settings is
            not as usual is added.
    """
    masks = np.stack([entry.pixels for entry in objects] or [mask.pixels])
    title = f"{len(objects)} objects" if len(objects) > 1 else "mask"
    panels = [
        Panel(photo, "photo"),
        Panel(draw.objects_overlay(photo, masks), title),
        Panel(draw.cutout(photo, mask.pixels), "cut-out"),
    ]
    return print_figure(
        panels, kind=kind, scale=scale, caption=caption, made_by=[*made_by, *_in_words(settings)]
    )


def _in_words(settings: MaskSettings) -> list[str]:
    """Say the method and size, and each setting that is not the usual one."""
    usual = asdict(MaskSettings())
    told = [f"{settings.method} at {settings.size} px"]
    if settings.method == "mass":
        told.append(f"{settings.mass:.0%} of the attention")
    for name, value in asdict(settings).items():
        if name not in ("method", "size", "mass") and value != usual[name]:
            told.append(f"{name.replace('_', ' ')} {value}")
    return told
