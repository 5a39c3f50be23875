"""The weights a user can choose, by name: downloaded, bundled, of runs, or opened from the browser."""

from pathlib import Path

from app.state.selection import Session
from dino.system.files import write_atomically
from dino.system.folders import checkpoints_folder
from dino.training.runs.jobs import runs_folder
from dino.weights import ZOO, find_default
from dino.weights.fetching import DEFAULT_NAMES, bundled_files, downloaded_path

# Weights of a run are opened as "run:NAME".
RUN = "run:"
# What a session has opened, by name: (file name, sha256, bytes).
OPENED = "opened_weights"


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

    Weights that were opened from the browser are written to `downloads/opened` for that.
    """
    opened = session.get(OPENED, {})
    if name in opened:
        _, _, data = opened[name]
        path = checkpoints_folder() / "downloads" / "opened" / f"{name}.weights"
        if not path.exists():  # the name holds a part of the digest
            write_atomically(data, path)
        return str(path.absolute())
    location = weights_location(name, session)
    return str(Path(location).absolute()) if Path(location).exists() else location


def stamp(location: str) -> str:
    """Return what changes when the file behind a location does, so that a cached model is not a stale one."""
    path = downloaded_path(location, checkpoints_folder()) if location in ZOO else Path(location)
    if path is None or not path.exists():
        return ""
    status = path.stat()
    return f"{status.st_mtime_ns}-{status.st_size}"
