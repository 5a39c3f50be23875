"""Copy detection: does a distorted photo find the one it was made from, among distractors?

    data = open_copydays("copydays", distractors="yfcc")    # or open_photos("holiday"): copies made here
    result = copy_detection(backbone, data, size=320)
    result.scores["strong"].map                             # 0 to 1

Source: Caron et al. 2021, Table 4; eval_copy_detection.py of facebookresearch/dino; INRIA Copydays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dino.errors import UserError
from dino.evaluation.copies_data import CopyData
from dino.evaluation.descriptors import fit_whitening, kept_descriptors
from dino.evaluation.distortions import DISTORTIONS, Square, SquareCopies, digest
from dino.evaluation.retrieval import RetrievalScores, Truth, search
from dino.features.cache import FeatureCache
from dino.media.photo_folders import PhotoFolder
from dino.model.backbone import Backbone

# A copy that is not among the first so many counts as not found, as in the original.
_DEPTH = 20


@dataclass(frozen=True)
class CopyScore:
    """Mean average precision, share of queries whose original comes first (0 to 1), and how many."""

    map: float
    first: float
    num_queries: int


@dataclass(frozen=True)
class CopyResult:
    """`scores` by distortion, the last one "all" of them; sizes of what was searched; `components`
    of the whitening (None: not whitened); photos left out as unreadable."""

    scores: dict[str, CopyScore]
    num_originals: int
    num_distractors: int
    components: int | None
    unreadable: tuple[Path, ...]


def copy_detection(
    backbone: Backbone,
    data: CopyData,
    *,
    size: int = 320,
    seed: int = 0,
    whiten: bool = True,
    components: int | None = None,
    cache: FeatureCache | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> CopyResult:
    """Search every copy's original by cosine of descriptors; see `descriptors`.

    Args:
        size: both sides in px that photos are stretched to, whole patches.
        seed: of the copies made here.
        whiten: whiten the descriptors; `components` as in `fit_whitening`.
        cache: where descriptors are kept, and the processes that share the photos.
        progress: called with (photos done, photos in all) for each folder.
    Raises:
        UserError: nothing to learn a whitening from, or no readable photo.
    """
    if whiten and data.whitening is None:
        raise UserError(
            f"{data.originals.root} has no distractors to learn a whitening from; name a folder of other "
            "photos by --distractors or --whitening, or give --no-whiten"
        )
    read = partial(
        kept_descriptors,
        cache or FeatureCache(None),
        backbone,
        size=size,
        workers=workers,
        progress=progress,
    )
    found = _Descriptors(read, size)
    database, kept = found.of(data.originals)
    queries = found.blocks(data, kept, seed)
    num_originals = len(database)
    if data.distractors is not None:
        database = torch.cat([database, found.of(data.distractors)[0]])
    whitening = None
    if whiten and data.whitening is not None:
        whitening = fit_whitening(found.of(data.whitening)[0], components=components)
        database = whitening.apply(database)
        queries = {name: (whitening.apply(x), rows) for name, (x, rows) in queries.items()}
    return CopyResult(
        scores=_scores(database, queries),
        num_originals=num_originals,
        num_distractors=len(database) - num_originals,
        components=None if whitening is None else whitening.basis.shape[1],
        unreadable=tuple(dict.fromkeys(found.unreadable)),
    )


class _Descriptors:
    """Descriptors of folders, each read once, and the photos that could not be read."""

    def __init__(self, read: Callable[..., tuple[Tensor, list[int]]], size: int) -> None:
        self._read, self._size = read, size
        self._known: dict[tuple[Path, ...], tuple[Tensor, list[int]]] = {}
        self.unreadable = list[Path]()

    def of(self, folder: PhotoFolder) -> tuple[Tensor, list[int]]:
        """Read descriptors [M,F] of a folder's photos, and their rows."""
        if folder.paths not in self._known:
            features, rows = self._read(folder, Square(self._size))
            readable = set(rows)
            self.unreadable += [p for row, p in enumerate(folder.paths) if row not in readable]
            self._known[folder.paths] = features[:, 0], rows
        return self._known[folder.paths]

    def blocks(
        self, data: CopyData, kept: Sequence[int], seed: int
    ) -> dict[str, tuple[Tensor, list[int]]]:
        """Read by distortion descriptors [Q,F] and the place among the originals at `kept` of each."""
        copies: dict[str, tuple[Tensor, list[int]]] = {}  # with the rows of their originals
        if data.blocks is None:
            features, rows = self._read(
                data.originals, SquareCopies(self._size), seed=seed, copies=digest()
            )
            copies = {name: (features[:, n], rows) for n, name in enumerate(DISTORTIONS)}
        else:
            for name, block in data.blocks.items():
                features, rows = self.of(block.photos)
                copies[name] = features, [block.originals[row] for row in rows]
        place = {row: at for at, row in enumerate(kept)}
        found = {}
        for name, (features, originals) in copies.items():
            asking = [at for at, row in enumerate(originals) if row in place]
            found[name] = features[asking], [place[originals[at]] for at in asking]
        return found


def _scores(database: Tensor, queries: dict[str, tuple[Tensor, list[int]]]) -> dict[str, CopyScore]:
    searched = {}
    for name, (features, originals) in queries.items():
        if len(features):
            truths = [Truth((row,)) for row in originals]
            result = search(database, features, {name: truths}, kappas=(1,), depth=_DEPTH, top=1)
            searched[name] = result.scores[name]
    if not searched:
        raise UserError(
            "none of the copies could be read together with its original; check the folders"
        )
    everything = {name: _score([scores]) for name, scores in searched.items()}
    return everything | {"all": _score(list(searched.values()))}


def _score(some: Sequence[RetrievalScores]) -> CopyScore:
    aps = np.concatenate([scores.aps for scores in some])
    firsts = np.concatenate([scores.prs[:, 0] for scores in some])
    return CopyScore(float(aps.mean()), float(firsts.mean()), len(aps))
