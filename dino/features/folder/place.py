"""The folder that an embedding writes to: one writer at a time, one set of settings, ZIPs unpacked.

OUT/{settings.json, .lock, photos-<sha256 of the ZIP>/}
"""

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dino.errors import UserError
from dino.features.data import whole_patches
from dino.features.folder.preparation import CROP, Preparation
from dino.media.archive import unpack_photos
from dino.model.backbone import Backbone
from dino.system.files import hash_file, read_json, write_atomically

SETTINGS = "settings.json"
# To be raised when the same settings come to mean other numbers.
_VERSION = 3


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold the folder `out`, made if it is not there, until the end.

    Raises:
        UserError: another process holds it, or it cannot be made.
    """
    import fcntl

    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("w")
    except OSError as error:
        raise UserError(
            f"{out} cannot be made a folder ({error.strerror}); choose another"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go by the system with the file
        except BlockingIOError:
            raise UserError(
                f"{out} is being written by another embedding; wait for it, or choose another --out"
            ) from None
        yield


def kept_precision(out: Path) -> str | None:
    """The arithmetic that features in `out` were made with; None where there are none."""
    precision = (read_json(out / SETTINGS) or {}).get("precision")
    return precision if precision in ("fp32", "bf16") else None


def settle(out: Path, backbone: Backbone, preparation: Preparation) -> dict[str, Any]:
    """The settings of `out`: what it was made with, or from now on is."""
    settings = {
        "version": _VERSION,
        "fingerprint": backbone.fingerprint,
        "weights": backbone.name,
        "weights_sha256": backbone.weights_sha256,
        "precision": backbone.precision,
        **asdict(preparation),
    }
    if preparation.fit == CROP:
        settings["size"] = whole_patches(preparation.size, backbone.patch_size)
    before = read_json(out / SETTINGS)
    if before is not None and before != settings:
        changed = [name for name in settings if before.get(name) != settings[name]]
        words = ", ".join(
            f"{n} {before.get(n)!s:.12} instead of {settings[n]!s:.12}" for n in changed
        )
        raise UserError(
            f"{out} holds features made with {words}; give another --out, or delete that folder"
        )
    if before is None:
        write_atomically(json.dumps(settings).encode(), out / SETTINGS)
    return settings


def folder_of(photos: Path, out: Path) -> Path:
    """The folder itself, or where a ZIP is unpacked: named by its content, others are removed."""
    if not (photos.is_file() and zipfile.is_zipfile(photos)):
        return photos
    folder = out / f"photos-{hash_file(photos)[:16]}"
    if not folder.is_dir():
        unpack_photos(photos, folder)
    for other in out.glob("photos-*"):
        if other != folder:
            shutil.rmtree(other)
    return folder
