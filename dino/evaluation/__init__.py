"""The paper's evaluations of frozen features."""

from dino.evaluation.linear import linear_crops, linear_frozen
from dino.evaluation.mask_data import open_masks
from dino.evaluation.retrieval import mean_average_precision
from dino.evaluation.segmentation import attention_jaccard
from dino.evaluation.video_measures import boundary_accuracy, region_similarity
from dino.features.knn import Accuracy, knn_accuracy
from dino.video.propagation import PropagationSettings, propagate

__all__ = [
    "Accuracy",
    "PropagationSettings",
    "attention_jaccard",
    "boundary_accuracy",
    "knn_accuracy",
    "linear_crops",
    "linear_frozen",
    "mean_average_precision",
    "open_masks",
    "propagate",
    "region_similarity",
]
