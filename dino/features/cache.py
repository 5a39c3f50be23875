"""Features kept on disk, so that no network sees the same photos twice.

    cache = FeatureCache(checkpoints_folder() / "cache")
    train = cache.cls(backbone, folder, size=224)           # as embed_folder
    train = cache.views(backbone, folder, CenterCrop(224))  # as embed_probe_views

A file is found by what decides its content: the weights and their arithmetic, the photos (path, size
and time of change of each) and the crop. Anything else in its place, or a damaged one, is computed
again; old files may be deleted at any time.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dino.errors import UserError
from dino.features.data import CenterCrop, whole_patches
from dino.features.embedding import PhotoFeatures, embed_folder, embed_probe_views
from dino.media.photo_folders import PhotoFolder
from dino.model.backbone import Backbone
from dino.system.distributed import World
from dino.system.files import content_id, npz, read_npz, write_atomically

# To be raised when the same settings come to mean other numbers.
_VERSION = 3

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class FeatureCache:
    """Features below `folder`; None keeps nothing. `say` gets a line of what was found or not kept.

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
    ) -> PhotoFeatures:
        """Give what `embed_folder` gives, from disk where it is there; `reading` goes to it as it
        is."""
        crop = CenterCrop(whole_patches(size, backbone.patch_size), resize)
        reading |= {"size": size, "resize": resize, "world": self.world}
        compute = partial(embed_folder, backbone, folder, **reading)
        return self._photo_features("cls", backbone, folder, crop, compute)

    def views(
        self, backbone: Backbone, folder: PhotoFolder, crop: CenterCrop, **reading: Any
    ) -> PhotoFeatures:
        """Give what `embed_probe_views` gives, from disk where it is there; `reading` goes to it."""
        compute = partial(embed_probe_views, backbone, folder, crop, world=self.world, **reading)
        return self._photo_features("probe", backbone, folder, crop, compute)

    def _photo_features(
        self,
        kind: str,
        backbone: Backbone,
        folder: PhotoFolder,
        crop: CenterCrop,
        compute: Callable[[], PhotoFeatures],
    ) -> PhotoFeatures:
        def compute_rows() -> tuple[Tensor, list[int]]:
            found, row = compute(), {path: number for number, path in enumerate(folder.paths)}
            return found.features, [row[path] for path in found.paths]

        key = {"kind": kind, "crop": asdict(crop)}
        what = f"features of {folder.root}"
        features, rows = self.rows(backbone, folder, key, compute_rows, what=what)
        return PhotoFeatures.of(folder, features, rows)

    def rows(
        self,
        backbone: Backbone,
        folder: PhotoFolder,
        key: dict[str, Any],
        compute: Callable[[], tuple[Tensor, list[int]]],
        *,
        what: str,
    ) -> tuple[Tensor, list[int]]:
        """Give features of a folder's photos and the rows of those they belong to, as `arrays` does.

        Args:
            key: what decides the features beside the weights and the photos.
        """

        def compute_arrays() -> Arrays:
            features, rows = compute()
            return {"features": features.numpy(), "kept": np.array(rows, dtype=np.int64)}

        whole = {"weights": backbone.fingerprint, "photos": photos_digest(folder), **key}
        arrays = self.arrays(whole, compute_arrays, what=what)
        return torch.from_numpy(arrays["features"]), arrays["kept"].tolist()

    def arrays(
        self, key: dict[str, Any], compute: Callable[[], Arrays], *, what: str = "arrays"
    ) -> Arrays:
        """Read the arrays of `key` from disk, or compute and keep them; `what` names them in what
        is said."""
        if self.folder is None:
            return compute()
        text = json.dumps({"version": _VERSION, **key}, sort_keys=True)
        path = self.folder / f"{content_id(text.encode())[:32]}.npz"
        found = _read(path, text)
        # Machines need not share a disk: where one has no file, all compute.
        everywhere = self.world.gathered({self.world.rank: found is not None})
        if found is not None and all(everywhere.values()):
            self.say(f"{what}: computed before, {path}")
            return found
        arrays = compute()
        if not self.world.leads:
            return arrays
        try:
            write_atomically(npz({"key": text, **arrays}, compressed=False), path)
            _hide_from_git(self.folder)
        except (UserError, OSError) as error:
            self.say(f"{what}: not kept ({error})")
        return arrays


def photos_digest(folder: PhotoFolder) -> str:
    """Hash path below the folder, size in bytes and time of change of each photo (sha256)."""
    lines = []
    for path in folder.paths:
        status = path.stat()
        facts = (path.relative_to(folder.root).as_posix(), status.st_size, status.st_mtime_ns)
        lines.append(f"{json.dumps(facts)}\n")
    return content_id("".join(lines).encode())


def _read(path: Path, text: str) -> Arrays | None:
    """Read the arrays of a whole file made for exactly this key, else None; a ZIP checks its sums."""
    try:
        arrays = read_npz(path)
    except (OSError, ValueError):
        return None
    return arrays if str(arrays.pop("key", "")) == text else None


def _hide_from_git(folder: Path) -> None:
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
