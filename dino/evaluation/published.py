"""Figures others have published, to put ours beside: the paper's, and of those who build on it.

"Caron et al. 2021" is the paper: Emerging Properties in Self-Supervised Vision Transformers, arXiv
2104.14294.

published_figures("knn")                                  # rows of published.json, in its order
same_data(report.data, "ImageNet")                        # whether ours was measured on that

Every figure names where it stands. A data set is known by what is counted in it and by nothing else:
whatever is not shown to be the published one is taken to be another.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Published:
    """One published figure.

    `task` and `metric` are spelled as the evaluations spell theirs; `variant` is what was varied (a
    crop configuration, a part left out, a method), empty where nothing was; `network` is empty where
    the source at hand does not name it; `paper` and `source` say where the figure stands.
    """

    task: str
    network: str
    variant: str
    metric: str
    value: float
    unit: str
    data: str
    paper: str
    source: str


def published_figures(task: str | None = None) -> tuple[Published, ...]:
    """List the figures of a task, or all of them; none where nobody published any."""
    return tuple(figure for figure in _read()[0] if task in (None, figure.task))


def same_data(data: Mapping[str, Any], published: str) -> bool:
    """Whether a report's `data` is the published data set: every count known of that is the same.

    A count that the report lacks, or a data set of which no count is known, is no evidence: False.
    """
    known = _read()[1].get(published, {})
    return bool(known) and all(data.get(name) == value for name, value in known.items())


@cache
def _read() -> tuple[tuple[Published, ...], dict[str, dict[str, Any]]]:
    """Read the figures, and what is counted in each data set."""
    text = (files("dino.evaluation") / "published.json").read_text(encoding="utf-8")
    document = json.loads(text)
    return tuple(Published(**row) for row in document["figures"]), document["datasets"]
