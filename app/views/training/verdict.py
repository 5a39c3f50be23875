"""What came of a run, in a sentence: measured against its own start, or not at all."""

from collections.abc import Mapping, Sequence
from typing import Any

_MEASURES = {"knn": "k-NN", "jaccard": "J of the attention masks"}
# 1,000 test photos give ±1.5 points: less than that is no difference.
_NOTICEABLE_POINTS = 1.5


def verdict(probes: Sequence[Mapping[str, Any]]) -> str:
    """Whether what was measured got better than at the start, and by how many points."""
    found = [line for name in _MEASURES if (line := _compare(probes, name))]
    if found:
        return " ".join(found)
    if any(probe.get("knn") is not None for probe in probes):
        return "k-NN was measured once only, so nothing says yet whether it got better."
    return "No labelled folder was given, so nothing says whether it got better."


def _compare(probes: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [(p["step"], _percent(name, p[name])) for p in probes if p.get(name) is not None]
    if len(values) < 2 or values[0][0] != 0:
        return ""
    (_, start), (step, end) = values[0], values[-1]
    label = _MEASURES[name]
    points = end - start
    if abs(points) < _NOTICEABLE_POINTS:
        return (
            f"{label} is no different from the start: {start:.1f} % before, {end:.1f} % at step "
            f"{step:,}, and less than {_NOTICEABLE_POINTS:g} points may be chance."
        )
    better = "better" if points > 0 else "worse"
    return (
        f"{label} got {better} by {abs(points):.1f} points: from {start:.1f} % at the start to "
        f"{end:.1f} % at step {step:,}."
    )


def _percent(name: str, value: float) -> float:
    """J is written as a share."""
    return 100 * value if name == "jaccard" and value <= 1 else value
