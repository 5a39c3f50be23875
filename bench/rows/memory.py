"""Row 5: the memory that the maps of one image take, beyond network and image."""

import statistics

from bench.machine import cpu_precisions
from bench.memory import in_own_process
from bench.outcome import Outcome, Settings

_REPEATS = 3  # the peak of a process differs by little


def extra(settings: Settings) -> Outcome:
    """Measure S/8 at 480 px: medians of the peak, a new process each time."""
    ways = ["plain-fp32", *(f"ours-{precision}" for precision in cpu_precisions())]
    side = 48 if settings.tiny else 480
    repeats = min(settings.repeats, _REPEATS)
    taken: dict[str, list[int]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way in ways:
            taken[way].append(in_own_process(way, 8, side, tiny=settings.tiny)["bytes"])
    medians = {way: statistics.median(found) for way, found in taken.items()}
    outcome = Outcome()
    for way, found in taken.items():
        spread = (max(found) - min(found)) / max(medians[way], 1)
        outcome.ways.append(
            {"way": way.replace("-", ", "), "median": medians[way] / 1e6, "spread": spread,
             "unit": "MB", "repeats": repeats}
        )  # fmt: skip
    base = max(medians["plain-fp32"], 1)
    outcome.figures = {
        f"{precision} share of plain": medians[f"ours-{precision}"] / base
        if f"ours-{precision}" in medians
        else None
        for precision in ("fp32", "bf16")
    }
    return outcome
