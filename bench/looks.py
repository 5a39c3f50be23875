"""Make the strip of docs/looks.jpg: each photo, its mean attention as it was drawn before, as now, and sharp.

python -m bench.looks app/photos --weights vits14_saliency --out docs/looks.jpg
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dino.system.processes import let_idle_threads_sleep

let_idle_threads_sleep()

import numpy as np  # noqa: E402

import dino  # noqa: E402
from dino.attention import photo  # noqa: E402
from dino.attention.files import LOOKS, Style, head_maps, head_picture  # noqa: E402
from dino.attention.photo import PhotoAttention  # noqa: E402
from dino.attention.pixels import attend_finely  # noqa: E402
from dino.media import draw  # noqa: E402
from dino.media.images import find_images, read  # noqa: E402

TILE_PX, COLUMNS, QUALITY = 220, 8, 78
SHARP = Style(**{**vars(LOOKS[2]), "interpolation": "guided"})


def mean_picture(attention: PhotoAttention, rgb: np.ndarray, style: Style) -> np.ndarray:
    """Draw the mean of the heads as `attend` does, in the width of a tile."""
    names, maps, _ = head_maps(attention, style)
    values = maps[names.index("mean")]
    return draw.shrink(head_picture(values, attention.geometry, rgb, style), TILE_PX)


def square(picture: np.ndarray) -> np.ndarray:
    """Cut the middle out, so that all tiles have one size."""
    side = min(picture.shape[:2])
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def strip(photos: Sequence[Path], weights: str, size: int) -> np.ndarray:
    """Draw a column a photo: itself, look 1, look 2, and sharp."""
    backbone = dino.load(weights)
    columns = []
    for path in photos:
        rgb = np.ascontiguousarray(square(read(path)))
        plain = photo.attend(backbone, rgb, size=size)
        fine = attend_finely(backbone, rgb, size=size, shifts=2)
        columns.append(
            [
                ("", draw.shrink(rgb, TILE_PX)),
                ("--look 1", mean_picture(plain, rgb, LOOKS[1])),
                ("--look 2", mean_picture(plain, rgb, LOOKS[2])),
                ("--sharp", mean_picture(fine, rgb, SHARP)),
            ]
        )
    rows = [tile for row in zip(*columns, strict=True) for tile in row]
    return draw.sheet(rows, columns=len(columns), tile_px=TILE_PX)


def main() -> None:
    """Read the arguments and write the strip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="a folder; its first eight photos")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--size", type=int, default=480)
    parser.add_argument("--out", type=Path, default=Path("docs/looks.jpg"))
    given = parser.parse_args()
    picture = strip(find_images([given.photos])[:COLUMNS], given.weights, given.size)
    given.out.write_bytes(draw.encode_jpeg(picture, quality=QUALITY))


if __name__ == "__main__":
    main()
