"""Shards of a folder's photos."""

import io
import tarfile
from pathlib import Path

import numpy as np

from dino.errors import UserError
from dino.media.photo_folders import PhotoFolder
from dino.system.files import open_atomically, write_error


def write_shards(
    folder: PhotoFolder,
    out: Path,
    *,
    samples_per_shard: int = 1000,
    shuffle_seed: int | None = None,
) -> list[Path]:
    """Put a folder's photos, byte for byte, into shard-000.tar and so on, each whole or absent.

    Members are named by the photo's number in the folder and its name, `00000017-cat.jpg`; where
    the folder has classes, `00000017-cat.cls` holds the name of its class.

    Args:
        samples_per_shard: photos a shard, at least 1.
        shuffle_seed: of the order, 0 or greater; None keeps the folder's.
    Returns:
        The shards in order.
    Raises:
        UserError: `out` holds shards already or cannot be written, or a photo cannot be read.
    """
    if samples_per_shard < 1:
        raise UserError(f"got {samples_per_shard} samples a shard, expected 1 or more; give more")
    if out.is_dir() and any(out.glob("*.tar")):
        raise UserError(f"{out} holds shards already; choose another folder or remove them")
    order = np.arange(len(folder.paths))
    if shuffle_seed is not None:
        order = np.random.default_rng(shuffle_seed).permutation(order)
    starts = range(0, len(order), samples_per_shard)
    width = max(3, len(str(len(starts) - 1)))  # so that sorted names are in order
    shards = [out / f"shard-{number:0{width}}.tar" for number in range(len(starts))]
    for path, start in zip(shards, starts, strict=True):
        try:
            out.mkdir(parents=True, exist_ok=True)
            with (
                open_atomically(path) as file,
                tarfile.open(fileobj=file, mode="w", encoding="utf-8") as tar,
            ):
                for index in order[start : start + samples_per_shard].tolist():
                    _add_photo(tar, folder, index)
        except OSError as error:
            raise write_error(path, error) from error
    return shards


def _add_photo(tar: tarfile.TarFile, folder: PhotoFolder, index: int) -> None:
    path = folder.paths[index]
    key = f"{index:08d}-{path.stem.replace('.', '_')}"  # the key ends at the first dot
    try:
        contents = {f"{key}{path.suffix}": path.read_bytes()}
    except OSError as error:
        raise UserError(
            f"{path}: got no file to read ({error.strerror}), expected a photo; check it"
        ) from error
    if folder.labels:
        name = folder.classes[folder.labels[index]]
        contents[f"{key}.cls"] = name.encode(errors="surrogateescape")
    for member, content in contents.items():
        info = tarfile.TarInfo(member)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
