"""The paper's evaluations of frozen features."""

from dino.evaluation.knn import Accuracy, knn_accuracy

__all__ = ["Accuracy", "knn_accuracy"]
