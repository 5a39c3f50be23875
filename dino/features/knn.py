"""Weighted nearest neighbours: the paper's first measure of features, with nothing to tune.

knn_accuracy(train, train_labels, test, test_labels, k=20, temperature=0.07).top1    # percent
"""

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from dino.errors import UserError
from dino.system.words import counted

# Test rows compared with all training rows at once: 256 × 100,000 similarities are 100 MB.
_CHUNK_ROWS = 256


class Accuracy(NamedTuple):
    """Share of test images whose class is the first, or among the first five, in percent."""

    top1: float
    top5: float


def knn_accuracy(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    *,
    k: int = 20,
    temperature: float = 0.07,
) -> Accuracy:
    """Measure accuracy of a vote of the `k` nearest training images, weighted by exp(cosine /
    temperature).

    Args:
        train [M,D], test [T,D]: features, of any length; they are L2-normalised here.
        train_labels [M], test_labels [T]: class numbers from 0.
        k: neighbours, at least 1; more than M means all.
    Raises:
        UserError: shapes that do not fit together, or k or temperature out of range.
    Source: Caron et al. 2021, section 4.1, after Wu et al. 2018.
    """
    votes = knn_votes(train, train_labels, test, k=k, temperature=temperature)
    if len(test_labels) != len(test):
        raise UserError(f"got {len(test)} test features and {len(test_labels)} labels")
    return _accuracy(votes, test_labels)


def leave_one_out_accuracy(
    features: Tensor, labels: Tensor, *, k: int = 20, temperature: float = 0.07
) -> Accuracy:
    """Measure `knn_accuracy` of one set by itself: each image asks all others, never itself.

    Raises:
        UserError: as `knn_accuracy`, or fewer than 2 images.
    """
    if len(features) < 2:
        raise UserError(f"got {counted(len(features), 'image')}; leaving one out needs at least 2")
    votes = knn_votes(features, labels, features, k=k, temperature=temperature, same=True)
    return _accuracy(votes, labels)


def _accuracy(votes: Tensor, labels: Tensor) -> Accuracy:
    # Classes without a vote tie at 0; the original takes them in their order, and counts them too.
    ranked = votes.sort(dim=1, descending=True, stable=True).indices[:, :5]
    found = (ranked == labels.to(votes.device)[:, None]).sum(dim=0)
    return Accuracy(100 * int(found[0]) / len(votes), 100 * int(found.sum()) / len(votes))


def knn_votes(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    *,
    k: int,
    temperature: float,
    same: bool = False,
) -> Tensor:
    """Sum weights of each class [T, classes], from the `k` nearest; arguments as `knn_accuracy`.

    `same`: test is train, row by row, and no row votes for itself.
    """
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise UserError(
            f"got features of shape {tuple(train.shape)} and {tuple(test.shape)}; expected [M,D] and "
            "[T,D] of one width"
        )
    if len(train) != len(train_labels) or not len(train) or not len(test):
        raise UserError(
            f"got {len(train)} training features, {len(train_labels)} labels and {len(test)} test "
            "features; expected a label for each, and at least one of both"
        )
    if k < 1 or not temperature > 0:
        raise UserError(f"got k {k} and temperature {temperature}; expected 1 or more, and above 0")
    train, test = F.normalize(train.float(), dim=1), F.normalize(test.float(), dim=1)
    labels = train_labels.to(train.device)
    votes = test.new_zeros(len(test), int(labels.max()) + 1)
    k = min(k, len(train) - same)
    for number, (rows, out) in enumerate(
        zip(test.split(_CHUNK_ROWS), votes.split(_CHUNK_ROWS), strict=True)
    ):
        cosines = rows @ train.T
        if same:
            cosines.diagonal(number * _CHUNK_ROWS).fill_(float("-inf"))
        near = cosines.topk(k, dim=1)
        out.scatter_add_(1, labels[near.indices], (near.values / temperature).exp())
    return votes
