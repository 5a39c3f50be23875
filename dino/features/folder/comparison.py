"""The same photos under two weights: k-NN accuracy, and whether they have the same neighbours.

before, after = read_features("out/before"), read_features("out/after")
folder_accuracy(before, k=20), folder_accuracy(after, k=20)
compare(before, after).shared_neighbours
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from dino.errors import UserError
from dino.features.folder.files import FolderFeatures, is_split
from dino.features.knn import Accuracy, knn_accuracy, leave_one_out_accuracy
from dino.features.neighbours import neighbour_rows
from dino.system.words import counted


class FolderAccuracy(NamedTuple):
    """Accuracy in percent, how it was measured, and the photos it was measured on."""

    accuracy: Accuracy
    protocol: str
    num_photos: int


@dataclass(frozen=True)
class Comparison:
    """The photos that both have, in one order, and the mean share of the `k` nearest neighbours of a
    photo that are the same under both."""

    before: FolderFeatures
    after: FolderFeatures
    shared_neighbours: float
    k: int


def folder_accuracy(
    photos: FolderFeatures, *, k: int = 20, temperature: float = 0.07
) -> FolderAccuracy:
    """Measure k-NN accuracy of a folder with a sub-folder a class.

    Where the photos lie in train/ and val/, val is classified by train; else each photo by all others.

    Raises:
        UserError: fewer than two classes, or a class of val that train does not have.
    """
    classes = sorted(set(photos.labels))
    if len(classes) < 2:
        count = len(classes) if classes != [""] else 0
        raise UserError(
            f"the photos have {counted(count, 'class', 'classes')}; k-NN needs the photos "
            "of each class in a sub-folder of its own, two or more"
        )
    features = torch.from_numpy(np.ascontiguousarray(photos.features))
    labels = torch.tensor([classes.index(label) for label in photos.labels])
    options: dict[str, Any] = {"temperature": temperature, "k": k}
    train = torch.tensor([path.startswith("train/") for path in photos.paths])
    if not is_split(photos.paths) or not train.any():
        found = leave_one_out_accuracy(features, labels, **options)
        return FolderAccuracy(found, "each photo by all others", len(labels))
    if missing := set(labels[~train].tolist()) - set(labels[train].tolist()):
        names = ", ".join(classes[number] for number in sorted(missing))
        raise UserError(f"train/ has no photos of {names}; give both folders the same classes")
    found = knn_accuracy(
        features[train], labels[train], features[~train], labels[~train], **options
    )
    return FolderAccuracy(found, "the others by those in train/", int((~train).sum()))


def compare(before: FolderFeatures, after: FolderFeatures, *, k: int = 10) -> Comparison:
    """Put two sets of features of one folder beside each other.

    Raises:
        UserError: fewer than two photos of the same path and content are in both.
    """
    known = {pair: row for row, pair in enumerate(zip(after.paths, after.sha256, strict=True))}
    pairs = list(zip(before.paths, before.sha256, strict=True))
    left = [row for row, pair in enumerate(pairs) if pair in known]
    if len(left) < 2:
        raise UserError(
            f"{len(left)} photos are in both; expected features of one folder under two weights"
        )
    before, after = select(before, left), select(after, [known[pairs[row]] for row in left])
    ours = neighbour_rows(before.features, k=k)
    theirs = neighbour_rows(after.features, k=k)
    shared = [
        len(set(a) & set(b)) / len(a) for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)
    ]
    return Comparison(before, after, float(np.mean(shared)), ours.shape[1])


def select(photos: FolderFeatures, rows: list[int]) -> FolderFeatures:
    """Choose some of the photos, in the order of `rows`."""
    return replace(
        photos,
        features=photos.features[rows],
        paths=tuple(photos.paths[row] for row in rows),
        labels=tuple(photos.labels[row] for row in rows),
        sha256=tuple(photos.sha256[row] for row in rows),
        dates=photos.dates[rows],
        dated_by=tuple(photos.dated_by[row] for row in rows),
    )
