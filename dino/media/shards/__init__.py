"""Photos in WebDataset tar shards, reached by their place in the tar; nothing is unpacked.

    shards = open_shards("data/train-{000..012}.tar", cache="cache/")   # or a folder, or a glob
    shards.read(17)                                                     # uint8 [H, W, 3]
    shards.name(17)                                                     # "train-000.tar!sample17.jpg"

A sample is a run of members that share the path up to the first dot of the file name: `a/7.jpg`,
`a/7.cls`. Its class is the text of `.cls`, or "label" or "class" in `.json`.
"""

from dino.media.shards.indexing import expand_braces
from dino.media.shards.reading import ShardSet, open_shards

__all__ = ["ShardSet", "expand_braces", "open_shards"]
