"""Measure masks by method and refinement: Jaccard index on outlined photos, and time at 2 megapixels.

    python -m bench.refine caltech-masks --weights vits14.safetensors [--photos 160 --skip 40 --size 480]
    python -m bench.refine --times-only

Photos are shuffled with seed 0; the first `--skip` are those the settings were chosen on. Prints
Markdown tables: mean J of the masks of all heads, and the medians of each step's time.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator

from dino.system.processes import let_idle_threads_sleep

let_idle_threads_sleep()

import numpy as np  # noqa: E402

import dino  # noqa: E402
from bench.markdown import table  # noqa: E402
from dino.attention import photo  # noqa: E402
from dino.attention.photo import PatchFeatures, PhotoAttention  # noqa: E402
from dino.evaluation.mask_data import open_masks  # noqa: E402
from dino.masks.cleanup import clean  # noqa: E402
from dino.masks.proposals import cluster_labels, propose_from  # noqa: E402
from dino.masks.refine import REFINEMENTS, refine_mask  # noqa: E402
from dino.masks.settings import MaskSettings  # noqa: E402
from dino.media.images import read  # noqa: E402
from dino.media.regions import jaccard  # noqa: E402

METHODS = {
    "mass 60 %": MaskSettings(),
    "mass 80 %": MaskSettings(mass=0.8),
    "Otsu": MaskSettings(method="otsu"),
    "k-means, 2": MaskSettings(method="kmeans", clusters=2),
    "k-means, 4": MaskSettings(method="kmeans"),
    "k-means, 8": MaskSettings(method="kmeans", clusters=8),
}
Scene = tuple[np.ndarray, PhotoAttention, PatchFeatures, np.ndarray]


def scenes(data: str, weights: str, *, size: int, photos: int, skip: int) -> Iterator[Scene]:
    """Yield photos with attention, features and their first object's mask."""
    backbone, outlined = dino.load(weights), open_masks(data)
    paths = list(outlined.paths)
    random.Random(0).shuffle(paths)  # noqa: S311
    for path in paths[skip : skip + photos]:
        rgb, objects = read(path), outlined.objects(path)
        if len(objects.masks):
            attention = photo.attend(backbone, rgb, size=size)
            features = photo.features(backbone, rgb, size=size)
            yield rgb, attention, features, objects.masks[0]


def scores(found: Iterator[Scene]) -> dict[str, np.ndarray]:
    """Compute J by method, [photos, 4]: as patches, with either refinement, and with GrabCut tidied too."""
    rows: dict[str, list[list[float]]] = {name: [] for name in METHODS}
    for rgb, attention, features, truth in found:
        for name, settings in METHODS.items():
            mask = propose_from(attention, rgb, settings, features=features).pixels
            edges = [refine_mask(rgb, mask, refine) for refine in REFINEMENTS]
            edges.append(clean(edges[-1], largest=True, fill_holes=True))
            rows[name].append([jaccard(edge, truth) for edge in edges])
    return {name: np.array(values) for name, values in rows.items()}


def print_scores(by_method: dict[str, np.ndarray]) -> None:
    """Print the table of means, and of photos in which a refinement made the mask better."""
    count = len(next(iter(by_method.values())))
    print(f"\nMean J, {count} photos (in brackets: share of photos that gain)\n")
    rows = []
    for name, values in by_method.items():
        gains = (values > values[:, :1]).mean(axis=0)
        cells = [f"{values[:, i].mean():.3f} ({gains[i]:.0%})" for i in range(1, values.shape[1])]
        rows.append((name, f"{values[:, 0].mean():.3f}", *cells))
    tidied = "GrabCut, largest piece, holes filled"
    print(*table(("patches", "as they are", "guided", "GrabCut", tidied), rows), sep="\n")


def steps_at(height: int, width: int) -> dict[str, Callable[[], object]]:
    """Build each step on a photo of noise and a disc, with a mask of patches."""
    y, x = np.mgrid[0:height, 0:width]
    disc = (y / height - 0.5) ** 2 + (x / width - 0.5) ** 2 < 0.06
    noise = np.random.default_rng(0).normal(0, 20, (height, width, 3))
    rgb = np.clip(np.where(disc[..., None], 170, 90) + noise, 0, 255).astype(np.uint8)
    patch = width // 34
    mask = disc[(y // patch * patch).clip(max=height - 1), (x // patch * patch).clip(max=width - 1)]
    features = PatchFeatures(
        np.random.default_rng(1).normal(size=(34 * 25, 384)).astype(np.float32),
        np.zeros(384, np.float32),
        dino.Geometry((height, width), (350, 476), (0, 0, 350, 476), 14),
        "",
        "fp32",
    )
    return {
        "clean-up": lambda: clean(mask, min_area=0.01, largest=True, fill_holes=True),
        "guided": lambda: refine_mask(rgb, mask, "guided"),
        "grabcut": lambda: refine_mask(rgb, mask, "grabcut"),
        "k-means, 850 patches": lambda: cluster_labels(features, MaskSettings(method="kmeans")),
    }


def print_times(repeats: int) -> None:
    """Print the table of times, wall-clock and of the processor, at 1,632 × 1,224 px."""
    print(f"\nms at 1,632 × 1,224 px, median of {repeats}\n")
    print("| step | wall clock | processor |\n| --- | --- | --- |")
    for name, step in steps_at(1224, 1632).items():
        step()
        wall, work = [], []
        for _ in range(repeats):
            started = time.perf_counter(), time.process_time()
            step()
            wall.append(time.perf_counter() - started[0])
            work.append(time.process_time() - started[1])
        print(
            f"| {name} | {1e3 * statistics.median(wall):.0f} | {1e3 * statistics.median(work):.0f} |"
        )


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", help="photos with masks, as `dino eval segmentation`")
    parser.add_argument("--weights", default="dino_vits16")
    parser.add_argument("--photos", type=int, default=160)
    parser.add_argument("--skip", type=int, default=40)
    parser.add_argument("--size", type=int, default=480)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--times-only", action="store_true")
    given = parser.parse_args()
    print_times(given.repeats)
    if given.data and not given.times_only:
        found = scenes(
            given.data, given.weights, size=given.size, photos=given.photos, skip=given.skip
        )
        print_scores(scores(found))


if __name__ == "__main__":
    main()
