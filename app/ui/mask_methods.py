"""The words for ways to make and refine a mask, as controls offer them."""

METHODS = {
    "mass": "mass",
    "Otsu": "otsu",
    "k-means": "kmeans",
    "LOST": "lost",
    "TokenCut": "tokencut",
    "MaskCut": "maskcut",
}
REFINEMENTS = {"patches": "none", "guided filter": "guided", "GrabCut": "grabcut"}
