"""Row 13: k-NN beside scikit-learn's brute force, the same neighbours and weights."""

import torch
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

from bench.outcome import Outcome, Settings
from bench.timing import in_turns
from dino.features.knn import knn_accuracy

_TRAIN, _TEST, _DIM, _CLASSES, _K, _TEMPERATURE = 100_000, 5_000, 384, 100, 20, 0.07


def knn(settings: Settings) -> Outcome:
    """Time 5,000 images by 100,000 of 384 dimensions, 20 neighbours weighted by exp(cosine / 0.07)."""
    train_size, test_size = (500, 50) if settings.tiny else (_TRAIN, _TEST)
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(_CLASSES, _DIM, generator=generator)

    def drawn(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.randint(0, _CLASSES, (count,), generator=generator)
        return centres[labels] + 3 * torch.randn(count, _DIM, generator=generator), labels

    (train, labels), (test, truth) = drawn(train_size), drawn(test_size)
    found: dict[str, float] = {}

    def theirs() -> None:
        model = KNeighborsClassifier(
            n_neighbors=_K, algorithm="brute", metric="cosine", weights=_weights
        )
        model.fit(F.normalize(train, dim=1).numpy(), labels.numpy())
        guessed = model.predict(F.normalize(test, dim=1).numpy())
        found["scikit-learn"] = 100 * float((guessed == truth.numpy()).mean())

    def ours() -> None:
        found["ours"] = knn_accuracy(
            train, labels, test, truth, k=_K, temperature=_TEMPERATURE
        ).top1

    times = in_turns({"scikit-learn": theirs, "ours": ours}, settings.repeats)
    outcome = Outcome()
    outcome.timed(times)
    outcome.figures = {"over scikit-learn": times["scikit-learn"].median / times["ours"].median}
    outcome.notes.append(
        f"Accuracy {found['scikit-learn']:.2f} % by scikit-learn, {found['ours']:.2f} % by ours."
    )
    return outcome


def _weights(distances):
    """Weigh neighbours by scikit-learn's cosine distances, 1 − cosine."""
    import numpy as np

    return np.exp((1 - distances) / _TEMPERATURE)
