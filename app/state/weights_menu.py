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
    folder = checkpoints_folder()
    here = (name for name in DEFAULT_NAMES if (p := downloaded_path(name, folder)) and p.exists())
    return next(here, None) or next((path.stem for path in bundled_files(folder)), None)


def weights_options(session: Session) -> list[str]:
    """List the names of all weights that can be opened now without a download, the default first."""
    folder = checkpoints_folder()
    here = [name for name in ZOO if (p := downloaded_path(name, folder)) is not None and p.exists()]
    random = [name for name in ZOO if ZOO[name].origin == "random"]
    names = [
        *session.get(OPENED, {}),
        *here,
        *(path.stem for path in bundled_files(folder)),
        *run_weights(),
        *random,
    ]
    default = default_weights()
    return list(dict.fromkeys([default, *names] if default else names))


def run_weights() -> dict[str, Path]:
    """Find what the runs have learned so far, by the names it is opened with, newest first."""
    paths = [
        path
        for path in runs_folder().glob("*/weights/teacher.safetensors")
        if not path.parents[1].name.startswith(".")
    ]
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
    bundled = {path.stem: path for path in bundled_files(checkpoints_folder())}
    return str({**bundled, **run_weights()}.get(name, name))


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
    folder = checkpoints_folder()
    known = downloaded_path(location, folder) if location in ZOO else Path(location)
    if known is None or not known.exists():
        return ""
    status = known.stat()
    return f"{status.st_mtime_ns}-{status.st_size}"
