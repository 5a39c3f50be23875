"""Features of folders of photos: made once, kept, and compared.

result = embed_photos(backbone, "holiday/", "out", preparation=Preparation(size=224))
photos = read_features("out")                       # or numpy.load("out/features.npz")
near = nearest(photos.features, 17, k=12)
"""

from dino.features.clusters import kmeans
from dino.features.folder.comparison import compare, folder_accuracy
from dino.features.folder.engine import EmbedResult, embed_photos
from dino.features.folder.files import FolderFeatures, read_features
from dino.features.folder.preparation import Preparation
from dino.features.joint import JointPca, joint_pca
from dino.features.neighbours import near_duplicates, nearest

__all__ = [
    "EmbedResult",
    "FolderFeatures",
    "JointPca",
    "Preparation",
    "compare",
    "embed_photos",
    "folder_accuracy",
    "joint_pca",
    "kmeans",
    "near_duplicates",
    "nearest",
    "read_features",
]
