"""Shards of a folder's photos, to read back."""

import io
import tarfile
from pathlib import Path

from dino.media.photo_folders import PhotoFolder


def write_shards(folder: PhotoFolder, out: Path, *, samples_per_shard: int = 1000) -> list[Path]:
    """Put a folder's photos, byte for byte, into shard-000.tar and so on; give these in order.

    Members are named by the photo's number in the folder and its name, `00000017-cat.jpg`; where
    the folder has classes, `00000017-cat.cls` holds the name of its class.
    """
    out.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(folder.paths), samples_per_shard)
    width = max(3, len(str(len(starts) - 1)))  # so that sorted names are in order
    shards = [out / f"shard-{number:0{width}}.tar" for number in range(len(starts))]
    for shard, start in zip(shards, starts, strict=True):
        with tarfile.open(shard, "w") as tar:
            for index in range(start, min(start + samples_per_shard, len(folder.paths))):
                _add_photo(tar, folder, index)
    return shards


def _add_photo(tar: tarfile.TarFile, folder: PhotoFolder, index: int) -> None:
    path = folder.paths[index]
    key = f"{index:08d}-{path.stem.replace('.', '_')}"  # the key ends at the first dot
    contents = {f"{key}{path.suffix}": path.read_bytes()}
    if folder.labels:
        name = folder.classes[folder.labels[index]]
        contents[f"{key}.cls"] = name.encode(errors="surrogateescape")
    for member, content in contents.items():
        info = tarfile.TarInfo(member)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
