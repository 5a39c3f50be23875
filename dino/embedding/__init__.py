"""Features of folders of photos: made once, kept, and compared.

result = embed_photos(backbone, "holiday/", "out", preparation=Preparation(size=224))
photos = read_features("out")                       # or numpy.load("out/features.npz")
near = nearest(photos.features, 17, k=12)
"""

from dino.embedding.clusters import kmeans
from dino.embedding.comparison import compare, folder_accuracy
from dino.embedding.engine import EmbedResult, embed_photos
from dino.embedding.files import FolderFeatures, read_features
from dino.embedding.joint import JointPca, joint_pca
from dino.embedding.neighbours import near_duplicates, nearest
from dino.embedding.preparation import Preparation

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
