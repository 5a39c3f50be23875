"""File hashes: computed, kept beside a file in the format of sha256sum, and checked."""

from __future__ import annotations

from pathlib import Path

from dino.errors import WeightsError
from dino.system.files import hash_file


def record(path: Path, sha256: str) -> None:
    """Write `FILE.sha256` beside `path`, in the format of sha256sum."""
    path.with_name(f"{path.name}.sha256").write_text(f"{sha256}  {path.name}\n")


def verify(path: Path, *, sha256: str | None = None) -> bool:
    """Check a file against its pinned hash, or the one recorded beside it.

    Args:
        sha256: pinned hash, all digits or the leading ones.
    Returns:
        True: checked and right. False: no hash to check against.
    Raises:
        WeightsError: no such file, or it has changed since, or was damaged.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file to check")
    kept = path.with_name(f"{path.name}.sha256")
    if sha256 is None and kept.is_file():
        sha256 = (kept.read_text().split() or [""])[0] or None
    if sha256 is None:
        return False
    found = hash_file(path)
    if not found.startswith(sha256.lower()):
        raise WeightsError(
            f"{path}: has sha256 {found[:16]}…, expected {sha256[:16]}…; it was changed or "
            "damaged, so delete it and fetch it again"
        )
    return True
