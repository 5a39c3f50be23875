"""The weights a user can choose, by name: downloaded, bundled, of runs, opened from the browser or by a text.

How those are read whose tensors do not show it is kept beside their name.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.state.selection import Session
from dino.system.files import write_atomically
from dino.system.folders import checkpoints_folder
from dino.training.runs.jobs import runs_folder
from dino.weights import ZOO, find_default
from dino.weights.fetching import DEFAULT_NAMES, bundled_files, downloaded_path, is_here
from dino.weights.sources import resolve

# Weights of a run are opened as "run:NAME".
RUN = "run:"
# What a session has opened, by name: (file name, sha256, bytes).
OPENED = "opened_weights"
# Texts a session has opened weights by: paths, addresses, names of the hub.
NAMED = "named_weights"
_READINGS = "weights_readings"


@dataclass(frozen=True)
class Reading:
    """What a user says of weights whose tensors do not show it; None: as they are read by themselves."""

    num_heads: int | None = None
    arch: str | None = None
    channels: str | None = None
    key: str | None = None  # which network, of a checkpoint that holds several

    @property
    def said(self) -> dict[str, Any]:
        """Give what was said, as `dino.load` and commands take it."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def frozen(self) -> tuple[tuple[str, Any], ...]:
        """Give what was said, for caches."""
        return tuple(self.said.items())


def reading_of(name: str, session: Session) -> Reading:
    """Return how weights of a name are read."""
    return session.get(_READINGS, {}).get(name, Reading())


def set_reading(name: str, reading: Reading, session: Session) -> None:
    """Have weights of a name read so from now on."""
    session[_READINGS] = {**session.get(_READINGS, {}), name: reading}


def add_named(text: str, session: Session) -> None:
    """Keep a text that weights were opened by in the menu."""
    session[NAMED] = list(dict.fromkeys([text, *session.get(NAMED, ())]))


def is_to_fetch(text: str) -> bool:
    """Tell whether what a text names has to come over the network first.

    Raises:
        WeightsError: nothing can have that name.
    """
    return resolve(text).kind in ("zoo", "timm", "hub", "url") and not is_here(text)


def default_weights() -> str | None:
    """Return the name of the weights to start with, None where there are none."""
    source = find_default()
    return source.name if source else None


def fetched_weights() -> str | None:
    """Return the name of what a fetch of the default weights leaves, whatever the environment asks for:
    the best that were downloaded, else what is bundled."""
    here = (name for name in DEFAULT_NAMES if name in _downloaded())
    return next(here, None) or next(iter(_bundled()), None)


def weights_options(session: Session) -> list[str]:
    """List the names of all weights that can be opened now without a download, the default first."""
    default = default_weights()
    names = [
        *([default] if default else []),
        *session.get(OPENED, {}),
        *session.get(NAMED, ()),
        *_downloaded(),
        *_bundled(),
        *run_weights(),
        *(name for name, entry in ZOO.items() if entry.origin == "random"),
    ]
    return list(dict.fromkeys(names))


def _downloaded() -> list[str]:
    """List the names of the zoo whose files are here."""
    paths = {name: downloaded_path(name, checkpoints_folder()) for name in ZOO}
    return [name for name, path in paths.items() if path is not None and path.exists()]


def _bundled() -> dict[str, Path]:
    return {path.stem: path for path in bundled_files(checkpoints_folder())}


def run_weights() -> dict[str, Path]:
    """Find the weights that runs have learned so far, by the names they are opened with, newest first."""
    paths = runs_folder().glob("[!.]*/weights/teacher.safetensors")
    newest = sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)
    return {f"{RUN}{path.parents[1].name}": path for path in newest}


def weights_location(name: str, session: Session) -> str:
    """Return what `--weights` takes for a name from `weights_options`; the file's name if it was uploaded."""
    opened = session.get(OPENED, {})
    if name in opened:
        return opened[name][0]
    default = find_default()
    if default is not None and name == default.name:
        return str(default.location)
    return str({**_bundled(), **run_weights()}.get(name, name))


def start_weights(name: str, session: Session) -> str:
    """Return what a run can start from for a name from `weights_options`: a name of the zoo or a whole
    path.

    Weights that were opened from the browser are written to `downloads/opened` for that, and so are
    those that are read as a user says.
    """
    opened = session.get(OPENED, {})
    if name in opened:
        _, _, data = opened[name]
        path = checkpoints_folder() / "downloads" / "opened" / f"{name}.weights"
        if not path.exists():  # the name holds a part of the digest
            write_atomically(data, path)
        location = str(path.absolute())
    else:
        location = weights_location(name, session)
        path = Path(location).expanduser()
        location = str(path.absolute()) if _exists(path) else location
    reading = reading_of(name, session)
    return _as_read(location, reading) if reading.said else location


def _as_read(location: str, reading: Reading) -> str:
    """Write weights as they are read into a file that says so itself, for processes that take no options."""
    from dino.weights import convert

    key = repr((location, stamp(location), reading.frozen))
    name = f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    path = (checkpoints_folder() / "downloads" / "opened" / name).absolute()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        convert(location, path, dtype="fp32", **reading.said)
    return str(path)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a text no path can have
        return False


def stamp(location: str) -> str:
    """Return what changes when the file behind a location does, so that a cached model is not a stale one."""
    path = downloaded_path(location, checkpoints_folder()) if location in ZOO else Path(location)
    path = None if path is None else Path(os.path.expanduser(path))
    if path is None or not _exists(path):
        return ""
    status = path.stat()
    return f"{status.st_mtime_ns}-{status.st_size}"
