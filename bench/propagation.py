"""Compare label propagation in windows with the plain N×N affinity, in time and in what they give.

    python -m bench.propagation [--threads 1 --dim 384 --repeats 5 --grids 30x52,34x61]

Features are noise that drifts a patch a frame, so that windows matter. Both ways see the same frames in
turns; prints a Markdown table of the time a frame with a full context, and the largest difference.
"""

import argparse
import statistics
import time
from collections import deque
from collections.abc import Iterator

from dino.system.processes import let_idle_threads_sleep

let_idle_threads_sleep()

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from dino.video.propagation import PropagationSettings, propagate  # noqa: E402

CLASSES = 3


def plain(features: Iterator[Tensor], first: Tensor, settings: PropagationSettings) -> Iterator:
    """Yield soft labels [K,h,w] by the affinity of every patch with every patch of every context frame."""
    h, w = first.shape
    inside = _inside(h, settings.window)[:, None, :, None] & _inside(w, settings.window)[:, None]
    inside = inside.reshape(h * w, h * w)
    labels = F.one_hot(first.flatten(), CLASSES).float()
    start = (F.normalize(next(features), dim=1), labels)
    recent: deque[tuple[Tensor, Tensor]] = deque(maxlen=settings.context)
    for tokens in features:
        queries = F.normalize(tokens, dim=1)
        context = [start, *recent]
        weights = torch.cat(
            [((queries @ known.T) / settings.temperature).exp() * inside for known, _ in context],
            dim=1,
        )
        least = weights.topk(settings.top_k, dim=1).values[:, -1:]
        weights = weights.masked_fill(weights < least, 0)
        soft = weights / weights.sum(dim=1, keepdim=True) @ torch.cat([k for _, k in context])
        recent.append((queries, soft))
        yield soft.T.reshape(CLASSES, h, w)


def _inside(length: int, window: int) -> Tensor:
    places = torch.arange(length)
    return (places[:, None] - places).abs() <= window


def frames(grid: tuple[int, int], dim: int, count: int) -> Iterator[Tensor]:
    """Yield features [N,D] of noise that moves a column a frame, with more noise on it."""
    generator = torch.Generator().manual_seed(0)
    scene = torch.randn(*grid, dim, generator=generator)
    for number in range(count):
        noise = torch.randn(*grid, dim, generator=generator)
        yield (scene.roll(number, dims=1) + 0.5 * noise).flatten(0, 1)


def compare(
    grid: tuple[int, int], dim: int, repeats: int
) -> tuple[list[float], list[float], float]:
    """Time a frame the plain way and ours, with a full context; seconds, and how far they differ."""
    settings = PropagationSettings()
    generator = torch.Generator().manual_seed(1)
    first = torch.randint(0, CLASSES, grid, generator=generator)
    count = 1 + settings.context + 1 + repeats
    size = grid[0] * 8, grid[1] * 8
    ways = [
        plain(frames(grid, dim, count), first, settings),
        (
            frame.soft
            for frame in propagate(frames(grid, dim, count), first, size=size, settings=settings)
        ),
    ]
    times: list[list[float]] = [[], []]
    apart = 0.0
    for number in range(1, count):
        found = []
        for way, seconds in zip(ways, times, strict=True):
            started = time.perf_counter()
            found.append(next(way))
            if number > settings.context:
                seconds.append(time.perf_counter() - started)
        apart = max(apart, float((found[0] - found[1]).abs().max()))
    return times[0], times[1], apart


def main() -> None:
    """Measure each grid."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--grids",
        default="30x52,34x61",
        help="480p at patch 16 and 14; 60x104 at 8 takes 5 GB the plain way",
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"\ns a frame, median of {given.repeats + 1}, {given.threads} threads, D = {given.dim}\n")
    print("| grid | plain N×N | windows | times as fast | largest difference |")
    print("| --- | --- | --- | --- | --- |")
    for name in given.grids.split(","):
        height, width = (int(side) for side in name.split("x"))
        slow, quick, apart = compare((height, width), given.dim, given.repeats)
        a, b = statistics.median(slow), statistics.median(quick)
        print(f"| {height}×{width} | {a:.2f} | {b:.2f} | {a / b:.1f} | {apart:.0e} |", flush=True)


if __name__ == "__main__":
    main()
