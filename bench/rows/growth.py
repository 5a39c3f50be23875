"""Measure how the maps' time and memory grow with the image's side and the batch, ours beside plain."""

import math
import statistics
from typing import Any

from bench.machine import cpu_precisions
from bench.memory import in_own_process
from bench.outcome import Settings

_SIDES = (224, 320, 480, 672, 960, 1344)
_BATCHES = (1, 2, 4, 8)
_BATCH_SIDE = 224
_PATCH = 16


def growth(settings: Settings) -> dict[str, Any]:
    """Measure points of each way, a forward each in a process of its own, and fit exponents to them."""
    sides, batches, batch_side = _SIDES, _BATCHES, _BATCH_SIDE
    if settings.tiny:
        sides, batches, batch_side = (64, 96), (1, 2), 64
    precisions = cpu_precisions()
    ways = ["plain-fp32", *(f"ours-{precision}" for precision in precisions)]
    shown = {way: way.replace("-", ", ") for way in ways}
    asked = [(side, 1) for side in sides] + [(batch_side, b) for b in batches if b > 1]
    points = []
    for side, batch in asked:
        for way in ways:
            found = in_own_process(way, _PATCH, side, batch=batch, tiny=settings.tiny)
            points.append({"way": shown[way], "side": side, "batch": batch, **found})
    return {
        "precision": " and ".join(precisions),
        "batch_side": batch_side,
        "points": points,
        "exponents": {way: _exponents(points, way, batch_side) for way in shown.values()},
    }


def _exponents(points: list[dict[str, Any]], way: str, batch_side: int) -> dict[str, float | None]:
    own = [point for point in points if point["way"] == way]
    single = [point for point in own if point["batch"] == 1]
    tokens = [(point["side"] / _PATCH) ** 2 + 1 for point in single]
    by_batch = [point for point in own if point["side"] == batch_side]
    return {
        "time": exponent(tokens, [point["seconds"] for point in single]),
        "memory": exponent(tokens, [point["bytes"] for point in single]),
        "batch": exponent([p["batch"] for p in by_batch], [p["seconds"] for p in by_batch]),
    }


def exponent(xs: list[float], ys: list[float]) -> float | None:
    """Fit p of the y = c·xᵖ nearest to positive points on log–log axes; None for fewer than two."""
    pairs = [(math.log(x), math.log(y)) for x, y in zip(xs, ys, strict=True) if x > 0 and y > 0]
    if len({x for x, _ in pairs}) < 2:
        return None
    slope, _ = statistics.linear_regression(*zip(*pairs, strict=True))
    return slope
