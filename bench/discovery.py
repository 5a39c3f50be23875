"""Time how objects are found without labels, forward excluded: medians by method and grid.

    python -m bench.discovery [--weights vits14.safetensors --repeats 5 --sides 14,30,40]

Keys are of a bundled photo stretched to whole patches. Prints a Markdown table of milliseconds.
"""

import argparse
from functools import partial
from pathlib import Path

from dino.system.processes import let_idle_threads_sleep

let_idle_threads_sleep()

import dino  # noqa: E402
from bench.markdown import table  # noqa: E402
from bench.timing import in_turns  # noqa: E402
from dino.masks.discovery.keys import photo_keys  # noqa: E402
from dino.masks.discovery.methods import METHODS, discover  # noqa: E402
from dino.media.images import read  # noqa: E402
from dino.weights import default_source  # noqa: E402

PHOTO = Path(__file__).resolve().parents[1] / "app" / "photos" / "macaw.jpg"


def medians(weights: str, sides: list[int], repeats: int) -> list[list[float]]:
    """Time the forward and then each method: wall-clock milliseconds [sides, 1 + methods]."""
    backbone, rgb = dino.load(weights), read(PHOTO)
    rows = []
    for side in sides:
        options = {"size": side * backbone.patch_size, "fit": "stretch"}
        kept = photo_keys(backbone, rgb, **options)
        ways = {"forward": partial(photo_keys, backbone, rgb, **options)}
        patches, grid = kept.last.joined(), kept.geometry.grid
        ways |= {method: partial(discover, patches, grid, method=method) for method in METHODS}
        rows.append([1e3 * times.median for times in in_turns(ways, repeats).values()])
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default=None)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sides", default="14,30,40", help="patches on each side")
    given = parser.parse_args()
    sides = [int(side) for side in given.sides.split(",")]
    rows = medians(given.weights or default_source(), sides, given.repeats)
    print(f"ms, median of {given.repeats}\n")
    cells = [
        (f"{side}×{side}", *(f"{value:.0f}" for value in row))
        for side, row in zip(sides, rows, strict=True)
    ]
    print(*table(("patches", "forward", *METHODS), cells), sep="\n")


if __name__ == "__main__":
    main()
