"""Features kept on disk, so that no network sees the same photos twice.

    cache = FeatureCache(checkpoints_folder() / "cache")
    train = cache.cls(backbone, folder, size=224)           # as embed_folder
    train = cache.views(backbone, folder, CenterCrop(224))  # as embed_views

A file is found by what decides its content: the weights and their arithmetic, the photos (path, size
and time of change of each) and the crop. Anything else in its place, or a damaged one, is computed
again; old files may be deleted at any time.
"""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dino.errors import UserError
from dino.features.data import CenterCrop
from dino.features.frozen import Features, embed_folder
from dino.features.views import ViewFeatures, embed_views, view_features, whole_patches
from dino.media.photo_folders import PhotoFolder
from dino.model.backbone import Backbone
from dino.system.distributed import World
from dino.system.files import read_npz, write_atomically

# To be raised when the same settings come to mean other numbers.
_VERSION = 3

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class FeatureCache:
    """Features below `folder`; None keeps nothing. `say` is told what was found or could not be kept.

    Processes of one `world` share the photos; the first writes, and all read or none.
    """

    folder: Path | None
    say: Callable[[str], None] = lambda line: None
    world: World = field(default_factory=World)

    def cls(
        self,
        backbone: Backbone,
        folder: PhotoFolder,
        *,
        size: int,
        resize: int | None = None,
        **reading: Any,
    ) -> Features:
        """`embed_folder`, from disk where it is there; `reading` goes to it as it is."""

        def compute() -> Arrays:
            found = embed_folder(
                backbone, folder, size=size, resize=resize, world=self.world, **reading
            )
            return {"features": found.cls.numpy()[None], "kept": _rows(folder, found.paths)}

        crop = CenterCrop(whole_patches(size, backbone.patch_size), resize)
        found = self._views(_key("cls", backbone, folder, crop), folder, compute)
        return Features(found.features[0], found.labels, found.paths, found.unreadable)

    def views(
        self, backbone: Backbone, folder: PhotoFolder, crop: CenterCrop, **reading: Any
    ) -> ViewFeatures:
        """`embed_views`, from disk where it is there; `reading` goes to it as it is."""

        def compute() -> Arrays:
            found = embed_views(backbone, folder, crop, world=self.world, **reading)
            return {"features": found.features.numpy(), "kept": _rows(folder, found.paths)}

        return self._views(_key("probe", backbone, folder, crop), folder, compute)

    def _views(
        self, key: dict[str, Any], folder: PhotoFolder, compute: Callable[[], Arrays]
    ) -> ViewFeatures:
        arrays = self.arrays(key, compute, what=f"features of {folder.root}")
        return view_features(folder, torch.from_numpy(arrays["features"]), arrays["kept"].tolist())

    def arrays(
        self, key: dict[str, Any], compute: Callable[[], Arrays], *, what: str = "arrays"
    ) -> Arrays:
        """The arrays of `key` from disk, or else computed and kept; `what` is how they are called."""
        if self.folder is None:
            return compute()
        text = json.dumps({"version": _VERSION, **key}, sort_keys=True)
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
        found = _read(path, text)
        # Machines need not share a disk: where one has no file, all compute.
        everywhere = self.world.gathered({self.world.rank: found is not None})
        if found is not None and all(everywhere.values()):
            self.say(f"{what}: computed before, {path}")
            return found
        arrays = compute()
        if not self.world.leads:
            return arrays
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, key=np.array(text), **arrays)
        try:
            write_atomically(buffer.getvalue(), path)
            _hide_from_git(self.folder)
        except (UserError, OSError) as error:
            self.say(f"{what}: not kept ({error})")
        return arrays


def photos_digest(folder: PhotoFolder) -> str:
    """sha256 over path below the folder, size in bytes and time of change of each photo."""
    total = hashlib.sha256()
    for path in folder.paths:
        status = path.stat()
        told = (path.relative_to(folder.root).as_posix(), status.st_size, status.st_mtime_ns)
        total.update(f"{json.dumps(told)}\n".encode())
    return total.hexdigest()


def _rows(folder: PhotoFolder, paths: tuple[Path, ...]) -> np.ndarray:
    row = {path: number for number, path in enumerate(folder.paths)}
    return np.array([row[path] for path in paths], dtype=np.int64)


def _key(kind: str, backbone: Backbone, folder: PhotoFolder, crop: CenterCrop) -> dict[str, Any]:
    return {
        "kind": kind,
        "weights": backbone.fingerprint,
        "photos": photos_digest(folder),
        "crop": asdict(crop),
    }


def _read(path: Path, text: str) -> Arrays | None:
    """The arrays of a whole file made for exactly this key, else None; a ZIP checks its sums."""
    try:
        arrays = read_npz(path)
    except (OSError, ValueError):
        return None
    return arrays if str(arrays.pop("key", "")) == text else None


def _hide_from_git(folder: Path) -> None:
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
