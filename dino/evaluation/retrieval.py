"""Mean average precision of searches: a query's relevant images should come before all others.

    found = mean_average_precision(ranks, [{"ok": [3, 8], "junk": [5]}, …], kappas=(1, 5, 10))
    found.map, found.pr                                    # 0 to 1

    result = search(database, queries, {"medium": truths})  # from features, query by query
    result.scores["medium"].map

Source: Radenović et al. 2018, "Revisiting Oxford and Paris"; Caron et al. 2021, Table 3.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from dino.errors import UserError

KAPPAS = (1, 5, 10)
# Queries compared with the whole database at once: 256 × 100,000 cosines are 100 MB, their order 200.
_CHUNK_ROWS = 256
# What an image of the database is to a query.
_RELEVANT, _JUNK = 1, 2


@dataclass(frozen=True)
class Truth:
    """What one query should find: rows of the database.

    `ok` are to be found; `junk` are passed over as though they were not there, even where they are
    also named in `ok`.
    """

    ok: Sequence[int] | np.ndarray
    junk: Sequence[int] | np.ndarray = ()


class RetrievalScores(NamedTuple):
    """Mean average precision and mean precision at each kappa, 0 to 1, over queries with an answer.

    `map` and `pr` [kappas] are the means; `aps` [Q] and `prs` [Q,kappas] those of each query, NaN
    where nothing is relevant.
    """

    map: float
    aps: np.ndarray
    pr: np.ndarray
    prs: np.ndarray


@dataclass(frozen=True)
class SearchResult:
    """`scores` by protocol, and `first` [Q,top]: the rows found first, the first protocol's junk
    passed over (-1 where the database has no more)."""

    scores: dict[str, RetrievalScores]
    first: np.ndarray


def mean_average_precision(
    ranks: np.ndarray | Tensor,
    ground_truth: Sequence[Mapping[str, Any] | Truth],
    kappas: Sequence[int] = KAPPAS,
) -> RetrievalScores:
    """Compute average precision by trapezoids under the precision-recall curve, junk removed, over
    queries.

    Args:
        ranks: rows of the database [database, queries], the most alike first in each column.
        ground_truth: for each query what is "ok" and, if anything, what is "junk", as in `Truth`.
        kappas: precision is taken among the first so many; where all that is relevant comes
            earlier, among those up to the last of it, as the benchmark has it.
    Raises:
        UserError: shapes that do not fit together, a kappa below 1, or nothing relevant to any query.
    Source: Radenović et al. 2018, and their evaluation code.
    """
    columns = np.asarray(ranks)
    if columns.ndim != 2 or columns.shape[1] != len(ground_truth):
        raise UserError(
            f"got ranks of shape {columns.shape} and the truth of {len(ground_truth)} queries; "
            "expected [database, queries] with a column each"
        )
    truths = [_truth(truth) for truth in ground_truth]
    scored = [
        score_ranking(order, truth, kappas) for order, truth in zip(columns.T, truths, strict=True)
    ]
    return _mean_scores(scored)


def score_ranking(
    order: np.ndarray, truth: Truth, kappas: Sequence[int] = KAPPAS, *, depth: int | None = None
) -> tuple[float, list[float]]:
    """Compute average precision and precision at each kappa of one query; NaN where nothing is
    relevant.

    Args:
        order: rows of the database, the most alike first.
        depth: what is not among the first so many counts as not found; None looks at all.
    """
    if any(kappa < 1 for kappa in kappas):
        raise UserError(f"got kappas {list(kappas)}, expected each to be 1 or more")
    ok, junk = np.asarray(truth.ok, dtype=np.int64), np.asarray(truth.junk, dtype=np.int64)
    kinds = np.zeros(max(int(part.max()) for part in (order, ok, junk) if len(part)) + 1, np.int8)
    kinds[ok] = _RELEVANT
    kinds[junk] = _JUNK
    num_relevant = int((kinds == _RELEVANT).sum())
    if not num_relevant:
        return float("nan"), [float("nan")] * len(kappas)
    ranked = kinds[order]
    places = np.flatnonzero(ranked[ranked != _JUNK][:depth] == _RELEVANT)
    found = np.arange(len(places))
    # Precision left and right of each step in recall; before anything was looked at it is 1.
    before = np.divide(found, places, out=np.ones(len(places)), where=places > 0)
    after = (found + 1) / (places + 1)
    precision = float((before + after).sum() / 2 / num_relevant)
    return precision, [_precision_at(places, kappa) for kappa in kappas]


def search(
    database: Tensor,
    queries: Tensor,
    protocols: Mapping[str, Sequence[Truth]],
    *,
    kappas: Sequence[int] = KAPPAS,
    depth: int | None = None,
    top: int = 5,
) -> SearchResult:
    """Rank a database by cosine for each query, and score the rankings by one or more protocols.

    Args:
        database [M,D], queries [Q,D]: features of any length; they are L2-normalised here.
        protocols: name → the truth of each query.
        kappas, depth: as in `mean_average_precision` and `score_ranking`.
        top: how many of the first to return.
    Raises:
        UserError: shapes that do not fit together, or a protocol with nothing relevant to any query.
    """
    for name, truths in protocols.items():
        if len(truths) != len(queries):
            raise UserError(f"got {len(queries)} queries and the truth of {len(truths)} ({name})")
    scored: dict[str, list[tuple[float, list[float]]]] = {name: [] for name in protocols}
    first = np.full((len(queries), top), -1)
    for row, order in enumerate(rankings(database, queries)):
        for name, truths in protocols.items():
            scored[name].append(score_ranking(order, truths[row], kappas, depth=depth))
        junk = next(iter(protocols.values()))[row].junk
        near = order[: top + len(junk)]
        near = near[~np.isin(near, junk)][:top]
        first[row, : len(near)] = near
    return SearchResult({name: _mean_scores(ones) for name, ones in scored.items()}, first)


def rankings(database: Tensor, queries: Tensor) -> Iterator[np.ndarray]:
    """Order the rows of the database for each query by falling cosine, int64 [M].

    Rows of equal cosine come in the order of the database. Only some queries' cosines are held at
    once, never all.

    Args:
        database [M,D], queries [Q,D], as in `search`.
    Raises:
        UserError: features of different widths, or none.
    """
    if database.ndim != 2 or queries.ndim != 2 or database.shape[1] != queries.shape[1]:
        raise UserError(
            f"got features of shape {tuple(database.shape)} and {tuple(queries.shape)}; expected "
            "[M,D] and [Q,D] of one width"
        )
    if not len(database) or not len(queries):
        raise UserError(
            f"got {len(queries)} queries and {len(database)} images to search; expected at least one "
            "of both, so check the folders"
        )
    targets = F.normalize(database.float(), dim=1).T
    for rows in F.normalize(queries.float(), dim=1).split(_CHUNK_ROWS):
        order = (rows @ targets).sort(dim=1, descending=True, stable=True).indices
        yield from order.cpu().numpy()


def same_class(
    labels: Sequence[int], query_labels: Sequence[int] | None = None
) -> tuple[Truth, ...]:
    """Make truths by class: whatever has the query's label is relevant.

    Args:
        labels: class numbers of the database [M].
        query_labels: of the queries [Q]; None: each image of the database asks all others, and is
            its own junk.
    """
    database = np.asarray(labels)
    of_class = {label: np.flatnonzero(database == label) for label in set(database.tolist())}
    if query_labels is None:
        return tuple(Truth(of_class[label], (row,)) for row, label in enumerate(database.tolist()))
    return tuple(Truth(of_class.get(label, np.empty(0, np.int64))) for label in query_labels)


def _truth(given: Mapping[str, Any] | Truth) -> Truth:
    if isinstance(given, Truth):
        return given
    if "ok" not in given:
        raise UserError(
            f'got the truth of a query with {sorted(given)}, expected "ok" and perhaps "junk"; '
            "join easy and hard images by a protocol first"
        )
    return Truth(given["ok"], given.get("junk", ()))


def _precision_at(places: np.ndarray, kappa: int) -> float:
    """Compute the share of the relevant (0-based `places`) among the first `kappa`."""
    limit = min(int(places[-1]) + 1, kappa) if len(places) else kappa
    return float((places < limit).sum() / limit)


def _mean_scores(scored: Sequence[tuple[float, list[float]]]) -> RetrievalScores:
    aps = np.array([precision for precision, _ in scored])
    prs = np.array([at for _, at in scored]).reshape(len(scored), -1)
    answered = ~np.isnan(aps)
    if not answered.any():
        raise UserError(
            f"none of the {len(scored)} queries has a relevant image to find; each class needs two "
            "photos or more"
        )
    return RetrievalScores(float(aps[answered].mean()), aps, prs[answered].mean(axis=0), prs)
