"""The paper's evaluations of frozen features."""

from typing import TYPE_CHECKING

from dino.system.faces import lazy_names

if TYPE_CHECKING:
    from dino.evaluation.linear import linear_crops, linear_frozen
    from dino.evaluation.mask_data import open_masks
    from dino.evaluation.retrieval import mean_average_precision
    from dino.evaluation.segmentation import attention_jaccard
    from dino.evaluation.video_measures import boundary_accuracy, region_similarity
    from dino.features.knn import Accuracy, knn_accuracy
    from dino.video.propagation import PropagationSettings, propagate

_HOME = {
    "linear_crops": "dino.evaluation.linear",
    "linear_frozen": "dino.evaluation.linear",
    "open_masks": "dino.evaluation.mask_data",
    "mean_average_precision": "dino.evaluation.retrieval",
    "attention_jaccard": "dino.evaluation.segmentation",
    "boundary_accuracy": "dino.evaluation.video_measures",
    "region_similarity": "dino.evaluation.video_measures",
    "Accuracy": "dino.features.knn",
    "knn_accuracy": "dino.features.knn",
    "PropagationSettings": "dino.video.propagation",
    "propagate": "dino.video.propagation",
}

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

__getattr__, __dir__ = lazy_names(__name__, _HOME)
