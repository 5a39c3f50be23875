"""Hold what a row found: numbers by name, the ways that were timed, and whether it was good enough."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.table import AT_LEAST, Criterion, Row
from bench.timing import Times

PASS, SHORT, NOT_MEASURED, NOT_APPLICABLE = "pass", "falls short", "not measured", "n/a"


class NotMeasuredError(Exception):
    """A row that cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Settings:
    """How to measure: `device`, `tiny` sizes to see whether it works, `repeats` of each way, and
    `shared`, the folder of reference material (None where there is none)."""

    device: torch.device
    tiny: bool
    repeats: int
    shared: Path | None


@dataclass
class Outcome:
    """`figures` by the names in `table`, None for what does not apply here; `ways` with times (or what
    else was counted) in the order measured; `notes` are sentences."""

    figures: dict[str, float | None] = field(default_factory=dict)
    ways: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def timed(self, times: Mapping[str, Times]) -> None:
        """Keep the median, the spread and the fastest of several ways."""
        self.ways += [
            {"way": name, "median": taken.median, "spread": taken.spread, "unit": "s",
             "fastest": min(taken.seconds), "repeats": len(taken.seconds)}
            for name, taken in times.items()
        ]  # fmt: skip


def verdict(criterion: Criterion, figures: Mapping[str, float | None]) -> str:
    """Say whether a figure reaches its bar; a criterion with a stretch alone cannot fall short."""
    if criterion.figure not in figures:
        return NOT_MEASURED
    value = figures[criterion.figure]
    if value is None:
        return NOT_APPLICABLE
    if _reaches(value, criterion.sign, criterion.bar):
        return PASS
    return SHORT if criterion.bar is not None else NOT_APPLICABLE


def reaches_stretch(criterion: Criterion, figures: Mapping[str, float | None]) -> bool | None:
    """Tell whether a figure reaches what would be better still; None where there is nothing to say."""
    value = figures.get(criterion.figure)
    if value is None or criterion.stretch is None:
        return None
    return _reaches(value, criterion.sign, criterion.stretch)


def row_verdict(row: Row, figures: Mapping[str, float | None]) -> str:
    """Take the worst of a row's criteria: short before unmeasured before passed before n/a."""
    found = [verdict(criterion, figures) for criterion in row.criteria]
    return next(word for word in (SHORT, NOT_MEASURED, PASS, NOT_APPLICABLE) if word in found)


def _reaches(value: float, sign: str, limit: float | None) -> bool:
    if limit is None:
        return False
    return value >= limit if sign == AT_LEAST else value <= limit
