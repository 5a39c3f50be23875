"""Features of folders of photos: made once, kept, and compared.

result = embed_photos(backbone, "holiday/", "out", preparation=Preparation(size=224))
photos = read_features("out")                       # or numpy.load("out/features.npz")
folder_accuracy(photos, k=20).accuracy.top1         # percent, of photos in a sub-folder a class
"""

from dino.features.folder.comparison import compare, folder_accuracy
from dino.features.folder.engine import EmbedResult, embed_photos
from dino.features.folder.files import FolderFeatures, read_features
from dino.features.folder.preparation import Preparation

__all__ = [
    "EmbedResult",
    "FolderFeatures",
    "Preparation",
    "compare",
    "embed_photos",
    "folder_accuracy",
    "read_features",
]
